# signalfd: the mask, and a signal that is pending.
import ctypes
import os
import signal
import struct

from common import check, done, ready, sys_call

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, 40])
mask = ctypes.c_uint64(1 << (signal.SIGTERM - 1) | 1 << 39)
fd = sys_call("signalfd", -1, ctypes.byref(mask), 0o4000)
os.kill(os.getpid(), signal.SIGTERM)
ready()
check("pending", struct.unpack("I", os.read(fd, 128)[:4])[0], signal.SIGTERM)
os.kill(os.getpid(), 40)
check("another", struct.unpack("I", os.read(fd, 128)[:4])[0], 40)
try:
    os.read(fd, 128)
    check("empty", "read", "EAGAIN")
except BlockingIOError:
    pass
done()
