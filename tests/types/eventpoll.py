# epoll: events and data, nested, a cycle of two, numbers closed and used again.
import ctypes
import os
import select

from common import check, done, fdinfo, libc, ready, sys_call

class Event(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("events", ctypes.c_uint32), ("data", ctypes.c_uint64)]

def add(ep, fd, events, data):
    sys_call("epoll_ctl", ep, 1, fd, ctypes.byref(Event(events, data)))

def wait(ep):
    ev = (Event * 16)()
    n = sys_call("epoll_wait", ep, ev, 16, 0)
    return sorted((e.events, e.data) for e in ev[:n])

r, w = os.pipe()
r2, w2 = os.pipe()
outer, inner = libc.epoll_create1(0), libc.epoll_create1(0)
add(inner, r, select.EPOLLIN, 0x1122334455667788)
add(inner, w2, select.EPOLLOUT | select.EPOLLET, 2)
add(outer, inner, select.EPOLLIN, 3)
add(outer, r2, select.EPOLLIN | select.EPOLLONESHOT, 4)
# A number that was closed, and one that another file has now; a duplicate keeps the file open.
third = libc.epoll_create1(0)
x, y = os.pipe()
add(third, x, select.EPOLLIN, 5)
keep = os.dup(x)
os.close(x)
null = os.open("/dev/null", os.O_RDONLY)
check("number used again", null, x)
ready()
lines = fdinfo(inner)
check("watched", lines.count("tfd:"), 2)
check("inner", wait(inner), [(select.EPOLLOUT, 2)])
check("edge", wait(inner), [])
os.write(w, b"x")
check("outer", wait(outer), [(select.EPOLLIN, 3)])
check("data", wait(inner), [(select.EPOLLIN, 0x1122334455667788)])
os.write(w2, b"x")
check("once", (select.EPOLLIN, 4) in wait(outer), True)
check("once only", (select.EPOLLIN, 4) in wait(outer), False)
os.write(y, b"x")
check("closed number", wait(third), [(select.EPOLLIN, 5)])
done()
