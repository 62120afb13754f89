#!/usr/bin/python3
"""Times dump and restore of a server with many established TCP connections, its clients outside the tree.

tcp.py [-n ROUNDS] [CONNECTIONS]...

With CRIU=PROGRAM the same is done by both tools in turn, CRIU with --network-lock nftables
(or, built without, with no lock at all) and with its default lock (which, like more connections than it can take, is left out above LIMIT).
Prints medians in ms and ours over CRIU's; and in us what a connection costs, over what one connection takes, which is
measured first. Beside it stands the kernel's own part: of a dump the time that the tool spends in the kernel, of a
restore what the bare calls take that make a connection (socket, repair mode, bind, connect, options). All of it runs
in namespaces of its own."""
import argparse, contextlib, ctypes, os, resource, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
CL = os.path.realpath(os.environ.get("CL", os.path.join(HERE, "../../build/criu-lite")))
CRIU = os.environ.get("CRIU")
LIMIT = 400

SERVER = r'''
import os, signal, socket, sys
s = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(s.getsockname()[1], flush=True)
conns = [s.accept()[0] for _ in range(int(sys.argv[1]))]
print("READY", flush=True)
def check(*_):
    for c in conns:
        c.sendall(b"%d" % len(conns))
    print("SENT", flush=True)
signal.signal(signal.SIGUSR1, check)
while True:
    signal.pause()
'''


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def wait_for(what, f):
    end = time.monotonic() + 60
    while not f():
        reap()
        if time.monotonic() > end:
            sys.exit("waited for " + what)
        time.sleep(0.005)


def read(path):
    with open(path) as f:
        return f.read()


class Server:
    def __init__(self, n, where):
        self.out = os.path.join(where, "out")
        with open(self.out, "w") as out:
            mid = subprocess.run([sys.executable, "-c", "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]], "
                                  "stdin=subprocess.DEVNULL, stdout=open(sys.argv[3], 'w'), stderr=subprocess.STDOUT, start_new_session=True).pid)", SERVER, str(n), self.out],
                                 capture_output=True, text=True, check=True)
        self.pid = int(mid.stdout)
        wait_for("the port", lambda: "\n" in read(self.out))
        port = int(read(self.out).split()[0])
        self.clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
        wait_for("all connections", lambda: "READY" in read(self.out))

    def check(self, tool):
        n = len(self.clients)
        os.kill(self.pid, signal.SIGUSR1)
        for c in self.clients:
            c.settimeout(10)
            got = b""
            while len(got) < len(b"%d" % n):
                try:
                    more = c.recv(100)
                except TimeoutError:
                    print("%s: nothing comes over a connection any more" % tool, flush=True)
                    if tool == CL:
                        sys.exit(1)
                    return
                if not more:
                    sys.exit("a connection was closed")
                got += more

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        wait_for("the end", lambda: not os.path.exists("/proc/%d" % self.pid))
        for c in self.clients:
            c.close()


def new_network():
    if ctypes.CDLL(None).unshare(0x40000000):
        sys.exit("unshare(CLONE_NEWNET) fails")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def timed(argv, pid):
    """Its parent takes note at once when the tree ends, as a shell would."""
    with tempfile.TemporaryFile() as out:
        start = time.monotonic()
        p = subprocess.Popen(list(map(str, argv)), stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        while not (end := os.wait4(p.pid, os.WNOHANG))[0]:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.0002)
        p.returncode = end[1]
        return None if p.returncode else ((time.monotonic() - start) * 1000, end[2].ru_stime * 1000)


def one(tool, more, server, where):
    d = os.path.join(where, "img")
    shutil.rmtree(d, ignore_errors=True)
    os.mkdir(d, 0o700)
    dump = timed([tool, "dump", "-t", server.pid, "-D", d, "-o", "dump.log", "--tcp-established", *more], server.pid)
    if dump is None:
        sys.exit(tool + ": dump fails\n" + read(d + "/dump.log")[-2000:])
    wait_for("the tree to go", lambda: not os.path.exists("/proc/%d" % server.pid))
    restore = timed([tool, "restore", "-D", d, "-o", "restore.log", "-d", "--tcp-established", *more], server.pid)
    if restore is None:
        sys.exit(tool + ": restore fails\n" + read(d + "/restore.log")[-2000:])
    if "skip" not in more:
        server.check(tool)
    return dump[0], restore[0], dump[1]


