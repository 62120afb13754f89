# pidfds: of a thread, nonblocking, of a zombie, shared with a child; positions of the same process.
import fcntl
import os
import select
import signal
import threading

from common import check, done, libc, ready, same_file

THREAD = 0o200
stop, tids = threading.Event(), []
thread = threading.Thread(target=lambda: (tids.append(threading.get_native_id()), stop.wait()), daemon=True)
thread.start()
while not tids:
    pass
child = os.fork()
if not child:
    while True:
        signal.pause()
zombie = os.fork()
if not zombie:
    os._exit(7)
os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
fds = [os.pidfd_open(child, os.O_NONBLOCK), os.pidfd_open(zombie)]
try:
    fds.append(os.pidfd_open(tids[0], THREAD))
    fds.append(os.pidfd_open(os.getpid(), THREAD))
except OSError:
    pass
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]


def pids():
    return [[x.split()[1] for x in open(f"/proc/self/fdinfo/{fd}") if x.startswith("Pid:")] for fd in fds]


before = pids()
ready()
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds], flags)
check("pids", pids(), before)
check("ended", [bool(select.select([fd], [], [], 0)[0]) for fd in fds], [False, True] + [False] * (len(fds) - 2))
check("zombie", os.waitid(os.P_PIDFD, fds[1], os.WEXITED).si_status, 7)
signal.pidfd_send_signal(fds[0], signal.SIGKILL)
os.waitpid(child, 0)
check("child", bool(select.select([fds[0]], [], [], 0)[0]), True)
stop.set()
thread.join()
done()
