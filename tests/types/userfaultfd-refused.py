# userfaultfds of which nobody can tell what they are about; write protection.
# refused: userfaultfd-owner
# says: memory-userfaultfd
import ctypes
import fcntl
import os
import signal
import struct

from common import done, libc, ready

libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, ctypes.c_size_t(8192), 3, 0x22, -1, 0)
ctypes.memset(at, 1, 8192)
fd = libc.syscall(323, 0o2000000)
fcntl.ioctl(fd, 0xc018aa3f, struct.pack("QQQ", 0xaa, 0, 0))
fcntl.ioctl(fd, 0xc020aa00, struct.pack("QQQQ", at, 8192, 2, 0))
lone = libc.syscall(323, 0)
child = os.fork()
if not child:
    while True:
        signal.pause()
ready()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
done()
