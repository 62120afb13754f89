# A thread that catches its own system calls: a call made for the dump would go to its handler.
# refused: task-user-dispatch
import ctypes
import os

from common import done, libc, ready, skip

SET_DISPATCH, ON = 59, 1

if [int(n) for n in os.uname().release.split(".")[:2]] < [6, 4] or libc.prctl(SET_DISPATCH, 0, 0, 0, 0) < 0:
    skip("syscall user dispatch that a tracer can see (Linux 6.4)")
allow = ctypes.c_char(0)
libc.prctl(SET_DISPATCH, ON, 0, 0, ctypes.c_ulong(ctypes.addressof(allow)))
ready()
done()
