# An interface that goes with its descriptor.
# refused: tun-interface
import fcntl
import os
import struct

from common import done, ready

fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", b"tunD", 1))
ready()
done()
