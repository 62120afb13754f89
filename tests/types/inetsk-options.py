# Options of sockets, of every level: what can be set and read again.
import socket
import struct

from common import check, done, ready

S = socket
SOL, IP, IP6, UDP, RAW = S.SOL_SOCKET, S.IPPROTO_IP, S.IPPROTO_IPV6, S.IPPROTO_UDP, 255
COMMON = [(SOL, "DEBUG", 1, 1), (SOL, "REUSEADDR", 2, 1), (SOL, "DONTROUTE", 5, 1), (SOL, "SNDBUF", 7, 3000000),
          (SOL, "RCVBUF", 8, 2000000), (SOL, "OOBINLINE", 10, 1), (SOL, "PRIORITY", 12, 5), (SOL, "RCVLOWAT", 18, 7),
          (SOL, "TIMESTAMPNS", 35, 1), (SOL, "MARK", 36, 77), (SOL, "BUF_LOCK", 72, 3),
          (SOL, "SNDTIMEO", 21, struct.pack("qq", 5, 250000)), (SOL, "RCVTIMEO", 20, struct.pack("qq", 0, 500000)),
          (SOL, "LINGER", 13, struct.pack("ii", 1, 9))]
DGRAM = [(SOL, "TIMESTAMPING", 37, 0x18), (SOL, "NO_CHECK", 11, 1), (SOL, "BROADCAST", 6, 1), (SOL, "RXQ_OVFL", 40, 1),
         (SOL, "SELECT_ERR_QUEUE", 45, 1), (SOL, "MAX_PACING_RATE", 47, struct.pack("Q", 1 << 40)), (SOL, "RCVMARK", 75, 1),
         (SOL, "PEEK_OFF", 42, 3), (SOL, "BINDTODEVICE", 25, b"lo\0"), (SOL, "TXTIME", 61, struct.pack("iI", 1, 1))]
V4 = [(IP, "TOS", 1, 0x10), (IP, "TTL", 2, 33), (IP, "RECVOPTS", 6, 1), (IP, "RETOPTS", 7, 1), (IP, "PKTINFO", 8, 1),
      (IP, "MTU_DISCOVER", 10, 3), (IP, "RECVERR", 11, 1), (IP, "RECVTTL", 12, 1), (IP, "RECVTOS", 13, 1),
      (IP, "FREEBIND", 15, 1), (IP, "TRANSPARENT", 19, 1), (IP, "ORIGDSTADDR", 20, 1), (IP, "MINTTL", 21, 4),
      (IP, "BIND_ADDRESS_NO_PORT", 24, 1), (IP, "RECVFRAGSIZE", 25, 1), (IP, "MULTICAST_TTL", 33, 6),
      (IP, "MULTICAST_LOOP", 34, 0), (IP, "MULTICAST_ALL", 49, 0), (IP, "OPTIONS", 4, b"\x94\4\0\0"),
      (IP, "MULTICAST_IF", 32, S.inet_aton("127.0.0.1")), (IP, "LOCAL_PORT_RANGE", 51, struct.pack("I", 40000 | 41000 << 16))]
V6 = [(IP6, "UNICAST_HOPS", 16, 9), (IP6, "MULTICAST_HOPS", 18, 8), (IP6, "MULTICAST_LOOP", 19, 0), (IP6, "V6ONLY", 26, 1),
      (IP6, "RECVERR", 25, 1), (IP6, "MULTICAST_ALL", 29, 0), (IP6, "RECVPKTINFO", 49, 1), (IP6, "RECVHOPLIMIT", 51, 1),
      (IP6, "RECVRTHDR", 56, 1), (IP6, "RECVPATHMTU", 60, 1), (IP6, "DONTFRAG", 62, 1), (IP6, "RECVTCLASS", 66, 1),
      (IP6, "TCLASS", 67, 0x20), (IP6, "AUTOFLOWLABEL", 70, 0), (IP6, "ADDR_PREFERENCES", 72, 1), (IP6, "MINHOPCOUNT", 73, 3),
      (IP6, "TRANSPARENT", 75, 1), (IP6, "FREEBIND", 78, 1), (IP6, "MTU_DISCOVER", 23, 2),
      (IP6, "DSTOPTS", 59, b"\0\0\1\4\0\0\0\0"), (IP6, "MULTICAST_IF", 17, 1)]
UDPS = [(UDP, "CORK", 1, 1), (UDP, "ENCAP", 100, 2), (UDP, "SEGMENT", 103, 500), (UDP, "GRO", 104, 1)]
UNIX = [(SOL, "PASSCRED", 16, 1), (SOL, "PASSSEC", 34, 1), (SOL, "PASSPIDFD", 76, 1), (SOL, "PASSRIGHTS", 83, 0)]


def make(family, kind, proto, options):
    """A socket with those of the options that this kernel, and its kind, have."""
    s, kept = S.socket(family, kind, proto), []
    for level, name, number, value in options:
        try:
            s.setsockopt(level, number, value)
            kept.append((level, name, number))
        except OSError:
            pass
    return s, kept


def look(s, kept):
    return [(name, s.getsockopt(level, number, 128)) for level, name, number in kept]


every = [make(S.AF_INET, S.SOCK_DGRAM, 0, COMMON + DGRAM + V4 + UDPS), make(S.AF_INET6, S.SOCK_DGRAM, 0, COMMON + DGRAM + V6 + UDPS),
         make(S.AF_INET, S.SOCK_STREAM, 0, COMMON + V4), make(S.AF_INET6, S.SOCK_STREAM, 0, COMMON + V6),
         make(S.AF_INET, S.SOCK_RAW, 1, COMMON + DGRAM + V4 + [(RAW, "FILTER", 1, struct.pack("I", 0x5a))]),
         make(S.AF_INET6, S.SOCK_RAW, 58, COMMON + DGRAM + V6 + [(58, "FILTER", 1, bytes(range(32)))]),
         make(S.AF_INET, S.SOCK_RAW, 99, [(IP, "NODEFRAG", 22, 1), (IP, "HDRINCL", 3, 1)]),
         make(S.AF_INET6, S.SOCK_RAW, 99, [(RAW, "CHECKSUM", 7, 4)]),
         make(S.AF_INET, S.SOCK_DGRAM, 136, [(136, "SEND_CSCOV", 10, 20), (136, "RECV_CSCOV", 11, 12)]),
         make(S.AF_UNIX, S.SOCK_DGRAM, 0, COMMON[1:] + UNIX)]
before = [look(s, kept) for s, kept in every]
check("enough of them", sum(len(kept) for _, kept in every) > 180, True)
ready()
for (s, kept), want in zip(every, before):
    for got, was in zip(look(s, kept), want):
        check(f"{s.family.name} {s.type.name}", got, was)
done()
