# An urgent byte among what a TCP connection has received: not read, read before its turn, at its turn, in line. Each is refused.
# dump: --tcp-established
# refused: tcp-urgent
# says: fd 113 .*urgent byte
# says: fd 114 .*urgent byte
# says: fd 115 .*urgent byte
# says: fd 116 .*urgent byte
# says: fd 117 .*urgent byte
# says: fd 118 .*urgent byte
import os
import socket
import time

from common import check, done, ready

OOB = socket.MSG_OOB
lis = socket.create_server(("127.0.0.1", 0))
lis6 = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)


def pair(fd, listening=lis, inline=False):
    c = socket.create_connection(("127.0.0.1", listening.getsockname()[1]))
    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    a, _ = listening.accept()
    if inline:
        a.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    os.dup2(a.fileno(), fd)
    a.close()
    c.send(b"abc")
    c.send(b"X", OOB)
    c.send(b"def")
    time.sleep(0.05)
    return c, socket.socket(fileno=fd)


waiting, fetched, reached, inline, mapped = pair(113), pair(114), pair(115), pair(116, inline=True), pair(117, lis6)
check("fetched", fetched[1].recv(1, OOB), b"X")
check("mapped", mapped[1].recv(1, OOB), b"X")
check("reached", reached[1].recv(1, OOB) + reached[1].recv(10), b"Xabc")
first = pair(118)
check("first", first[1].recv(3), b"abc")
ready()
check("after the refusal", waiting[1].recv(1, OOB) + waiting[1].recv(10) + waiting[1].recv(10), b"Xabcdef")
check("after the refusal", fetched[1].recv(10) + fetched[1].recv(10), b"abcdef")
check("after the refusal", mapped[1].recv(10) + mapped[1].recv(10), b"abcdef")
check("after the refusal", reached[1].recv(10), b"def")
check("after the refusal", first[1].recv(1, OOB) + first[1].recv(10), b"Xdef")
check("after the refusal", inline[1].recv(10) + inline[1].recv(10), b"abcXdef")
done()
