# With --skip-in-flight what waits on a netlink socket is lost, and the socket goes on.
# dump: --skip-in-flight
import socket
import struct

from common import check, done, ready

REQUEST = struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 7, 0, 0, 0, 0, 0, 0)
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(REQUEST)
ready()
try:
    check("nothing", s.recv(65536, socket.MSG_DONTWAIT), b"")
except BlockingIOError:
    pass
s.send(REQUEST)
check("an answer", struct.unpack_from("=IH", s.recv(65536))[1], 16)
done()
