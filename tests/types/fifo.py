# FIFOs: data, flags, one side only, two tasks.
import fcntl
import os

from common import check, done, ready

os.mkfifo("a")
ra = os.open("a", os.O_RDONLY | os.O_NONBLOCK)
wa = os.open("a", os.O_WRONLY)
os.write(wa, b"in the fifo")
os.mkfifo("b")
rb = os.open("b", os.O_RDONLY | os.O_NONBLOCK)
os.mkfifo("c")
rc = os.open("c", os.O_RDWR)
wc = os.open("c", os.O_WRONLY | os.O_NONBLOCK)
os.close(rc)
fds = (ra, wa, rb, wc)
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]
ready()
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds], flags)
check("data", os.read(ra, 100), b"in the fifo")
os.write(wa, b"more")
check("more", os.read(ra, 100), b"more")
check("no writer", os.read(rb, 100), b"")
try:
    os.write(wc, b"x")
    check("no reader", "written", "EPIPE")
except BrokenPipeError:
    pass
done()
