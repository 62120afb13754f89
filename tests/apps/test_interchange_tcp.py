#!/usr/bin/python3
"""TCP connections go between CRIU's images and ours, their peers outside the tree. CRIU=/path/to/criu (4.2) names the other tool."""
import ctypes, socket
from cl import *

SERVER = r'''
import os, signal, socket
s = socket.create_server(("127.0.0.1", 0), backlog=16)
six = socket.create_server(("::1", 0), family=socket.AF_INET6)
open("ports", "w").write("%d %d" % (s.getsockname()[1], six.getsockname()[1]))
plain, full, half, mine = [s.accept()[0] for _ in range(4)]
v6 = six.accept()[0]
full.setblocking(False)
n = 0
try:
    while True:
        n += full.send(b"%07d." % (n // 8) * 1000)
except BlockingIOError:
    full.setblocking(True)
mine.send(b"last")
mine.shutdown(socket.SHUT_WR)
open("sent", "w").write(str(n))
def go(*_):
    lines = []
    for c in (plain, v6):
        lines.append(c.recv(100).decode())
        c.sendall(b"answer")
    lines.append(repr((half.recv(100), half.recv(100))))
    half.sendall(b"after")
    lines.append(repr(mine.recv(100)))
    open("result.new", "w").write(" ".join(lines))
    os.rename("result.new", "result")
signal.signal(signal.SIGUSR1, go)
print("READY", flush=True)
while True:
    signal.pause()
'''


def criu(*args):
    p = subprocess.run([CRIU, *map(str, args)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, "%s %s: status %d\n%s\n%s%s" % (CRIU, " ".join(map(str, args)), p.returncode, p.stdout, p.stderr, logs(args))


def begin():
    for name in ("ports", "result", "sent", "out"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(DIR, name))
    pid = start([sys.executable, "-c", SERVER])
    ports = os.path.join(DIR, "ports")
    until("the server", 10, lambda: os.path.exists(ports) and len(open(ports).read().split()) == 2)
    port, six = map(int, open(ports).read().split())
    c = [socket.create_connection(("127.0.0.1", port)) for _ in range(4)] + [socket.create_connection(("::1", six))]
    c[0].sendall(b"unread")
    c[2].sendall(b"half")
    c[2].shutdown(socket.SHUT_WR)
    until("the sockets to be ready", 10, lambda: "READY" in open(DIR + "/out").read())
    time.sleep(0.3)
    return pid, c


def check(pid, c):
    """What the peers see, and what the server sees."""
    for s in c:
        s.settimeout(20)
    # A signal that comes before the first instruction is handled before the call to wait for one is made again.
    until("the server to wait", 10, lambda: open("/proc/%d/syscall" % pid).read().startswith("34 "))
    c[4].sendall(b"six")
    c[3].sendall(b"to the half that is open")
    os.kill(pid, signal.SIGUSR1)
    n = int(open(DIR + "/sent").read())
    want, got = b"".join(b"%07d." % (i // 8) * 1000 for i in range(0, n, 8000))[:n], b""
    while len(got) < n:
        more = c[1].recv(1 << 20)
        assert more, "end of file after %d of %d bytes" % (len(got), n)
        got += more
    until("the server's result", 20, lambda: os.path.exists(DIR + "/result"))
    assert c[0].recv(100) == b"answer" and c[4].recv(100) == b"answer"
    assert c[2].recv(100) == b"after"
    assert (c[3].recv(100), c[3].recv(100)) == (b"last", b"")
    assert open(DIR + "/result").read() == "unread six (b'half', b'') b'to the half that is open'", open(DIR + "/result").read()
    assert len(got) == n
    # The pieces of a send that did not fit begin anew.
    assert got[:8000] == want[:8000]


def private_run():
    if not CRIU:
        raise Skip("needs CRIU=PROGRAM, a CRIU 4.2")
    # CRIU keeps what it knows of the kernel in /run, and this mount namespace is our own.
    ctypes.CDLL(None).mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")


def gone(pid):
    until("the dumped tree to go", 10, lambda: not stat(pid))


def criu_to_ours(*more):
    private_run()
    pid, c = begin()
    d = images("theirs")
    criu("dump", "-t", pid, "-D", d, "-o", "dump.log", "-v4", "--tcp-established", *more)
    gone(pid)
    restore(d, "--tcp-established", *more)
    check(pid, c)


def ours_to_criu(*more):
    private_run()
    pid, c = begin()
    d = images("ours")
    dump(pid, d, "--tcp-established", *more)
    gone(pid)
    criu("restore", "-D", d, "-d", "-o", "restore.log", "-v4", "--tcp-established", *more)
    if not more and subprocess.run([CRIU, "check", "--feature", "network_lock_nftables"], capture_output=True).returncode:
        # This CRIU was built without nftables, and leaves to others what it would remove by this name.
        name = re.search("table inet (CRIU-.*)", subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout).group(1)
        subprocess.run(["nft", "delete", "table", "inet", name], check=True)
    check(pid, c)


def test_criu_to_ours():
    criu_to_ours()


def test_criu_to_ours_no_lock():
    criu_to_ours("--network-lock", "skip")


def test_ours_to_criu():
    ours_to_criu()


def test_ours_to_criu_no_lock():
    ours_to_criu("--network-lock", "skip")


main()
