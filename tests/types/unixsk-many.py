# Many Unix sockets, each with another option set, some of them with something queued.
import ctypes
import resource
import socket
import struct

from common import check, done, ready

N = 330
SOL = socket.SOL_SOCKET
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
NAMES = {"DEBUG": 1, "REUSEADDR": 2, "DONTROUTE": 5, "BROADCAST": 6, "SNDBUF": 7, "RCVBUF": 8, "KEEPALIVE": 9,
         "OOBINLINE": 10, "NO_CHECK": 11, "PRIORITY": 12, "LINGER": 13, "REUSEPORT": 15, "PASSCRED": 16,
         "RCVLOWAT": 18, "RCVTIMEO": 20, "SNDTIMEO": 21, "BINDTODEVICE": 25, "FILTER": 26, "TIMESTAMP": 29,
         "PASSSEC": 34, "TIMESTAMPNS": 35, "MARK": 36, "PEEK_OFF": 42, "LOCK_FILTER": 44, "BUF_LOCK": 72,
         "PASSPIDFD": 76, "PASSRIGHTS": 83, "INQ": 84}
ACCEPT = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 4096))
VALUES = {"LINGER": struct.pack("ii", 1, 7), "RCVTIMEO": struct.pack("qq", 3, 250000),
          "SNDTIMEO": struct.pack("qq", 4, 500000), "BINDTODEVICE": b"lo\0", "SNDBUF": struct.pack("i", 50000),
          "RCVBUF": struct.pack("i", 60000), "PRIORITY": struct.pack("i", 5), "MARK": struct.pack("i", 77),
          "PASSRIGHTS": struct.pack("i", 0), "RCVLOWAT": struct.pack("i", 3), "PEEK_OFF": struct.pack("i", 2),
          "FILTER": struct.pack("HxxxxxxQ", 1, ctypes.addressof(ACCEPT))}


def get(sock, name):
    try:
        # What is asked for without room tells how long the filter is.
        if name == "FILTER":
            size = ctypes.c_uint(0)
            ctypes.CDLL(None).getsockopt(sock.fileno(), SOL, NAMES[name], None, ctypes.byref(size))
            return size.value
        return sock.getsockopt(SOL, NAMES[name], 64)
    except OSError as e:
        return e.errno


def state(sock):
    return {name: get(sock, name) for name in NAMES if name != "DEBUG"}


resource.setrlimit(resource.RLIMIT_NOFILE, (2 * N + 100,) * 2)
pairs = [socket.socketpair(socket.AF_UNIX, KINDS[i % 3]) for i in range(N)]
new = state(pairs[0][0])
moved = set()
for i, (a, b) in enumerate(pairs):
    name = list(NAMES)[(i // 3) % len(NAMES)]
    try:
        a.setsockopt(SOL, NAMES[name], VALUES.get(name, struct.pack("i", 1)))
    except OSError:
        continue
    moved.update(n for n, v in state(a).items() if v != new[n])
    if name not in ("DEBUG", "PEEK_OFF", "RCVLOWAT") and i % 2:
        b.send(b"to %d" % i)
was = [(state(a), state(b)) for a, b in pairs]
ready()
for i, (a, b) in enumerate(pairs):
    check("options of %d" % i, (state(a), state(b)), was[i])
check("options that could be set", len(moved) > 20, True)
for i, (a, b) in enumerate(pairs):
    b.send(b"end")
    got = a.recv(100)
    check("data of %d" % i, got in (b"end", b"to %d" % i, b"to %dend" % i), True)
done()
