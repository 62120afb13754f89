# Files that cannot be dumped are reported all at once, and nothing happens to their owner.
# refused: file-kind
import os
import socket

from common import check, done, ready

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
a.send(b"datagram")
ready()
check("untouched", b.recv(100), b"datagram")
done()
