#!/usr/bin/python3
"""Dumps of a server under traffic that SIGKILL ends at random instants: every connection goes on, and within a second,
without another run, no socket is in repair mode or has another peek offset, no table of nf_tables is left, no file name,
no journal and no guardian. When the guardian dies, too, the next run or `cleanup` does the same from the journal."""
import ctypes, socket
from busylib import *

TCP_REPAIR, SO_PEEK_OFF, PIDFD_GETFD = 19, 42, 438
CONNECTIONS = 12

SERVER = r'''
import os, selectors, socket, sys
open("named", "w").write("x"); os.link("named", "kept"); linked = open("named"); os.unlink("named")
s = socket.create_server(("127.0.0.1", 0), backlog=64)
sel = selectors.DefaultSelector()
sel.register(s, selectors.EVENT_READ)
open("port", "w").write(str(s.getsockname()[1]))
n = 0
while True:
    for key, _ in sel.select():
        if key.fileobj is s:
            c, _ = s.accept()
            n += 1
            if n % 3 == 0:
                c.setsockopt(socket.SOL_SOCKET, 42, 0)
            sel.register(c, selectors.EVENT_READ)
        else:
            b = key.fileobj.recv(65536)
            if b:
                key.fileobj.sendall(b)
            else:
                sel.unregister(key.fileobj); key.fileobj.close()
'''

CLIENT = r'''
import mmap, os, socket, struct, sys, threading
port, n, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
open(path, "wb").write(bytes(16 * n))
f = open(path, "r+b")
m = mmap.mmap(f.fileno(), 0)
def one(i):
    s = socket.create_connection(("127.0.0.1", port))
    s.settimeout(60)
    try:
        k = 0
        while True:
            k += 1
            want = struct.pack("<Q", k) * (1 + k * 97 % 4000)
            s.sendall(want)
            got = b""
            while len(got) < len(want) and (more := s.recv(len(want) - len(got))):
                got += more
            if got != want:
                raise ValueError("%d bytes come back as %d" % (len(want), len(got)))
            m[16 * i:16 * i + 8] = struct.pack("<Q", k)
    except BaseException as e:
        print("connection %d: %r" % (i, e), flush=True)
        m[16 * i + 8:16 * i + 16] = struct.pack("<Q", 1)
for i in range(n):
    threading.Thread(target=one, args=(i,)).start()
'''


