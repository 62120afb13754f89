# Two processes with one table of descriptors, memory that they share, and a deleted file mapped.
import ctypes
import mmap
import os
import signal

from common import check, done, libc, ready

shared = mmap.mmap(-1, 4096)
f = os.open("gone", os.O_RDWR | os.O_CREAT)
os.write(f, b"mapped" + bytes(4090))
m = mmap.mmap(f, 4096)
os.unlink("gone")
r, w = os.pipe()
high = os.open("/dev/null", os.O_RDONLY)
os.dup2(high, 200)
CLONE_FILES = 0x400
pid = libc.syscall(56, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
if pid == 0:
    os.read(r, 1)
    shared[1] = m[0]
    os.close(200)
    os._exit(0)
ready()
os.write(w, b"x")
check("child", os.waitpid(pid, 0)[1], 0)
check("shared memory", shared[1], ord("m"))
check("deleted file", m[:6], b"mapped")
try:
    os.fstat(200)
    check("table", "two", "one")
except OSError:
    pass
done()
