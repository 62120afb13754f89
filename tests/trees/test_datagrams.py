#!/usr/bin/python3
"""What of datagram sockets cannot be taken along is said, with pid and descriptor, and of no other socket."""
from busylib import *

SERVER = r'''
import signal, socket, struct
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    return s
unread, plain, by_index, by_addr = udp(), udp(), udp(), udp()
plain.sendto(b"nobody reads this", unread.getsockname())
for s, mreqn in ((by_index, struct.pack("=4s4si", bytes(4), bytes(4), 1)), (by_addr, socket.inet_aton("127.0.0.1"))):
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 4)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, mreqn)
print("FDS", unread.fileno(), by_index.fileno(), flush=True)
signal.pause()
'''


def test_losses_are_named():
    pid = start([sys.executable, "-c", SERVER], log="server")
    until("the sockets", 10, lambda: "\n" in text(DIR + "/server"))
    unread, by_index = text(DIR + "/server").split()[1:]
    d = images()
    dump(pid, d, "-o", "dump.log", "-R")
    said = [l for l in text(d + "/dump.log").splitlines() if "pid %d fd " % pid in l]
    assert len(said) == 2, said
    assert any("fd %s: datagrams not read yet" % unread in l for l in said), said
    assert any("fd %s: uses multicast" % by_index in l and "IP_MULTICAST_IF" in l for l in said), said


main()
