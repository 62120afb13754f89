# UDP, UDP-Lite, ICMP and raw sockets: peers, shutdown, multicast groups with their sources.
import socket
import struct

from common import check, done, ready

S = socket
JOIN, BLOCK, LEAVE, JOIN_SOURCE, MULTICAST_ALL = 42, 43, 45, 46, 49


def name(s):
    try:
        return s.getsockname(), s.getpeername()
    except OSError:
        return s.getsockname(), None


def v4(addr):
    return struct.pack("=HH4s120x", S.AF_INET, 0, S.inet_aton(addr))


def v6(addr):
    return struct.pack("=HHI16s104x", S.AF_INET6, 0, 0, S.inet_pton(S.AF_INET6, addr))


a, b = (S.socket(S.AF_INET, S.SOCK_DGRAM) for _ in range(2))
for s in (a, b):
    s.bind(("127.0.0.1", 0))
a.connect(b.getsockname())
b.connect(a.getsockname())
a.shutdown(S.SHUT_WR)
b.shutdown(S.SHUT_RD)
lite = S.socket(S.AF_INET6, S.SOCK_DGRAM, 136)
lite.bind(("::1", 0))
raw = S.socket(S.AF_INET, S.SOCK_RAW, S.IPPROTO_UDP)
raw.bind(("127.0.0.3", 0))
raw.connect(("127.0.0.1", 0))
bare = S.socket(S.AF_INET, S.SOCK_RAW, S.IPPROTO_TCP)
group = S.socket(S.AF_INET, S.SOCK_DGRAM)
group.bind(("", 0))
group.setsockopt(S.IPPROTO_IP, JOIN, struct.pack("=I4x128s", 1, v4("239.1.2.3")))
group.setsockopt(S.IPPROTO_IP, BLOCK, struct.pack("=I4x128s128s", 1, v4("239.1.2.3"), v4("127.0.0.9")))
group.setsockopt(S.IPPROTO_IP, JOIN_SOURCE, struct.pack("=I4x128s128s", 1, v4("239.4.5.6"), v4("127.0.0.1")))
group.setsockopt(S.IPPROTO_IP, MULTICAST_ALL, 0)
six = S.socket(S.AF_INET6, S.SOCK_DGRAM)
six.bind(("::", 0))
six.setsockopt(S.IPPROTO_IPV6, JOIN, struct.pack("=I4x128s", 1, v6("ff11::77")))
every = (a, b, lite, raw, bare, group, six)
names = [(name(s), s.type, s.proto) for s in every]
ready()
check("names", [(name(s), s.type, s.proto) for s in every], names)
b.send(b"one way")
check("one way", a.recv(100, S.MSG_DONTWAIT), b"one way")
try:
    a.send(b"other way")
    check("shut down", "sent", "EPIPE")
except BrokenPipeError:
    pass
sender = S.socket(S.AF_INET, S.SOCK_DGRAM)
sender.setsockopt(S.IPPROTO_IP, S.IP_MULTICAST_IF, S.inet_aton("127.0.0.1"))
sender.bind(("127.0.0.1", 0))
blocked = S.socket(S.AF_INET, S.SOCK_DGRAM)
blocked.setsockopt(S.IPPROTO_IP, S.IP_MULTICAST_IF, S.inet_aton("127.0.0.1"))
blocked.bind(("127.0.0.9", 0))
port = group.getsockname()[1]
group.settimeout(5)
blocked.sendto(b"blocked", ("239.1.2.3", port))
sender.sendto(b"any", ("239.1.2.3", port))
check("group", group.recv(100), b"any")
blocked.sendto(b"not asked for", ("239.4.5.6", port))
sender.sendto(b"asked for", ("239.4.5.6", port))
check("source", group.recv(100), b"asked for")
six.setsockopt(S.IPPROTO_IPV6, LEAVE, struct.pack("=I4x128s", 1, v6("ff11::77")))
probe = S.socket(S.AF_INET, S.SOCK_DGRAM)
probe.bind(("127.0.0.1", 0))
raw.settimeout(5)
probe.sendto(b"seen by raw", ("127.0.0.3", 9))
check("raw", raw.recv(100)[28:], b"seen by raw")
done()
