#!/usr/bin/python3
"""Times requests of the RPC, and prints medians: an empty one and the version by the service's socket and by swrk, and
the dump of a tiny process.

rpc.py [-n ROUNDS]

With CRIU=PROGRAM every round runs both tools, one after the other, and the table has ratios (ours over CRIU's) beside
the bars they are held to. A request is timed from the connection, or the start of the program, to its answer."""
import argparse, ctypes, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
CL = os.environ.get("CL", os.path.join(HERE, "../../build/criu-lite"))
libc = ctypes.CDLL(None, use_errno=True)
BARS = {"empty, service": 0.3, "empty, swrk": 0.5, "dump, service": 0.3}


def tiny(where):
    """A program of one page that does nothing."""
    path = os.path.join(where, "tiny")
    subprocess.run(["gcc", "-static", "-xc", "-", "-o", path], input=b"int pause(void); int main(void) { for (;;) pause(); }", check=True)
    return path


def bindings(where):
    subprocess.run(["protoc", "-I" + os.path.join(HERE, "../../proto"), "--python_out=" + where, "rpc.proto"], check=True)
    sys.path.insert(0, where)
    import rpc_pb2
    return rpc_pb2


class Tool:
    def __init__(self, name, program, where):
        self.name, self.program, self.dir = name, program, os.path.join(where, name)
        os.mkdir(self.dir)
        self.sock = os.path.join(self.dir, "sock")
        self.p = subprocess.Popen([program, "service", "--address", self.sock, "-W", self.dir, "-o", "service.log"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.dir)
        end = time.monotonic() + 20
        while not os.path.exists(self.sock):
            if time.monotonic() > end:
                sys.exit(program + ": no service")
            time.sleep(0.01)
        time.sleep(0.3)

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        try:
            self.p.wait(5)
        except subprocess.TimeoutExpired:
            self.p.kill()

    def by_service(self, data):
        t = time.perf_counter()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.connect(self.sock)
            s.send(data)
            got = s.recv(1 << 16)
        return time.perf_counter() - t, got

    def by_swrk(self, data):
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        t = time.perf_counter()
        p = subprocess.Popen([self.program, "swrk", str(b.fileno())], pass_fds=[b.fileno()], stderr=subprocess.DEVNULL)
        b.close()
        a.send(data)
        got = a.recv(1 << 16)
        t = time.perf_counter() - t
        a.close()
        p.wait()
        return t, got


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("-n", type=int, default=int(os.environ.get("ROUNDS", 51)), help="rounds (%(default)s)")
    a = ap.parse_args()
    where = tempfile.mkdtemp(prefix="cl-bench.", dir="/dev/shm")
    rpc, nothing = bindings(where), tiny(where)
    programs = {"ours": os.path.abspath(CL)}
    if os.environ.get("CRIU"):
        programs["CRIU"] = os.path.abspath(shutil.which(os.environ["CRIU"]) or sys.exit("no such program"))
        # CRIU keeps what it knows of the kernel on the tmpfs at /run.
        libc.unshare(0x20000)
        libc.mount(b"none", b"/", None, 0x44000, None)
        libc.mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    tools = [Tool(n, p, where) for n, p in programs.items()]
    times = {}

    def add(tool, what, result, want=True):
        took, got = result
        resp = rpc.criu_resp()
        resp.ParseFromString(got)
        if resp.success != want:
            sys.exit("%s, %s: %s" % (tool.name, what, resp))
        times.setdefault(what, {}).setdefault(tool.name, []).append(took)
    try:
        for n in range(a.n):
            for tool in tools:
                empty, version = (rpc.criu_req(type=t).SerializeToString() for t in (rpc.EMPTY, rpc.VERSION))
                # The first one wakes up a service that has slept while the other tool was at work.
                add(tool, "version, first", tool.by_service(version))
                add(tool, "version, service", tool.by_service(version))
                add(tool, "empty, service", tool.by_service(empty), False)
                add(tool, "empty, swrk", tool.by_swrk(empty), False)
                add(tool, "version, swrk", tool.by_swrk(version))
                for way, f in (("service", tool.by_service), ("swrk", tool.by_swrk)):
                    images = tempfile.mkdtemp(dir=tool.dir)
                    fd = os.open(images, os.O_RDONLY)
                    target = subprocess.Popen([nothing], start_new_session=True, stdin=subprocess.DEVNULL,
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                    time.sleep(0.02)
                    r = rpc.criu_req(type=rpc.DUMP)
                    r.opts.images_dir_fd, r.opts.pid, r.opts.leave_running = fd, target.pid, True
                    add(tool, "dump -R, " + way, f(r.SerializeToString()))
                    r.opts.leave_running = False
                    add(tool, "dump, " + way, f(r.SerializeToString()))
                    target.wait()
                    os.close(fd)
                    shutil.rmtree(images)
        missed = 0
        print("medians of %d rounds, milliseconds" % a.n)
        for what, by in times.items():
            ms = {t: statistics.median(v) * 1000 for t, v in by.items()}
            line = "%-18s" % what + "".join("%8s %7.3f" % i for i in ms.items())
            if "CRIU" in ms:
                ratio = ms["ours"] / ms["CRIU"]
                bar = BARS.get(what)
                missed += bool(bar) and ratio > bar
                line += "   %.3f%s" % (ratio, "" if not bar else " <= %.1f ok" % bar if ratio <= bar else " > %.1f MISSED" % bar)
            print(line)
    finally:
        for t in tools:
            t.stop()
        shutil.rmtree(where, ignore_errors=True)
    sys.exit(1 if missed else 0)


main()
