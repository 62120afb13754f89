# TCP connections in every state, both ends in the tree: queues, options, half-closed ones.
# dump: --tcp-established
# restore: --tcp-established
import array
import errno
import fcntl
import hashlib
import socket
import time

from common import check, done, ready

TCP_INFO = 11
STATES = {1: "ESTABLISHED", 4: "FIN_WAIT1", 5: "FIN_WAIT2", 7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN"}
SIOCINQ, SIOCOUTQ = 0x541B, 0x5411


def state(s):
    return STATES.get(s.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 1)[0], "?")


def queued(s, what):
    n = array.array("i", [0])
    fcntl.ioctl(s, what, n)
    return n[0]


def info(s):
    """Window scale and options."""
    b = s.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)
    return b[5], b[6]


def segment(s):
    """How large segments are, in bytes: what the two have agreed on, bound by the largest window that was seen."""
    return int.from_bytes(s.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)[16:20], "little")



def pair(family=socket.AF_INET, to=None):
    lis = socket.socket(family)
    lis.bind(("127.0.0.1" if family == socket.AF_INET else "::", 0))
    lis.listen(4)
    c = socket.create_connection((to or lis.getsockname()[0], lis.getsockname()[1]))
    a, _ = lis.accept()
    lis.close()
    return c, a


def fill(s):
    s.setblocking(False)
    sent = hashlib.sha1()
    n = 0
    try:
        while True:
            piece = b"%010d" % n * 1000
            got = s.send(piece)
            sent.update(piece[:got])
            n += got
    except BlockingIOError:
        pass
    s.setblocking(True)
    return n, sent.hexdigest()


def drain(s, n):
    s.settimeout(10)
    h = hashlib.sha1()
    while n:
        piece = s.recv(min(n, 1 << 16))
        if not piece:
            return "end of file, %d bytes missing" % n
        h.update(piece)
        n -= len(piece)
    return h.hexdigest()


pairs = {"v4": pair(), "v6": pair(socket.AF_INET6, "::1"), "mapped": pair(socket.AF_INET6, "127.0.0.1"),
         "full": pair(), "small": pair(), "half": pair(), "both": pair(), "closed": pair(), "full-half": pair(), "shut-rd": pair(), "reset": pair()}
c, a = pairs["v4"]
c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 99)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 5)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 12345)
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\7\0\0\0")
a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
a.send(b"corked")
a.setsockopt(socket.SOL_SOCKET, 42, 3)  # SO_PEEK_OFF
for name in ("full", "full-half"):
    # Else the kernel goes on tuning it.
    pairs[name][0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 600000)
sent = {"full": fill(pairs["full"][0]), "full-half": fill(pairs["full-half"][0])}
c, a = pairs["small"]
c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
sent["small"] = fill(c)
pairs["half"][0].send(b"last words")
pairs["half"][0].shutdown(socket.SHUT_WR)
pairs["both"][0].shutdown(socket.SHUT_WR)
pairs["both"][1].shutdown(socket.SHUT_WR)
c, a = pairs["closed"]
a.send(b"unread")
a.shutdown(socket.SHUT_WR)
c.shutdown(socket.SHUT_WR)
pairs["full-half"][0].shutdown(socket.SHUT_WR)
pairs["shut-rd"][0].shutdown(socket.SHUT_RD)
c, a = pairs["reset"]
a.send(b"before")
a.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
c.recv(1)
a.close()


def picture():
    return {name: [(state(s), s.getsockname(), info(s), queued(s, SIOCINQ), queued(s, SIOCOUTQ), s.getsockopt(socket.SOL_SOCKET, 72),
                    s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF), s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
                    s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) for s in p if s.fileno() >= 0] for name, p in pairs.items()}


time.sleep(0.3)  # acknowledgements may be late
before = picture()
segments = {name: segment(pairs[name][0]) for name in ("v4", "v6", "mapped")}
ready()
for name, size in segments.items():
    check(name + " segments", segment(pairs[name][0]) >= size, True)
for name, p in picture().items():
    # What was sent and lost arrives again; what the peer has read leaves the queue.
    for got, want in zip(p, before[name]):
        check(name, got[:3] + got[5:], want[:3] + want[5:])
        check(name + " in", got[3] >= want[3], True)
c, a = pairs["v4"]
check("options", [c.getsockopt(socket.IPPROTO_TCP, o) for o in (socket.TCP_KEEPIDLE, socket.TCP_KEEPCNT, socket.TCP_NODELAY, socket.TCP_USER_TIMEOUT)],
      [99, 5, 1, 12345])
check("congestion", c.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0"), b"reno")
check("linger", c.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8), b"\1\0\0\0\7\0\0\0")
check("cork", a.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), 1)
check("peek offset", a.getsockopt(socket.SOL_SOCKET, 42), 3)
a.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
for name in ("v4", "v6", "mapped"):
    c, a = pairs[name]
    c.settimeout(10)
    a.settimeout(10)
    c.sendall(b"there")
    check(name + " there", a.recv(5, socket.MSG_WAITALL), b"there")
    a.sendall(b"back")
    want = b"corkedback" if name == "v4" else b"back"
    check(name + " back", c.recv(len(want), socket.MSG_WAITALL), want)
for name in ("full", "small", "full-half"):
    check(name, drain(pairs[name][1], sent[name][0]), sent[name][1])
check("end after all", pairs["full-half"][1].recv(1), b"")
c, a = pairs["half"]
check("half", a.recv(100), b"last words")
check("half end", a.recv(100), b"")
a.sendall(b"still here")
check("half back", c.recv(100), b"still here")
for s in pairs["both"]:
    check("both", s.recv(10), b"")
check("closed", (pairs["closed"][0].recv(10), pairs["closed"][0].recv(10)), (b"unread", b""))
check("shut-rd", pairs["shut-rd"][0].recv(10), b"")
pairs["shut-rd"][0].sendall(b"x")
check("shut-rd there", pairs["shut-rd"][1].recv(10), b"x")
c = pairs["reset"][0]
check("reset, queue", c.recv(10), b"efore")
try:
    check("reset", c.recv(10), "an error")
except OSError as e:
    check("reset", e.errno in (errno.ECONNRESET, errno.EPIPE), True)
done()
