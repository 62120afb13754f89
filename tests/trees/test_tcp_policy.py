#!/usr/bin/python3
"""What the command line says of TCP connections: of all, of single ones, of those that nobody has accepted yet."""
import socket
from busylib import *

SERVER = r'''
import signal, socket, sys
s = socket.create_server(("127.0.0.1", 0), backlog=16)
print(s.getsockname()[1], flush=True)
conns = [s.accept()[0] for _ in range(3)]
def go(*_):
    out = []
    for c in conns:
        c.settimeout(5)
        try:
            out.append(repr(c.recv(10)))
            c.sendall(b"yes")
        except OSError as e:
            out.append(e.strerror)
    print("GOT", *out, sep="|", flush=True)
signal.signal(signal.SIGUSR1, go)
print("FDS", *[c.fileno() for c in conns], flush=True)
while True:
    signal.pause()
'''


class Server:
    def __init__(self, more=0):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(DIR + "/server")
        self.pid = start([sys.executable, "-c", SERVER], log="server")
        until("a port", 10, lambda: "\n" in text(DIR + "/server"))
        port = int(text(DIR + "/server").split()[0])
        self.clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        until("the server", 10, lambda: "FDS" in text(DIR + "/server"))
        self.fds = text(DIR + "/server").split("FDS ")[1].split()
        self.waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(more)]
        until("the server to wait", 10, lambda: text("/proc/%d/syscall" % self.pid).startswith("34 "))

    def cycle(self, dump_with, restore_with=()):
        d = images()
        dump(self.pid, d, *dump_with)
        until("the tree to go", 5, lambda: not stat(self.pid))
        restore(d, *restore_with)
        until("the server to wait", 10, lambda: text("/proc/%d/syscall" % self.pid).startswith("34 "))
        return d

    def ask(self):
        """What the server has read from each connection."""
        for c in self.clients:
            with contextlib.suppress(OSError):
                c.sendall(b"there?")
        os.kill(self.pid, signal.SIGUSR1)
        until("an answer", 20, lambda: "GOT" in text(DIR + "/server"))
        return text(DIR + "/server").split("GOT|")[1].strip().split("|")

    def answers(self):
        out = []
        for c in self.clients:
            c.settimeout(5)
            try:
                out.append(c.recv(10))
            except OSError:
                out.append(None)
        return out


def test_refused_by_name():
    s = Server()
    p = refused("dump", "-t", s.pid, "-D", images(), lines=3,
                says=[r"pid %d \(python3?[^)]*\) fd %s .*127\.0\.0\.1:\d+ to 127\.0\.0\.1:%d.*--tcp-established.*\[tcp-established\]" % (s.pid, fd, c.getsockname()[1])
                      for fd, c in zip(s.fds, s.clients)])
    assert "--tcp %d:%s=repair" % (s.pid, s.fds[0]) in p.stderr, p.stderr
    assert s.ask() == ["b'there?'"] * 3 and s.answers() == [b"yes"] * 3


def test_one_by_one():
    s = Server()
    s.cycle(["--tcp", "%d:%s=repair" % (s.pid, s.fds[0]), "--tcp", "%d:%s=close" % (s.pid, s.fds[1]), "--tcp-established"])
    got = s.ask()
    assert got == ["b'there?'", "b''", "Broken pipe", "b'there?'"], got
    a = s.answers()
    assert a[0] == a[2] == b"yes" and a[1] in (b"", None), a


def test_fail_and_unknown():
    s = Server()
    refused("dump", "-t", s.pid, "-D", images(), "--tcp-established", "--tcp", "%d:%s=fail" % (s.pid, s.fds[1]), says=r"fd %s .*\[tcp-policy\]" % s.fds[1])
    refused("dump", "-t", s.pid, "-D", images(), "--tcp-established", "--tcp", "%d:99=close" % s.pid, says=r"--tcp %d:99: .*\[tcp-rule\]" % s.pid)
    refused("dump", "-t", s.pid, "-D", images(), "--tcp", "1:2=keep", says=r"1:2=keep.*\[option-value\]")
    assert s.ask() == ["b'there?'"] * 3 and s.answers() == [b"yes"] * 3


def test_closed_at_restore():
    s = Server()
    s.cycle(["--tcp-established"], ["--tcp-close"])
    assert s.ask() == ["b''", "Broken pipe"] * 3
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    assert "CRIU" not in tables, tables


def test_port_still_held():
    """As by a process that is ending; the port is let go of while the restore is waiting for it."""
    s, d = Server(), images()
    port = s.clients[0].getpeername()[1]
    dump(s.pid, d, "--tcp-close")
    until("the tree to go", 5, lambda: not stat(s.pid))
    holder = socket.create_server(("127.0.0.1", port))
    refused("restore", "-D", d, says=r"bind to port %d.*Address already in use" % port)
    assert not stat(s.pid)
    p = launch("restore", "-d", "-D", d)
    time.sleep(0.3)
    holder.close()
    assert wait(p) == 0
    socket.create_connection(("127.0.0.1", port)).close()


def test_not_accepted_yet():
    s = Server(more=2)
    refused("dump", "-t", s.pid, "-D", images(), "--tcp-established", says=r"2 connections wait to be accepted on port \d+; --skip-in-flight.*\[tcp-in-flight\]")
    d = s.cycle(["--tcp-established", "--skip-in-flight"], ["--tcp-established"])
    assert "2 connections that wait to be accepted on port" in text(d + "/dump.log"), text(d + "/dump.log")
    assert s.ask() == ["b'there?'"] * 3 and s.answers() == [b"yes"] * 3


CLOSING = r'''
import signal, socket, sys
s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1], flush=True)
c = s.accept()[0]
c.shutdown(socket.SHUT_WR)
print("SHUT", flush=True)
signal.pause()
'''


def test_port_stays_free():
    """A connection that ends after the restore keeps nobody from the port who may reuse it."""
    pid = start([sys.executable, "-c", CLOSING], log="closing")
    until("a port", 10, lambda: "\n" in text(DIR + "/closing"))
    port = int(text(DIR + "/closing").split()[0])
    client = socket.create_connection(("127.0.0.1", port))
    until("the end of its words", 10, lambda: "SHUT" in text(DIR + "/closing"))
    d = images()
    dump(pid, d, "--tcp-established")
    until("the tree to go", 5, lambda: not stat(pid))
    restore(d, "--tcp-established")
    client.settimeout(5)
    assert client.recv(1) == b""
    client.close()
    # Field 4 of the line is the state: 06 is TIME_WAIT.
    until("TIME_WAIT", 10, lambda: any(l.split()[1].endswith(":%04X" % port) and l.split()[3] == "06" for l in text("/proc/net/tcp").splitlines()[1:]))
    os.kill(pid, signal.SIGKILL)
    until("its end", 5, lambda: not alive(pid))
    socket.create_server(("127.0.0.1", port)).close()


main()
