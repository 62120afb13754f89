# Unix sockets: pairs with data, listening, accepted, bound, datagrams, half closed, peer gone.
import os
import signal
import socket
import stat

from common import check, done, ready

STREAM, DGRAM, SEQ = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
a, b = socket.socketpair()
a.send(b"queued")
b.setblocking(False)
sa, sb = socket.socketpair(socket.AF_UNIX, SEQ)
sa.send(b"packet")
ls = socket.socket(socket.AF_UNIX)
ls.bind(os.path.abspath("listen"))
os.chmod("listen", 0o711)
ls.listen(3)
c = socket.socket(socket.AF_UNIX)
c.connect(os.path.abspath("listen"))
s, _ = ls.accept()
s.send(b"welcome")
ab = socket.socket(socket.AF_UNIX)
ab.bind(b"\0abstract-%d" % os.getpid())
ab.listen(1)
abc = socket.socket(socket.AF_UNIX)
abc.connect(ab.getsockname())
abs_, _ = ab.accept()
rel = socket.socket(socket.AF_UNIX)
rel.bind("relative")
rel.listen(1)
dg = socket.socket(socket.AF_UNIX, DGRAM)
dg.bind(os.path.abspath("dgram"))
dc = socket.socket(socket.AF_UNIX, DGRAM)
dc.connect(os.path.abspath("dgram"))
da, db = socket.socketpair(socket.AF_UNIX, DGRAM)
ha, hb = socket.socketpair()
ha.send(b"half")
ha.shutdown(socket.SHUT_WR)
ga, gb = socket.socketpair()
gb.send(b"goodbye")
gb.close()
unused = socket.socket(socket.AF_UNIX)
pa, pb = socket.socketpair()
pid = os.fork()
if not pid:
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for x in (a, b, sa, sb, ls, c, s, ab, abc, abs_, rel, dg, dc, da, db, ha, hb, ga, unused, pa):
        x.close()
    while True:
        pb.send(pb.recv(100).upper())
pb.close()
every = (a, b, ls, c, s, ab, abc, abs_, rel, dg, dc)
names = [x.getsockname() for x in every]
peers = [x.getpeername() for x in (c, s, abc, abs_, dc)]
ready()
check("names", [x.getsockname() for x in every], names)
check("peers", [x.getpeername() for x in (c, s, abc, abs_, dc)], peers)
check("queue", b.recv(100), b"queued")
try:
    b.recv(1)
    check("non-blocking", "read", "EAGAIN")
except BlockingIOError:
    pass
b.send(b"back")
check("pair", a.recv(100), b"back")
check("seqpacket", sb.recv(100), b"packet")
check("accepted", c.recv(100), b"welcome")
c.send(b"thanks")
check("accepted back", s.recv(100), b"thanks")
abc.send(b"abstract")
check("abstract", abs_.recv(100), b"abstract")
for l in (ls, ab, rel):
    n = socket.socket(socket.AF_UNIX)
    n.connect(l.getsockname())
    x, _ = l.accept()
    n.send(b"new")
    check(f"new client of {l.getsockname()}", x.recv(100), b"new")
check("mode", stat.S_IMODE(os.stat("listen").st_mode), 0o711)
dc.send(b"datagram")
check("datagram", dg.recv(100), b"datagram")
da.send(b"pair")
check("datagram pair", db.recv(100), b"pair")
check("half closed", hb.recv(100) + hb.recv(100), b"half")
hb.send(b"other way")
check("other way", ha.recv(100), b"other way")
check("peer gone", ga.recv(100) + ga.recv(100), b"goodbye")
pa.send(b"shout")
check("with the child", pa.recv(100), b"SHOUT")
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
check("child gone", pa.recv(100), b"")
done()
