# A TCP connection is refused by name.
# refused: tcp-established
import socket

from common import check, done, ready

s = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(s.getsockname())
a, _ = s.accept()
ready()
c.send(b"alive")
check("untouched", a.recv(10), b"alive")
done()
