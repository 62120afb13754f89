#!/usr/bin/python3
"""Unix sockets with a peer outside of the tree: refused with both ends named, reconnected, closed, inherited."""
from cl import *
import socket

PROG = os.path.join(DIR, "prog.py")
TEXT = '''
import os, signal, socket, sys
dgram, stream = (socket.socket(socket.AF_UNIX, k) for k in (socket.SOCK_DGRAM, socket.SOCK_STREAM))
if sys.argv[2:]:
    dgram = stream = socket.socket(fileno=int(sys.argv[2]))
else:
    dgram.connect(sys.argv[1] + "/dgram")
    stream.connect(sys.argv[1] + "/stream")
def say(*_):
    for s in (dgram, stream):
        try:
            s.send(b"here")
        except OSError as e:
            print("E", e.errno, flush=True)
def hear(*_):
    print("H", stream.recv(100, socket.MSG_DONTWAIT), flush=True)
signal.signal(signal.SIGUSR1, say)
signal.signal(signal.SIGUSR2, hear)
print("READY", flush=True)
while True:
    signal.pause()
'''


class Outside:
    """The sockets of the test itself, and a program that is connected to them."""

    def __init__(self, fd=None):
        with open(PROG, "w") as f:
            f.write(TEXT)
        self.close()
        self.dgram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.stream = socket.socket(socket.AF_UNIX)
        for s, name in (self.dgram, "/dgram"), (self.stream, "/stream"):
            s.bind(DIR + name)
            s.settimeout(5)
        self.stream.listen(4)
        self.out = os.path.join(DIR, "out")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.out)
        more = {} if fd is None else {"pass_fds": [fd]}
        self.pid = start(["/usr/bin/python3", "-S", PROG, DIR] + ([] if fd is None else [str(fd)]), **more)
        until("READY", 10, lambda: "READY" in open(self.out).read())
        until("it to sleep", 10, lambda: stat(self.pid)["state"] == "S")
        self.near = None if fd is not None else self.stream.accept()[0]
        if self.near:
            self.near.settimeout(5)

    def close(self):
        for name in "/dgram", "/stream":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(DIR + name)

    def inode(self, what):
        """Of the program's socket of a kind."""
        want = {"dgram": 3, "stream": 4}[what]
        return int(os.readlink("/proc/%d/fd/%d" % (self.pid, want))[8:-1])

    def gone(self, d, *more):
        dump(self.pid, d, *more)
        until("the dumped task to go", 5, lambda: not alive(self.pid))

    def poke(self, sig=signal.SIGUSR1):
        os.kill(self.pid, sig)


def test_refused_with_both_ends_named():
    o, d = Outside(), images()
    p = dump(o.pid, d, ok=False)
    said = p.stdout + p.stderr
    assert said.count("[unix-peer-outside]") == 2, said
    for what in ("%s/dgram) of pid %d (" % (DIR, os.getpid()), "%s/stream) of pid %d (" % (DIR, os.getpid()),
                 "--ext-unix-sk has it connected", "--external unix[INO] permits it", "pid %d (python3)" % o.pid):
        assert what in said, (what, said)
    o.poke()
    assert o.dgram.recv(100) == b"here" and o.near.recv(100) == b"here", "not untouched"
    # A stream is more than --ext-unix-sk can do.
    p = dump(o.pid, d, "--ext-unix-sk", ok=False)
    assert (p.stdout + p.stderr).count("[unix-peer-outside]") == 1, p.stderr
    assert "[external-unmatched]" in dump(o.pid, d, "--external", "unix[1]", ok=False).stderr


def test_reconnected_and_closed():
    o, d = Outside(), images()
    o.gone(d, "--ext-unix-sk", "--external", "unix[%d]:reconnect" % o.inode("stream"))
    assert o.near.recv(100) == b"", "the old connection is at its end"
    restore(d, "--ext-unix-sk")
    o.poke()
    assert o.dgram.recv(100) == b"here"
    again = o.stream.accept()[0]
    again.settimeout(5)
    assert again.recv(100) == b"here"
    o.near = again
    again.send(b"not read yet")
    d = images("closed")
    o.gone(d, "--ext-unix-sk", "--external", "unix[%d]" % os.fstat(again.fileno()).st_ino)
    restore(d)
    o.poke(signal.SIGUSR2)
    until("what was queued", 5, lambda: "H b'not read yet'" in open(o.out).read())
    o.poke(signal.SIGUSR2)
    until("the end", 5, lambda: "H b''" in open(o.out).read())
    o.poke()
    until("EPIPE", 5, lambda: "E 32" in open(o.out).read())


def test_chosen_by_inode():
    """--ext-unix-sk=INO: a datagram socket is connected again, a stream comes back closed; what is not named is refused."""
    o, d = Outside(), images()
    assert "[unix-peer-outside]" in dump(o.pid, d, "--ext-unix-sk=1", ok=False).stderr
    o.poke()
    assert o.dgram.recv(100) == b"here" and o.near.recv(100) == b"here", "not untouched"
    o.gone(d, "--ext-unix-sk=%d,%d" % (o.inode("dgram"), os.fstat(o.near.fileno()).st_ino))
    restore(d, "--ext-unix-sk=1")
    o.poke()
    assert o.dgram.recv(100) == b"here"
    until("EPIPE", 5, lambda: "E 32" in open(o.out).read())


def test_nobody_there():
    """The peer to reconnect to is gone: one clear error, and nothing is left behind."""
    o, d = Outside(), images()
    o.gone(d, "--ext-unix-sk", "--external", "unix[%d]:closed" % o.inode("stream"))
    os.unlink(DIR + "/dgram")
    p = restore(d, ok=False)
    assert "[file-unixsk]" in p.stderr and DIR + "/dgram" in p.stderr, p.stderr
    assert not stat(o.pid), "left behind"


def test_inherited():
    near, far = socket.socketpair()
    o, d = Outside(far.fileno()), images()
    ino = os.fstat(far.fileno()).st_ino
    far.close()
    near.settimeout(5)
    o.gone(d, "--external", "unix[%d]:inherit" % ino)
    p = restore(d, ok=False)
    assert "--inherit-fd fd[N]:socket:[%d]" % ino in p.stderr, p.stderr
    new, given = socket.socketpair()
    new.settimeout(5)
    p = subprocess.run([CL, "restore", "-D", d, "-d", "-o", "restore.log", "--inherit-fd", "fd[%d]:socket:[%d]" % (given.fileno(), ino)],
                       pass_fds=[given.fileno()], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, p.stderr
    given.close()
    o.poke()
    assert new.recv(100) in (b"here", b"herehere")


main()
