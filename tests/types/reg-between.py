# Files with a path as both tools know them.
import fcntl
import os

from common import check, done, ready, same_file

with open("data", "w") as f:
    f.write("0123456789" * 1000)
a = os.open("data", os.O_RDWR)
os.lseek(a, 1234, os.SEEK_SET)
b = os.dup(a)
c = os.open("data", os.O_WRONLY | os.O_APPEND)
p = os.open("data", os.O_PATH)
d = os.open(".", os.O_RDONLY)
null = os.open("/dev/null", os.O_RDWR)
fds = (a, b, c, p, d, null)
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
ready()
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds], flags)
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in fds], links)
check("dup", same_file(os.getpid(), a, os.getpid(), b), True)
check("not dup", same_file(os.getpid(), a, os.getpid(), c), False)
check("read", os.read(b, 10), b"4567890123")
os.write(c, b"end")
check("append", os.pread(a, 10, 10000), b"end")
check("directory", "data" in os.listdir(d), True)
done()
