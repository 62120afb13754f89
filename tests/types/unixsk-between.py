# Unix sockets as both tools know them: a pair with data both ways, a listener, an unconnected one.
import os
import socket

from common import check, done, ready

a, b = socket.socketpair()
a.send(b"to b")
b.send(b"to a")
x, y = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
for word in (b"one", b"two two"):
    x.send(word)
lst = socket.socket(socket.AF_UNIX)
lst.bind("listen")
lst.listen(5)
lone = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
ready()
check("pair", (a.recv(10), b.recv(10)), (b"to a", b"to b"))
check("datagrams", (y.recv(10), y.recv(10)), (b"one", b"two two"))
c = socket.socket(socket.AF_UNIX)
c.connect("listen")
s, _ = lst.accept()
c.send(b"hello")
check("listener", s.recv(10), b"hello")
a.close()
check("end", b.recv(10), b"")
done()