def bare(n):
    """What the kernel takes for the calls of a restore, without anything around them: ms for n connections."""
    libc, one_, zero = ctypes.CDLL(None), 1, -1
    lis = socket.create_server(("127.0.0.1", 0))
    made = []
    start = time.monotonic()
    for i in range(n):
        s = socket.socket()
        s.setsockopt(socket.IPPROTO_TCP, 19, 1)
        for q in (2, 1):
            s.setsockopt(socket.IPPROTO_TCP, 20, q)
            s.setsockopt(socket.IPPROTO_TCP, 21, 12345)
        s.bind(("127.0.0.3", 10000 + i))
        s.connect(lis.getsockname())
        s.setsockopt(socket.IPPROTO_TCP, 22, b"\2\0\0\0\xb4\5\0\0")
        s.setsockopt(socket.IPPROTO_TCP, 20, 0)
        made.append(s)
    took = (time.monotonic() - start) * 1000
    for s in made:
        s.close()
    return took


def middle(rounds):
    return [statistics.median(column) for column in zip(*rounds)]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("-n", type=int, default=int(os.environ.get("ROUNDS", 5)))
    ap.add_argument("--no-default", action="store_true", help="leave CRIU's default lock out")
    ap.add_argument("count", nargs="*", type=int, default=[100, 200, 500, 1000, 2000, 5000])
    a = ap.parse_args()
    if not os.environ.get("CL_BENCH_NS"):
        os.execvpe("unshare", ["unshare", "-p", "-m", "-n", "-i", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__] + sys.argv[1:],
                   dict(os.environ, CL_BENCH_NS="1"))
    ctypes.CDLL(None).mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    # Without an interface that is up CRIU says no to every feature.
    new_network()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("%7s  %-22s %7s %9s    us each: dump (in the kernel), restore (bare calls)" % ("number", "tool", "dump", "restore"))
    one_ours = {}
    for n in [1] + a.count:
        tools = [("criu-lite", CL, ())]
        if CRIU and n <= LIMIT:
            # A CRIU built without nftables would be slower with it than without any lock; what that restores is of no use.
            nft = subprocess.run([CRIU, "check", "--feature", "network_lock_nftables"], capture_output=True).returncode == 0
            tools += [("CRIU, nftables", CRIU, ("--network-lock", "nftables"))] if nft else [("CRIU, no lock", CRIU, ("--network-lock", "skip"))]
            if not a.no_default:
                tools += [("CRIU, its default", CRIU, ())]
        rounds = {name: [] for name, _, _ in tools}
        for _ in range(a.n):
            for name, tool, more in tools:
                # A tree that CRIU has restored is in a time namespace, and so nothing for us.
                # What one of them leaves in the packet filter must not hold up the next.
                new_network()
                with tempfile.TemporaryDirectory(dir="/dev/shm") as where:
                    server = Server(n, where)
                    rounds[name].append(one(tool, more, server, where))
                    server.end()
        ours = middle(rounds["criu-lite"])
        if n == 1:
            one_ours = ours
            made = 0
        else:
            made = statistics.median(bare(n) for _ in range(3)) if n <= 5000 else 0
        for name, _, _ in tools:
            dump, restore, in_kernel = middle(rounds[name])
            if name != "criu-lite":
                more = "   ours/its: %.3f dump, %.3f restore, %.3f both" % (ours[0] / dump, ours[1] / restore, sum(ours[:2]) / (dump + restore))
            else:
                each = [(x - y) * 1000 / (n - 1) if n > 1 else 0 for x, y in zip(ours, one_ours)]
                more = "   %18.1f (%.1f), %15.1f (%.1f)" % (each[0], each[2], each[1], made * 1000 / n) if n > 1 else ""
            print("%7d  %-22s %7.1f %9.1f%s" % (n, name, dump, restore, more), flush=True)


main()
