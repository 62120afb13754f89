# Netlink sockets: port id, groups also beyond 32, peer, options, protocol and type.
import os
import socket
import struct

from common import check, done, ready

SOL_NETLINK, ADD_MEMBERSHIP, PKTINFO, LIST, EXT_ACK = 270, 1, 3, 9, 11


def groups(s):
    return s.getsockopt(SOL_NETLINK, LIST, 64).rstrip(b"\0")


def link_count(s):
    """How many links a dump of them lists: the socket works."""
    s.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, 1, 0, 0, 0, 0, 0, 0))
    n = 0
    while True:
        data = s.recv(65536)
        while data:
            size, kind = struct.unpack_from("=IH", data)
            if kind == 3:
                return n
            n += kind == 16
            data = data[size + 3 & ~3:]


route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
route.bind((0, 1 | 1 << 3))
route.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, 34)
route.setsockopt(SOL_NETLINK, PKTINFO, 1)
other = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)
other.bind((77777, 0))
other.setsockopt(SOL_NETLINK, EXT_ACK, 1)
other.setblocking(False)
diag = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4)
diag.connect((0, 0))
unused = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
every = (route, other, diag, unused)
names = [(s.getsockname(), groups(s), s.type & 0xf, s.proto) for s in every]
links = link_count(unused)
ready()
check("names", [(s.getsockname(), groups(s), s.type & 0xf, s.proto) for s in every[:3]], names[:3])
check("option", [s.getsockopt(SOL_NETLINK, PKTINFO) for s in every], [1, 0, 0, 0])
check("other option", [s.getsockopt(SOL_NETLINK, EXT_ACK) for s in every], [0, 1, 0, 0])
other.setblocking(True)
check("works", link_count(other), links)
done()
