# Queues of Unix sockets: every message boundary, who sent it and under which name.
import array
import os
import signal
import socket
import struct

from common import check, done, ready

STREAM, DGRAM, SEQ = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
SOL, RIGHTS, CRED = socket.SOL_SOCKET, socket.SCM_RIGHTS, 2
PASSCRED, PEEK_OFF = 16, 42


def rights(*files):
    return [(SOL, RIGHTS, array.array("i", [f.fileno() if hasattr(f, "fileno") else f for f in files]))]


def take(sock, size, room=10):
    """data, descriptors, credentials, address of the next read"""
    data, control, flags, addr = sock.recvmsg(size, socket.CMSG_SPACE(room * 4) + 64, socket.MSG_DONTWAIT)
    fds, cred = array.array("i"), None
    for level, kind, text in control:
        if kind == RIGHTS:
            fds.frombytes(text[:len(text) // 4 * 4])
        if kind == CRED:
            cred = struct.unpack("3i", text)
    return data, list(fds), cred, addr


def empty(sock):
    try:
        return sock.recv(100, socket.MSG_DONTWAIT) == b"none"
    except BlockingIOError:
        return True


here = os.getcwd()
# Datagrams, an empty one first, one larger than a first look has room for.
da, db = socket.socketpair(socket.AF_UNIX, DGRAM)
for m in (b"", b"one", b"two", b"x" * 100000, b"last"):
    da.send(m)
# Packets, the peer closed.
sa, sb = socket.socketpair(socket.AF_UNIX, SEQ)
for m in (b"first", b"second", b"3"):
    sa.send(m)
sa.close()
# A stream with files in its middle, and more after that; nothing of the files is open elsewhere.
ta, tb = socket.socketpair()
r, w = os.pipe()
os.write(w, b"in the pipe")
ta.send(b"before ")
ta.sendmsg([b"with"], rights(r, w))
ta.send(b" after")
ta.sendmsg([b"!"], rights(r))
os.close(r)
os.close(w)
# Named: from a socket with a name, from one that is gone, from nobody.
named = socket.socket(socket.AF_UNIX, DGRAM)
named.bind(here + "/named")
friend = socket.socket(socket.AF_UNIX, DGRAM)
friend.bind("\0friend-%d" % os.getpid())
friend.sendto(b"from a friend", here + "/named")
gone = socket.socket(socket.AF_UNIX, DGRAM)
gone.bind(here + "/gone")
gone.sendto(b"from one who left", here + "/named")
gone.close()
socket.socket(socket.AF_UNIX, DGRAM).sendto(b"from nobody", here + "/named")
# Credentials: of this process, of a child that has ended, and made up.
ca, cb = socket.socketpair(socket.AF_UNIX, DGRAM)
cb.setsockopt(SOL, PASSCRED, 1)
ca.send(b"mine")
child = os.fork()
if not child:
    ca.send(b"of the dead")
    os._exit(0)
os.waitpid(child, 0)
ca.sendmsg([b"made up"], [(SOL, CRED, struct.pack("3i", os.getpid(), 12345, 54321))])
# Glued bytes of several writers.
ga, gb = socket.socketpair()
gb.setsockopt(SOL, PASSCRED, 1)
ga.send(b"parent ")
if not (second := os.fork()):
    ga.send(b"child")
    os._exit(0)
os.waitpid(second, 0)
# The program peeks with an offset of its own.
oa, ob = socket.socketpair()
oa.send(b"0123456789")
ob.setsockopt(SOL, PEEK_OFF, 4)
# A queue in both directions, of a pair that another process has the other end of, half closed.
pa, pb = socket.socketpair()
pa.send(b"to the child")
pb.send(b"to the parent")
pa.shutdown(socket.SHUT_WR)
pid = os.fork()
if not pid:
    pa.close()
    signal.signal(signal.SIGTERM, lambda *_: pb.send(b"|" + pb.recv(100) + pb.recv(100)))
    while True:
        signal.pause()
pb.close()
# An orphan of datagrams: its peer has closed.
ha, hb = socket.socketpair(socket.AF_UNIX, DGRAM)
hb.send(b"good")
hb.send(b"bye")
hb.close()
ready()
check("datagrams", [db.recv(200000) for _ in range(5)], [b"", b"one", b"two", b"x" * 100000, b"last"])
check("no more datagrams", empty(db), True)
check("packets", [sb.recv(100) for _ in range(4)], [b"first", b"second", b"3", b""])
check("short read brings no file", take(tb, 3), (b"bef", [], None, None))
data, fds, _, _ = take(tb, 100)
check("up to the files", (data, len(fds)), (b"ore with", 2))
check("the pipe", os.read(fds[0], 100), b"in the pipe")
os.write(fds[1], b"through")
data, more, _, _ = take(tb, 100)
check("after the files", (data, len(more)), (b" after!", 1))
check("one pipe", os.read(more[0], 100), b"through")
check("names", [named.recvfrom(100) for _ in range(3)],
      [(b"from a friend", b"\0friend-%d" % os.getpid()), (b"from one who left", here + "/gone"),
       (b"from nobody", None)])
me = (os.getpid(), os.getuid(), os.getgid())
check("credentials", [take(cb, 100)[::2] for _ in range(3)],
      [(b"mine", me), (b"of the dead", (child, *me[1:])), (b"made up", (me[0], 12345, 54321))])
check("writers", [take(gb, 100)[::2] for _ in range(2)], [(b"parent ", me), (b"child", (second, *me[1:]))])
check("own offset", ob.getsockopt(SOL, PEEK_OFF), 4)
check("peek at it", ob.recv(3, socket.MSG_PEEK), b"456")
check("read from the head", ob.recv(4), b"0123")
os.kill(pid, signal.SIGTERM)
text = b""
while len(text) < 26:
    text += pa.recv(100)
check("both ways", text, b"to the parent|to the child")
os.kill(pid, signal.SIGKILL)
check("orphan", [ha.recv(100) for _ in range(2)], [b"good", b"bye"])
check("names that were lent", sorted(n for n in os.listdir(here) if n in ("gone", "named")), ["gone", "named"])
done()