class Traffic:
    def __init__(self):
        need("nft")
        port = os.path.join(DIR, "port")
        for name in ("port", "rounds", "kept", "client"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(DIR, name))
        self.pid = start([sys.executable, "-c", SERVER], log="server")
        until("the server", 10, lambda: text(port))
        self.path = os.path.join(DIR, "rounds")
        self.client = start([sys.executable, "-c", CLIENT, text(port), str(CONNECTIONS), self.path], log="client")
        until("the clients", 10, lambda: os.path.exists(self.path) and os.path.getsize(self.path) == 16 * CONNECTIONS and all(self.rounds()))
        self.names = sorted(os.listdir(DIR))
        self.socks = self.sockets()
        assert len(self.socks) == CONNECTIONS + 1, self.socks

    def rounds(self):
        v = struct.unpack("<%dQ" % (2 * CONNECTIONS), open(self.path, "rb").read())
        assert not any(v[1::2]), text(DIR + "/client")[-500:]
        return v[::2]

    def sockets(self):
        """(repair mode, peek offset, SO_REUSEADDR) of every TCP socket of the server, asked of the socket itself."""
        assert alive(self.pid), "the server is gone: " + text(DIR + "/server")[-500:]
        out, pidfd = {}, os.pidfd_open(self.pid)
        for fd in os.listdir("/proc/%d/fd" % self.pid):
            n = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, int(fd), 0)
            if n < 0:
                continue
            with contextlib.suppress(OSError), socket.socket(fileno=n) as s:
                out[fd] = (s.getsockopt(socket.IPPROTO_TCP, TCP_REPAIR), s.getsockopt(socket.SOL_SOCKET, SO_PEEK_OFF),
                           s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
        os.close(pidfd)
        return out

    def left(self):
        """What a run has left."""
        out = [(fd, v, self.socks.get(fd)) for fd, v in self.sockets().items() if v != self.socks.get(fd)]
        out += subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout.split("\n")[:-1]
        out += [n for n in os.listdir(DIR) if n not in self.names and n not in ("img", "launch.out")]
        out += journals()
        out += guardians()
        return out

    def unlink(self):
        """An image that is whole refers to a name, so that it stays."""
        for n in os.listdir(DIR):
            if n.startswith("link_remap"):
                os.unlink(os.path.join(DIR, n))

    def goes_on(self, when, seconds=20):
        was = self.rounds()
        until("all connections to go on %s; %s" % (when, text(DIR + "/client")[-300:]), seconds,
              lambda: all(b > a for a, b in zip(was, self.rounds())))
        assert not stopped(self.pid), when


def guardians():
    """What is left of a run; for a moment a guardian has the name of the tool."""
    names = ("criu-lite-guard", os.path.basename(CL)[:15])
    return [s["comm"] for s in map(stat, everybody()) if s and s["comm"] in names and s["state"] != "Z"]


def journals():
    """Those of this network namespace."""
    ns = str(os.stat("/proc/self/ns/net").st_ino)
    d = "/run/criu-lite"
    return [n for n in (os.listdir(d) if os.path.isdir(d) else []) if text(d + "/" + n).split()[2:3] == [ns]]


def test_killed_dumps():
    t, rnd = Traffic(), instants("killed dumps under traffic")
    took = []
    for _ in range(3):
        at = time.monotonic()
        dump(t.pid, images(), "-R", "--tcp-established", "--link-remap")
        took.append(time.monotonic() - at)
        t.goes_on("after a dump that leaves it running")
        t.unlink()
    limit, done, locked, late, tries = sorted(took)[1], 0, 0, 0, 0
    while done < count("KILLED_NETWORK", 30, 200):
        tries += 1
        d, at = images(), rnd.uniform(0.1, 1) * limit
        begin = time.monotonic()
        tool = launch("dump", "-t", t.pid, "-D", d, "-o", "dump.log", "-v4", "--tcp-established", "--link-remap")
        status = kill_at(tool, begin, at)
        if os.path.exists(d + "/inventory.img"):
            # The tree is an image now, or is about to be one.
            late += 1
            until("the guardian to go", 5, lambda: not guardians())
            # What it has killed may take a moment.
            with contextlib.suppress(AssertionError):
                until("", 1, lambda: status != -9 or not alive(t.pid))
            if status != -9 or not alive(t.pid):
                until("the tree to go", 5, lambda: not stat(t.pid))
                restore(d, "--tcp-established", "--link-remap")
                t.socks = t.sockets()
            else:
                t.unlink()
            limit *= 0.98
        else:
            done += 1
            locked += "connections" in text(d + "/dump.log")
        when = "after kill %d at %.2f of %.2f ms, status %d%s" % (tries, at * 1000, limit * 1000, status,
                                                                 ", an image" if os.path.exists(d + "/inventory.img") else "")
        assert alive(t.pid), "%s: the server is gone: %s\n%s" % (when, text(DIR + "/server")[-500:], text(d + "/dump.log"))
        try:
            until("", 1, lambda: not t.left())
        except AssertionError:
            raise AssertionError("%s: left: %s" % (when, t.left())) from None
        t.goes_on(when)
        assert tries < 2000
    print("# %d killed in the middle, %d of them with connections held back; %d were done before" % (done, locked, late))
    cycle(t.pid, "--tcp-established", "--link-remap", verify=False)
    t.goes_on("after dump and restore")


def test_killed_restores():
    """The tree is back whole, or not at all: then its connections are held back as before, and the image is as good as new."""
    t, rnd, d = Traffic(), instants("killed restores under traffic"), images()
    more = ["--tcp-established", "--link-remap"]
    table = lambda: subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    dump(t.pid, d, *more)
    begin = time.monotonic()
    restore(d, *more)
    limit, dead, back, dumped = time.monotonic() - begin, 0, 0, False
    t.socks = t.sockets()
    for tries in range(count("KILLED_RESTORES", 20, 200)):
        if not dumped:
            dump(t.pid, images(), *more)
        until("the tree to go", 5, lambda: not stat(t.pid))
        held, begin = table(), time.monotonic()
        assert held.startswith("table inet CRIU-"), held
        tool = launch("restore", "-D", d, "-d", "-o", "restore.log", *more)
        status = kill_at(tool, begin, rnd.uniform(0, limit * 1.1))
        until("the guardian to go", 5, lambda: not guardians())
        when = "after killed restore %d, status %d" % (tries, status)
        if stat(t.pid) and alive(t.pid):
            back, dumped = back + 1, False
            until("what was done to the network to be over %s: %s" % (when, table()), 1, lambda: not table() and not journals())
            t.unlink()
            t.socks = t.sockets()
            assert not any(v[0] for v in t.socks.values()), when
            t.goes_on(when)
        else:
            dead, dumped = dead + 1, True
            until("the dead to go", 5, lambda: not stat(t.pid))
            assert table() == held and not journals(), "%s: %s, %s" % (when, table(), journals())
            t.rounds()
    if dumped:
        restore(d, *more)
    t.goes_on("at the end")
    print("# %d came back, %d did not" % (back, dead))


def orphan(t, name):
    """A dump that dies together with its guardian while connections are held back."""
    script = os.path.join(DIR, name)
    with open(script, "w") as f:
        f.write("#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION = post-dump ] || exit 0\nP=$PPID\n"
                "for g in $(cat /proc/$P/task/$P/children); do [ $g = $$ ] || kill -9 $g; done\nkill -9 $P\n")
    os.chmod(script, 0o755)
    t.names.append(name)
    d = images()
    tool = launch("dump", "-t", t.pid, "-D", d, "-o", "dump.log", "--tcp-established", "--link-remap", "--action-script", script)
    assert wait(tool) == -9, text(DIR + "/launch.out")
    until("the tool to go", 5, lambda: not guardians())
    assert journals(), "nothing was held back"
    t.unlink()


def test_cleanup():
    t = Traffic()
    orphan(t, "script1")
    out = cl("cleanup", "-t", t.pid).stdout
    assert "1 runs that died: 1 tables of nf_tables removed" in out, out
    assert not t.left(), t.left()
    t.goes_on("after cleanup")


def test_next_run():
    t = Traffic()
    orphan(t, "script2")
    dump(t.pid, images(), "-R", "--tcp-established", "--link-remap")
    t.unlink()
    assert not t.left(), t.left()
    t.goes_on("after the next run")


def test_kept_for_the_image():
    """After a dump that kills the connections stay held back, whatever else runs, until the restore."""
    t, d = Traffic(), images()
    dump(t.pid, d, "--tcp-established", "--link-remap")
    until("the tree to go", 5, lambda: not stat(t.pid))
    table = lambda: subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    assert table().startswith("table inet CRIU-"), table()
    cl("cleanup")
    assert table().startswith("table inet CRIU-"), "cleanup has removed the table of a whole image"
    restore(d, "--tcp-established", "--link-remap")
    assert not table(), table()
    t.goes_on("after restore")
    assert not t.left(), t.left()


main()
