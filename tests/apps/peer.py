"""A peer outside the tree: a network namespace of its own at the other end of a veth pair, and a look at every packet."""
import socket, struct
from cl import *

HERE = os.path.dirname(os.path.abspath(__file__))
OURS, THEIRS = "10.99.0.1", "10.99.0.2"
FIN, RST = 1, 4


class Peer:
    """The namespace, and a capture that counts what the tree's side sends: end-of-connection flags by port."""

    def __init__(self):
        need("ip", "nsenter", "unshare")
        self.pid = start(["unshare", "-n", "sleep", "1000000"], log="peer.out")
        until("a namespace", 10, lambda: os.readlink("/proc/%d/ns/net" % self.pid) != os.readlink("/proc/self/ns/net"))
        # The namespace of an earlier peer may take a while to go, and its end of the pair with it.
        subprocess.run(["ip", "link", "del", "cl0"], stderr=subprocess.DEVNULL)
        self.ip("link", "add", "cl0", "type", "veth", "peer", "name", "cl1", "netns", str(self.pid))
        self.ip("addr", "add", OURS + "/24", "dev", "cl0")
        self.ip("link", "set", "cl0", "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", THEIRS + "/24", "dev", "cl1"), ("link", "set", "cl1", "up")):
            self.run("ip", *words)
        self.seen = os.path.join(DIR, "capture")
        self.start([sys.executable, os.path.join(HERE, "peer.py"), "capture", self.seen], log="capture.out")
        until("the capture", 10, lambda: os.path.exists(self.seen))

    def ip(self, *words):
        subprocess.run(["ip", *words], check=True)

    def inside(self, argv):
        return ["nsenter", "-t", str(self.pid), "-n"] + list(map(str, argv))

    def run(self, *argv):
        return subprocess.run(self.inside(argv), check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout

    def start(self, argv, **kw):
        return start(self.inside(argv), **kw)

    def endings(self, port):
        """FINs and RSTs that came from our port."""
        time.sleep(0.1)
        return [l for l in open(self.seen).read().splitlines() if l.split()[0] == str(port)]


def capture(path):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    s.bind(("cl1", 0x0800))
    out = open(path, "w", buffering=1)
    while True:
        p, addr = s.recvfrom(100)
        if addr[2] == socket.PACKET_OUTGOING or p[9] != socket.IPPROTO_TCP:
            continue
        at = (p[0] & 15) * 4
        port, to = struct.unpack(">HH", p[at:at + 4])
        if p[at + 13] & (FIN | RST):
            out.write("%d to %d: %s\n" % (port, to, "RST" if p[at + 13] & RST else "FIN"))


if __name__ == "__main__":
    capture(sys.argv[2])
