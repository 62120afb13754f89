# TCP sockets that listen or are unused, UDP sockets, their options.
import socket
import os

from common import check, done, ready

tcp = socket.socket()
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 3)
tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50000)
tcp.bind(("127.0.0.1", 0))
tcp.listen(7)
six = socket.socket(socket.AF_INET6)
six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
six.bind(("::1", 0))
six.listen(5)
six.setblocking(False)
bound = socket.socket()
bound.bind(("127.0.0.1", 0))
unused = socket.socket()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
peer.connect(udp.getsockname())
# Connections that are over leave the port in TIME_WAIT.
c = socket.create_connection(tcp.getsockname())
s, _ = tcp.accept() if c.send(b"x") else None
s.close()
c.close()
all_of = (tcp, six, bound, unused, udp, peer)
names = [s.getsockname() for s in all_of]
opts = [[s.getsockopt(socket.SOL_SOCKET, o) for s in all_of]
        for o in (socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_REUSEADDR, socket.SO_KEEPALIVE)]
ready()
check("names", [s.getsockname() for s in all_of], names)
check("peer", peer.getpeername(), udp.getsockname())
check("options", [[s.getsockopt(socket.SOL_SOCKET, o) for s in all_of]
                  for o in (socket.SO_SNDBUF, socket.SO_RCVBUF, socket.SO_REUSEADDR,
                            socket.SO_KEEPALIVE)], opts)
check("nodelay", tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
check("keepidle", tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 77)
check("v6only", six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY), 1)
c = socket.create_connection(tcp.getsockname())
c.send(b"hello")
s, _ = tcp.accept()
check("accepted", s.recv(10), b"hello")
c6 = socket.create_connection(six.getsockname()[:2])
s6, _ = six.accept()
c6.send(b"six")
s6.setblocking(True)
check("accepted six", s6.recv(10), b"six")
peer.send(b"datagram")
check("udp", udp.recv(100), b"datagram")
bound.listen(1)
check("bound", socket.create_connection(bound.getsockname()).getpeername(), bound.getsockname())
done()
