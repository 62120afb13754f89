# Packet sockets: binding, options, memberships, rings, one of them mapped, fanout, the oldest kind.
import mmap
import socket
import struct

from common import check, done, ready

SOL, RX_RING, AUXDATA, ORIGDEV, VERSION, RESERVE, TX_RING, FANOUT = 263, 5, 8, 9, 10, 12, 13, 18
ADD, DROP, MULTICAST = 1, 2, 0
LO = struct.pack("iHH8s", 1, MULTICAST, 6, b"\1\0\x5e\1\2\3")
RING = struct.pack("7I", 4096, 2, 1024, 8, 0, 0, 0)
IP = socket.htons(0x800)

raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
raw.setsockopt(SOL, VERSION, 1)
raw.setsockopt(SOL, AUXDATA, 1)
raw.setsockopt(SOL, RX_RING, RING)
raw.setsockopt(SOL, TX_RING, RING)
ring = mmap.mmap(raw.fileno(), 16384)
cooked = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, IP)
cooked.bind(("lo", 0x800))
cooked.setsockopt(SOL, RESERVE, 16)
cooked.setsockopt(SOL, ORIGDEV, 1)
cooked.setsockopt(SOL, FANOUT, 42 | 1 << 16)
for _ in range(2):
    cooked.setsockopt(SOL, ADD, LO)
oldest = socket.socket(socket.AF_PACKET, 10, IP)
every = (raw, cooked)


def look():
    return [(s.getsockname(), s.type & 0xf, [s.getsockopt(SOL, o) for o in (VERSION, RESERVE, AUXDATA, ORIGDEV, FANOUT)])
            for s in every]


before = look()
ready()
check("names and options", look(), before)
check("ring", len(ring[:]), 16384)
for n in range(3):
    try:
        cooked.setsockopt(SOL, DROP, LO)
    except OSError:
        break
check("joined so often", n, 2)
cooked.settimeout(5)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    udp.sendto(b"look at this", ("127.0.0.1", 9))
    if b"look at this" in cooked.recv(2000):
        break
check("kind", oldest.type & 0xf, 10)
done()
