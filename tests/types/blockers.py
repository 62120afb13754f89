# Sockets that cannot be dumped are all named at once, with the way out, and nothing happens to them.
# refused: file-kind
# says: family vsock, type 1, protocol 0, context
# says: a socket of MPTCP \(family IPv4
# says: 127\.0\.0\.1 port
# says: \[mptcp\]
# says: family XDP
# says: UDP_CORK
# says: \[udp-cork\]
# says: \[netlink-queue\]
# says: of pid 
# says: outside the tree; --external unix\[INO\] permits it
# says: has sent something over a connection that was not accepted yet
# says: an urgent byte \(MSG_OOB\)
import os
import signal
import socket
import struct
import time

from common import check, done, ready

vsock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
xdp = socket.socket(44, socket.SOCK_RAW)
mptcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
mptcp.bind(("127.0.0.1", 0))
cork = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
cork.connect(("127.0.0.1", 9))
cork.send(b"half", socket.MSG_MORE)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
netlink.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
listening = socket.socket(socket.AF_UNIX)
listening.bind("\0blockers-%d" % os.getpid())
listening.listen(1)
early = socket.socket(socket.AF_UNIX)
early.connect(listening.getsockname())
early.send(b"too early")
urgent, other = socket.socketpair()
urgent.send(b"ab", socket.MSG_OOB)
mine, outside = socket.socketpair()
if not os.fork():
    if os.fork():
        os._exit(0)
    mine.close()
    signal.alarm(60)
    while data := outside.recv(100):
        outside.send(data.upper())
    os._exit(0)
os.wait()
outside.close()
time.sleep(0.05)
ready()
mine.send(b"hello")
check("outside", mine.recv(100), b"HELLO")
check("urgent", other.recv(10, socket.MSG_OOB) + other.recv(10), b"ba")
check("early", listening.accept()[0].recv(100), b"too early")
check("netlink", struct.unpack_from("=IH", netlink.recv(65536))[1], 16)
done()
