# A socket whose peer is outside the tree is refused by name.
# refused: unix-peer-outside
import os
import signal
import socket
import time

from common import check, done, ready

a, b = socket.socketpair()
# The other end goes to a task that is no descendant.
if not os.fork():
    if os.fork():
        os._exit(0)
    a.close()
    signal.alarm(60)
    while data := b.recv(100):
        b.send(data.upper())
    os._exit(0)
os.wait()
b.close()
time.sleep(0.05)
ready()
a.send(b"hello")
check("untouched", a.recv(100), b"HELLO")
done()
