# eventfd as both tools know it.
import fcntl
import os
import struct

from common import check, done, ready, sys_call

fd = sys_call("eventfd", 0x12345678, 0)
zero = sys_call("eventfd", 0, 0o4000)
flags = [fcntl.fcntl(x, fcntl.F_GETFL) for x in (fd, zero)]
ready()
check("flags", [fcntl.fcntl(x, fcntl.F_GETFL) for x in (fd, zero)], flags)
check("counter", struct.unpack("Q", os.read(fd, 8))[0], 0x12345678)
os.write(zero, struct.pack("Q", 5))
check("usable", struct.unpack("Q", os.read(zero, 8))[0], 5)
done()
