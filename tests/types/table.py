# A table of descriptors that two processes share, and one that a third got by fork.
import os
import signal

from common import check, done, libc, ready, same_file

CLONE_FILES = 0x400
a = os.open("a", os.O_RDWR | os.O_CREAT)
shares = libc.syscall(56, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
if not shares:
    while True:
        signal.pause()
b = os.open("b", os.O_RDWR | os.O_CREAT)
high = os.dup2(b, 1000)
forked = os.fork()
if not forked:
    while True:
        signal.pause()
ready()
me = os.getpid()
check("shared", [same_file(me, f, shares, f) for f in (a, b, high)], [True] * 3)
check("forked", [same_file(me, f, forked, f) for f in (a, b, high)], [True] * 3)
c = os.open("c", os.O_RDWR | os.O_CREAT)
check("a new one in the shared table", os.path.exists(f"/proc/{shares}/fd/{c}"), True)
check("not in the other", os.path.exists(f"/proc/{forked}/fd/{c}"), False)
for pid in (shares, forked):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
done()
