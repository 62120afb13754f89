# epoll: exclusive, wakeup, disarmed one-shot entries, one file under two numbers, a file of another task.
import ctypes
import os
import select
import signal

from common import check, done, fdinfo, libc, ready, sys_call

EXCLUSIVE, WAKEUP = 1 << 28, 1 << 29


class Event(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("events", ctypes.c_uint32), ("data", ctypes.c_uint64)]


def ctl(ep, op, fd, events, data):
    sys_call("epoll_ctl", ep, op, fd, ctypes.byref(Event(events, data)))


def wait(ep):
    ev = (Event * 16)()
    n = sys_call("epoll_wait", ep, ev, 16, 0)
    return sorted((e.events, e.data) for e in ev[:n])


def lines(ep):
    """What fdinfo says of the entries, but for inode numbers, which pipes get anew."""
    return sorted(x.split("pos:")[0].split() for x in fdinfo(ep).splitlines() if x.startswith("tfd"))


pipes = [os.pipe() for _ in range(6)]
ep = libc.epoll_create1(0)
ctl(ep, 1, pipes[0][0], select.EPOLLIN | EXCLUSIVE, 1)
ctl(ep, 1, pipes[1][0], select.EPOLLIN | EXCLUSIVE | select.EPOLLET, 2)
ctl(ep, 1, pipes[2][0], select.EPOLLIN | WAKEUP, 3)
ctl(ep, 1, pipes[3][0], select.EPOLLIN | select.EPOLLONESHOT, 4)
os.write(pipes[3][1], b"x")
check("once", wait(ep), [(select.EPOLLIN, 4)])
twice = os.dup(pipes[4][0])
ctl(ep, 1, pipes[4][0], select.EPOLLIN, 5)
ctl(ep, 1, twice, select.EPOLLIN | select.EPOLLPRI, 6)
# Added under numbers that another file has now, which is watched as well.
a = os.dup(pipes[5][0])
ctl(ep, 1, a, select.EPOLLIN, 7)
b = os.open("/dev/tty" if False else "/proc/self/mounts", os.O_RDONLY)
os.dup2(twice, a)
ctl(ep, 1, a, select.EPOLLIN, 8)
# Only a child has the file that is watched.
lone_r, lone_w = os.pipe()
ctl(ep, 1, lone_r, select.EPOLLIN, 9)
child = os.fork()
if not child:
    os.close(lone_w)
    while True:
        signal.pause()
os.close(lone_r)
before = lines(ep)
ready()
check("entries", lines(ep), before)
check("disarmed", wait(ep), [])
ctl(ep, 3, pipes[3][0], select.EPOLLIN | select.EPOLLONESHOT, 4)
check("armed again", wait(ep), [(select.EPOLLIN, 4)])
for r, w in pipes[:3]:
    os.write(w, b"x")
check("exclusive", [d for _, d in wait(ep)], [1, 2, 3])
check("edge", [d for _, d in wait(ep)], [1, 3])
os.write(pipes[4][1], b"x")
os.write(pipes[5][1], b"x")
os.write(lone_w, b"x")
check("all", sorted(d for _, d in wait(ep)), [1, 3, 5, 6, 7, 8, 9])
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
done()
