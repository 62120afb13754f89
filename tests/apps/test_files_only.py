#!/usr/bin/python3
"""A server is dumped and killed; a new version of it is started with its sockets by `restore --files-only`. Its clients
are no part of the image: they see one connection throughout."""
import random, socket
from cl import *

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lineserver.py")
PORTS = (9301, 9302)


class Client:
    """One connection, and the lines that it has sent and not got back."""

    def __init__(self, n):
        self.s = socket.create_connection(("127.0.0.1", PORTS[n % 2]))
        self.s.settimeout(30)
        self.f, self.n, self.sent, self.name = self.s.makefile("rb"), n, 0, self.s.getsockname()

    def send(self):
        self.sent += 1
        self.s.sendall(b"client %d line %d\n" % (self.n, self.sent))

    def expect(self, version):
        line = self.f.readline()
        want = b"%s client %d line %d\n" % (version, self.n, self.sent)
        assert line == want, (line, want)

    def close(self):
        self.f.close()
        self.s.close()


def text(name):
    try:
        return open(os.path.join(DIR, name)).read()
    except FileNotFoundError:
        return ""


def server():
    if text("server"):
        os.remove(os.path.join(DIR, "server"))
    pid = start([sys.executable, SERVER, "one", *map(str, PORTS)], log="server")
    until("the server", 10, lambda: "serving one" in text("server"))
    return pid


def files_only(d, *argv, ok=True, more=()):
    with open(os.path.join(DIR, "said"), "wb") as out:
        p = subprocess.run([CL, "restore", "--files-only", "-D", d, "-v4", *more, "--pidfile", os.path.join(DIR, "pid"), "--", *argv],
                           stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60, cwd=DIR)
    assert (p.returncode == 0) == ok and p.returncode in (0, 1), "status %d: %s\n%s" % (p.returncode, text("said"), text("img/restore.log"))
    if ok:
        started.append(int(text("pid")))
        return started[-1]
    return text("said")


def version(name, *action):
    return [sys.executable, SERVER, name, *map(str, PORTS), *action]


def sockets(pid):
    found = []
    for l in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            found += [l] if os.readlink("/proc/%d/fd/%s" % (pid, l)).startswith("socket:") else []
    return found


def dumped(n):
    """A server with @n clients, dumped; each client has a line on its way to nobody."""
    pid = server()
    clients = [Client(i) for i in range(n)]
    for c in clients:
        c.send()
    for c in clients:
        c.expect(b"one")
    d = images()
    p = dump(pid, d, "--tcp-established", ok=False)
    if p.returncode and "network-lock" in p.stderr:
        raise Skip("connections cannot be held back here")
    assert p.returncode == 0, p.stderr
    until("the server to go", 5, lambda: not alive(pid))
    for c in clients:
        c.send()
    return d, clients


def goes_on(clients, name):
    for c in clients:
        c.expect(name)
        c.send()
    for c in clients:
        c.expect(name)
        assert c.s.getsockname() == c.name
    for i in (0, 1):
        c = Client(i)
        c.send()
        c.expect(name)
        c.close()


def test_listeners_and_50_connections():
    d, clients = dumped(50)
    # The server's own view: two sockets that listen, 50 connections.
    new = files_only(d, *version("two"), more=["--ready", "notify"])
    goes_on(clients, b"two")
    until("two listening sockets and 50 connections", 10, lambda: len(sockets(new)) == 52)
    assert os.readlink("/proc/%d/cwd" % new) == os.path.realpath(DIR)
    for c in clients:
        c.close()
    until("the new version to see the end of them", 10, lambda: len(sockets(new)) == 2)


def test_failures_leave_the_image_good():
    """A new version that crashes, hangs or cannot be started: peers are told nothing, and the next one takes over."""
    d, clients = dumped(10)
    before = sorted(os.listdir(d))
    said = files_only(d, *version("bad", "crash"), ok=False, more=["--ready", "notify"])
    assert "upgrade-died" in said and "the image is as it was" in said, said
    said = files_only(d, *version("bad", "hang"), ok=False, more=["--ready", "notify", "--timeout", "2"])
    assert "upgrade-timeout" in said, said
    said = files_only(d, "/no/such/program", ok=False)
    assert "upgrade-start" in said, said
    for how, error in (("--fds", "files-only"), ("--pid", "files-only")):
        assert error in files_only(d, *version("x"), ok=False, more=[how, "4711"])
    assert sorted(f for f in os.listdir(d) if f != "restore.log") == [f for f in before if f != "restore.log"]
    # A restore in full would have been possible all the time; so is a new version.
    files_only(d, *version("three"), more=["--ready", "notify"])
    goes_on(clients, b"three")


def versions():
    """Servers that live, but for the processes of this test."""
    found = []
    for p in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = open("/proc/%s/cmdline" % p).read().split("\0")
            found += [int(p)] if SERVER in words[:2] and alive(int(p)) else []
    return found


def tools():
    seen = [stat(int(p)) for p in os.listdir("/proc") if p.isdigit()]
    return [s for s in seen if s and s["comm"].startswith("criu-lite") and s["state"] not in "ZX"]


def test_tool_killed():
    """At any instant: either the new version has it all, or nobody, and then the next one takes over."""
    rnd, took = random.Random(int(os.environ.get("SEED", 5))), 0.1
    done = 0
    for i in range(count("KILLED_FILES_ONLY", 8, 100)):
        d, clients = dumped(5)
        p = subprocess.Popen([CL, "restore", "--files-only", "-D", d, "--ready", "notify", "--", *version("two")],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=DIR)
        time.sleep(rnd.uniform(0, took))
        p.kill()
        p.wait()
        # The keeper and the guardian have done their part when nothing is on its way any more.
        until("all others to go", 10, lambda: not tools())
        left = versions()
        if left:
            done += 1
            started.extend(left)
            goes_on(clients, b"two")
        else:
            files_only(d, *version("three"), more=["--ready", "notify"])
            goes_on(clients, b"three")
        for c in clients:
            c.close()
        stop_all()
    print("# %d of the killed had handed over" % done)


def test_chosen_by_number():
    """--fds by number and name, numbers in a variable."""
    pid = server()
    fds = sorted(int(f) for f in sockets(pid))
    d = images()
    dump(pid, d)
    until("the server to go", 5, lambda: not alive(pid))
    new = files_only(d, "/bin/sh", "-c", "echo $SERVER; exec sleep 1000", more=["--fds", "%d,other=%d" % (fds[1], fds[0]), "--env", "SERVER=%d,"])
    until("the program", 10, lambda: "%d,%d," % (fds[1], fds[0]) in text("said"))
    assert sorted(map(int, sockets(new))) == fds
    # The same name twice gives way to LISTEN_FDS from 3 on.
    stop_all()
    new = files_only(d, "/bin/sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES; exec sleep 1000", more=["--fds", "web=%d" % fds[0]])
    until("the program", 10, lambda: "1 web" in text("said"))
    assert sockets(new) == ["3"]


main()
