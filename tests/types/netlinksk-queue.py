# What the kernel has queued to a netlink socket cannot be put back.
# refused: netlink-queue
import socket
import struct

from common import check, done, ready

s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
ready()
check("untouched", struct.unpack_from("=IH", s.recv(65536))[1], 16)
done()
