# Sockets of every kind, in states that other tools can carry over as well: for exchanging images.
import array
import os
import socket
import struct

from common import check, done, ready

S = socket
STREAM, DGRAM, SEQ = S.SOCK_STREAM, S.SOCK_DGRAM, S.SOCK_SEQPACKET
here = os.getcwd()
pairs = [S.socketpair(S.AF_UNIX, kind) for kind in (STREAM, DGRAM, SEQ)]
for near, far in pairs:
    near.send(b"one")
    near.send(b"two")
    far.send(b"back")
r, w = os.pipe()
flight, landing = S.socketpair(S.AF_UNIX, DGRAM)
flight.sendmsg([b"pipe"], [(S.SOL_SOCKET, S.SCM_RIGHTS, array.array("i", [r]))])
listening = S.socket(S.AF_UNIX)
listening.bind(here + "/listening")
os.chmod("listening", 0o710)
listening.listen(5)
client = S.socket(S.AF_UNIX)
client.connect(here + "/listening")
accepted, _ = listening.accept()
accepted.send(b"accepted")
waiting = S.socket(S.AF_UNIX)
waiting.connect(here + "/listening")
abstract = S.socket(S.AF_UNIX, DGRAM)
abstract.bind("\0exchange-%d" % os.getpid())
sender = S.socket(S.AF_UNIX, DGRAM)
sender.connect(abstract.getsockname())
sender.send(b"by name")
half, whole = S.socketpair()
half.send(b"last words")
half.shutdown(S.SHUT_WR)
udp, peer = (S.socket(S.AF_INET, DGRAM) for _ in range(2))
udp.bind(("127.0.0.1", 0))
peer.connect(udp.getsockname())
tcp = S.create_server(("127.0.0.1", 0))
raw = S.socket(S.AF_INET, S.SOCK_RAW, 1)
raw.setsockopt(255, 1, struct.pack("I", 0x100))
netlink = S.socket(S.AF_NETLINK, S.SOCK_RAW, 15)
netlink.bind((4242, 2))
packet = S.socket(S.AF_PACKET, S.SOCK_RAW, 0)
packet.setsockopt(263, 10, 1)
packet.setsockopt(263, 5, struct.pack("7I", 4096, 1, 1024, 4, 0, 0, 0))
packet.setsockopt(263, 1, struct.pack("iHH8s", 1, 1, 0, b""))
for s in (udp, netlink, packet):
    s.setsockopt(S.SOL_SOCKET, S.SO_RCVBUF, 100000)
# Not the accepted one, which CRIU 4.2 leaves without its name.
every = (listening, client, abstract, sender, udp, peer, tcp, raw, netlink, packet)
names = [(s.getsockname(), s.type, s.proto, s.getsockopt(S.SOL_SOCKET, S.SO_RCVBUF)) for s in every]
ready()
check("names", [(s.getsockname(), s.type, s.proto, s.getsockopt(S.SOL_SOCKET, S.SO_RCVBUF)) for s in every], names)
for (near, far), want in zip(pairs, (b"onetwo", b"one", b"one")):
    check("queue", far.recv(100), want)
    check("the other queue", near.recv(100), b"back")
check("second message", [far.recv(100) for _, far in pairs[1:]], [b"two", b"two"])
data, control, _, _ = landing.recvmsg(100, 100)
fd = struct.unpack("i", control[0][2][:4])[0]
os.write(w, b"through the pipe")
check("in flight", (data, os.read(fd, 100)), (b"pipe", b"through the pipe"))
check("accepted", client.recv(100), b"accepted")
late, _ = listening.accept()
waiting.send(b"waited")
check("waited to be accepted", late.recv(100), b"waited")
check("mode", os.stat("listening").st_mode & 0o7777, 0o710)
check("by name", abstract.recv(100), b"by name")
sender.send(b"again")
check("by name again", abstract.recv(100), b"again")
check("half closed", whole.recv(100) + whole.recv(100), b"last words")
peer.send(b"datagram")
check("udp", udp.recv(100), b"datagram")
check("icmp filter", raw.getsockopt(255, 1, 4), struct.pack("I", 0x100))
check("packet version", packet.getsockopt(263, 10), 1)
done()
