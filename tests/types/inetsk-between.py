# Internet sockets as both tools know them: a listener, one that is bound, one of UDP, of both families.
import socket

from common import check, done, ready

lst = socket.socket()
lst.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
lst.bind(("127.0.0.1", 0))
lst.listen(7)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.bind(("::1", 0))
names = [s.getsockname() for s in (lst, udp, six)]
ready()
check("names", [s.getsockname() for s in (lst, udp, six)], names)
c = socket.create_connection(names[0])
s, _ = lst.accept()
c.send(b"hello")
check("listener", s.recv(10), b"hello")
for s, name in ((udp, names[1]), (six, names[2])):
    t = socket.socket(s.family, socket.SOCK_DGRAM)
    t.sendto(b"datagram", name)
    check("datagram", s.recv(10), b"datagram")
done()
