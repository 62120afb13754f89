# eventfd: a counter of 64 bits, semaphores, flags.
import fcntl
import os
import struct

from common import check, done, ready, sys_call

SEMAPHORE, NONBLOCK = 1, 0o4000
big = sys_call("eventfd", 0, 0)
os.write(big, struct.pack("Q", 0xfffffffffffffffe))
sem = sys_call("eventfd", 3, SEMAPHORE | NONBLOCK)
zero = sys_call("eventfd", 0, NONBLOCK)
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (big, sem, zero)]
ready()
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (big, sem, zero)], flags)
check("counter", struct.unpack("Q", os.read(big, 8))[0], 0xfffffffffffffffe)
check("semaphore", [struct.unpack("Q", os.read(sem, 8))[0] for _ in range(3)], [1, 1, 1])
try:
    os.read(zero, 8)
    check("zero", "read", "EAGAIN")
except BlockingIOError:
    pass
done()
