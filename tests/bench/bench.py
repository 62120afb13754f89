#!/usr/bin/python3
"""Times dump and restore of several kinds of process, and prints medians.

bench.py [-n ROUNDS] [-d DIR]... [KIND]...

With CRIU=PROGRAM every round runs both tools, one after the other, and the table has ratios (ours over CRIU's) beside
the bars they are held to. Images go to a tmpfs (/dev/shm) and to a disk (/var/tmp), or to each DIR. A round is: dump
--leave-running (here the frozen time is measured, by the target's own clock), dump, restore; the target checks itself
after each. total is wall time of the tool, fsync is what of it was spent on getting the image to the disk."""
import argparse, contextlib, ctypes, json, mmap, os, shutil, statistics, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
TARGET = os.path.abspath(os.path.join(os.environ.get("BUILD", os.path.join(HERE, "../../build")), "tests/bench/target"))
CL = os.environ.get("CL", os.path.join(HERE, "../../build/criu-lite"))
HEAD, GAP, GAPS = struct.Struct("5Q"), struct.Struct("2Q"), 256
KINDS = {"small": ("small", "4 threads, 35 mappings"), "mem": ("mem:1024", "1 GiB anonymous memory"), "threads": ("threads:500", "500 threads"),
         "files": ("files:10000", "10,000 regular files in one process"), "shared": ("shared:100,1000", "100 processes sharing 1,000 files"),
         "pipes": ("pipes:5000", "5,000 pipes with data"), "unix": ("unix:5000", "5,000 pairs of Unix sockets with data"), "locks": ("locks:10000", "10,000 locks on 100 files")}
SOLO = {"pipes"}  # CRIU's limit is 1,024
STEPS = (100, 1000, 5000, 10000, 18000)  # descriptors, for the price of one more
FLAT = 1.5  # that price, at most, over what it is between the first two steps
# What the figures are held to: (kind, figure, file system or None): ours over CRIU's at most.
BARS = {("small", "dump", None): 0.2, ("small", "restore", None): 0.2, ("small", "frozen", None): 0.5,
        ("mem", "frozen", None): 0.7, ("mem", "restore", "tmpfs"): 0.9, ("mem", "restore", "disk"): 0.7,
        ("threads", "dump", None): 0.45,
        ("unix", "dump", None): 0.4, ("unix", "restore", None): 0.4,
        ("files", "dump", None): 0.5, ("files", "restore", None): 0.6, ("shared", "dump", None): 0.2, ("shared", "restore", None): 0.05}
RSS_MIB = 64
FIGURES = ("dump", "fsync", "dump -R", "frozen", "restore", "dump cpu", "restore cpu")
libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    pass


def until(seconds, why, ready):
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise Failed(why)
        time.sleep(0.002)


def reap():
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


class Target:
    def __init__(self, kind, where):
        path = os.path.join(where, "report")
        self.pid = int(subprocess.run([TARGET, kind, path], stdout=subprocess.PIPE, check=True).stdout)
        with open(path, "r+b") as f:
            self.mem = mmap.mmap(f.fileno(), 0)
        self.check("at first")

    def head(self):
        return HEAD.unpack_from(self.mem)

    def check(self, when):
        """It runs, and finds its memory and its threads as they were."""
        ticks, asked, good, bad, _ = self.head()
        struct.pack_into("Q", self.mem, 8, asked + 1)
        until(20, "the target does not answer " + when, lambda: sum(self.head()[2:4]) > good + bad)
        if self.head()[3] > bad:
            raise Failed("the target is not right " + when)
        until(5, "the target does not run " + when, lambda: self.head()[0] > ticks + 20)

    def frozen(self, start, end):
        """The longest stop between two instants, in ms."""
        n = self.head()[4]
        gaps = [GAP.unpack_from(self.mem, HEAD.size + i % GAPS * GAP.size) for i in range(max(0, n - GAPS), n)]
        near = [b - a for a, b in gaps if b > start and a < end]
        return max(near) / 1e6 if near else 0.1

    def gone(self):
        reap()
        return not os.path.exists("/proc/%d" % self.pid)

    def close(self):
        with contextlib.suppress(OSError):
            if os.path.samefile("/proc/%d/exe" % self.pid, TARGET):
                os.kill(self.pid, 9)
        until(20, "the target does not end", self.gone)


def tool(argv, out):
    """Runs a tool; returns start ns, end ns, peak KiB, ns on a CPU. Its standard output goes to the file OUT."""
    r, w = os.pipe()
    f = os.open(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    acts = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, f, 1), (os.POSIX_SPAWN_DUP2, f, 2), (os.POSIX_SPAWN_DUP2, w, 3)]
    pid = os.posix_spawn(TARGET, [TARGET, "run", "300"] + argv, os.environ, file_actions=acts)
    for fd in (w, f, null):
        os.close(fd)
    os.waitpid(pid, 0)
    line = os.read(r, 200).split()
    os.close(r)
    status, start, end, peak, cpu = map(int, line)
    if status:
        raise Failed("%s: status %d: %s" % (" ".join(argv[:2]), status, complaint(out, argv)))
    return start, end, peak, cpu


def complaint(out, argv):
    texts = [open(out, errors="replace").read()]
    d = argv[argv.index("-D") + 1]
    for log in ("dump.log", "restore.log"):
        with contextlib.suppress(OSError):
            texts.append(open(os.path.join(d, log), errors="replace").read())
    return " | ".join(l for t in texts for l in t.splitlines() if "rror" in l)[:400]


def kernel_cost(r, kind, scratch):
    """What only the kernel can do costs any tool the same: to make something, to tell of it, and to end it. Measured beside each round."""
    n = kind.split(":")[1]
    argv = [TARGET, "cost", n, scratch + "/cost"] if kind.startswith("locks") else [os.path.dirname(TARGET) + "/unixcost", n]
    out = subprocess.run(argv, stdout=subprocess.PIPE, check=True).stdout.split()
    r.update(zip(("make", "tell", "end"), (int(ns) / 1e6 for ns in out)))


def stats(out):
    text = open(out).read()
    try:
        return json.loads(text[text.index("{"):])["stats"]
    except (ValueError, KeyError):
        return {}


def settle(where, mib):
    """What went before is on the disk; and free memory is at hand (a hypervisor may have taken it away)."""
    if fs(where) != "tmpfs":
        os.sync()
    mmap.mmap(-1, 3 * (mib + 20) << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def round_of(name, path, kind, where, mib):
    """One dump -R, one dump, one restore."""
    ours, r = name == "ours", {}
    base = tempfile.mkdtemp(dir=where)
    scratch = tempfile.mkdtemp(dir="/dev/shm")
    live, img, out = base + "/live", base + "/img", scratch + "/out"
    os.mkdir(live, 0o700), os.mkdir(img, 0o700)
    call = lambda verb, d, *more: [path, verb, "-D", d, "-o", verb + ".log"] + (["--json"] if ours else []) + (["-l"] if kind.startswith("locks") else []) + list(more)
    t = None
    try:
        t = Target(kind, scratch)
        settle(where, mib)
        start, end, _, _ = tool(call("dump", live, "-t", str(t.pid), "-R"), out)
        t.check("after dump -R")
        r["dump -R"], r["frozen"] = (end - start) / 1e6, t.frozen(start, end)
        shutil.rmtree(live)
        settle(where, mib)
        start, end, peak, cpu = tool(call("dump", img, "-t", str(t.pid)), out)
        until(20, "the target is there after dump", t.gone)
        r["dump"], r["dump peak"], r["dump cpu"] = (end - start) / 1e6, peak, cpu / 1e6
        if ours and "fsync_us" in stats(out):
            r["fsync"] = stats(out)["fsync_us"] / 1000
        settle(where, mib)
        start, end, peak, cpu = tool(call("restore", img, "-d"), out)
        # What the restored task has done for itself counts as well.
        cpu += int(open("/proc/%d/schedstat" % t.pid).read().split()[0])
        t.check("after restore")
        r["restore"], r["restore peak"], r["restore cpu"] = (end - start) / 1e6, peak, cpu / 1e6
        if kind.startswith(("locks", "unix")):
            kernel_cost(r, kind, scratch)
        return r
    finally:
        if t:
            t.close()
        shutil.rmtree(base, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)


def fs(d):
    """The type of the file system that a directory is on."""
    d, best = os.path.realpath(d) + "/", ("", "?")
    for line in open("/proc/self/mounts"):
        _, at, kind = line.split()[:3]
        if d.startswith(at.rstrip("/") + "/") and len(at) >= len(best[0]):
            best = (at, kind)
    return best[1]


def rounds_of(tools, kind, where, mib, n):
    data = {name: [] for name in tools}
    for i in range(-1, n):  # one to warm up
        for name in list(tools) if i % 2 == 0 else list(tools)[::-1]:
            r = round_of(name, tools[name], kind, where, mib)
            if i >= 0:
                data[name].append(r)
    return data


def middle(rounds, figure):
    v = [r[figure] for r in rounds if figure in r]
    return statistics.median(v) if v else None


def kernels_part(data):
    if data["ours"] and "make" in data["ours"][0]:
        make, tell, end = (show(middle(data["ours"], what)) for what in ("make", "tell", "end"))
        print("  on a CPU, the kernel's own part of each dump (%s) is %s, of each restore (the calls that %s) %s" %
              ("fdinfo" if end == "-" else "the calls that tell of them", tell, "take the locks" if end == "-" else "make them", make) +
              ("" if end == "-" else "; the end of the process %s" % end))


def show(v):
    return "-" if v is None else "%.2f" % v if v < 10 else "%.1f" % v if v < 1000 else "%.0f" % v


def table(kind, where, data):
    """Prints the figures of one kind; returns how many bars were missed."""
    missed, disk = 0, "tmpfs" if fs(where) == "tmpfs" else "disk"
    rounds = {len(v) for v in data.values()}
    print("\n%s; images on %s; medians of %s, ms" % (KINDS[kind][1], fs(where), "/".join(map(str, rounds))))
    kernels_part(data)
    print("  %-9s %9s" % ("", "criu-lite") + ("%9s %7s %7s" % ("CRIU", "ratio", "bar") if "CRIU" in data else ""))
    for figure in FIGURES:
        a, b = (middle(data.get(n, []), figure) for n in ("ours", "CRIU"))
        if a is None:
            continue
        line = "  %-9s %9s" % (figure, show(a))
        bar = BARS.get((kind, figure, None), BARS.get((kind, figure, disk)))
        if b:
            line += "%9s %7.2f" % (show(b), a / b)
            if bar:
                line += " %7.2f %s" % (bar, "ok" if a / b <= bar else "MISSED")
                missed += a / b > bar
        print(line.rstrip(), flush=True)
    return missed


def peaks(where):
    """Peak memory of the tool does not grow with the target."""
    missed = 0
    print("\npeak memory of criu-lite, MiB (bar: %d)" % RSS_MIB)
    free = shutil.disk_usage(where).free >> 20
    memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    for gib in (1, 4):
        if min(memory / (3 if fs(where) == "tmpfs" else 2), free / 2) < gib * 1024:
            print("  %d GiB: too little memory or space here" % gib)
            continue
        r = round_of("ours", CL, "mem:%d" % (gib * 1024), where, 0)
        worst = max(r["dump peak"], r["restore peak"]) / 1024
        missed += worst >= RSS_MIB
        print("  %d GiB: dump %.1f, restore %.1f %s" % (gib, r["dump peak"] / 1024, r["restore peak"] / 1024, "ok" if worst < RSS_MIB else "MISSED"), flush=True)
    return missed


def flat(where, n):
    """A descriptor costs as much among many as among few. Small differences: by the best round of each, taken in turns."""
    print("\nmicroseconds for one more regular file, best of %d (bar: %g of the first)" % (n, FLAT))
    at, cost, missed = {step: [] for step in STEPS}, {}, 0
    for _ in range(n):
        for step in STEPS:
            at[step].append(round_of("ours", CL, "files:%d" % step, where, 0))
    best = lambda step, verb: min(r[verb] for r in at[step])
    for few, many in zip(STEPS, STEPS[1:]):
        line = "  %5d to %5d:" % (few, many)
        for verb in ("dump", "restore"):
            us = (best(many, verb) - best(few, verb)) * 1000 / (many - few)
            cost.setdefault(verb, us)
            missed += us > FLAT * cost[verb]
            line += "  %s %.1f%s" % (verb, us, " MISSED" if us > FLAT * cost[verb] else "")
        print(line, flush=True)
    return missed


def private_run():
    """CRIU keeps what it knows of the kernel on the tmpfs at /run; a machine without one would flatter us."""
    if fs("/run") != "tmpfs":
        if libc.unshare(0x20000) or libc.mount(b"none", b"/", None, 0x44000, None) or libc.mount(b"run", b"/run", b"tmpfs", 0, b"mode=755"):
            print("no tmpfs on /run: CRIU is slower than it would be")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("-n", type=int, default=int(os.environ.get("ROUNDS", 9)), help="rounds (%(default)s)")
    ap.add_argument("-d", "--dir", action="append", help="where the images go (default: /dev/shm and /var/tmp)")
    ap.add_argument("kind", nargs="*", help="default: all")
    a = ap.parse_args()
    every = [*KINDS, "flat", "rss"]
    if set(a.kind) - {*every}:
        ap.error("kinds are " + ", ".join(every))
    tools = {"ours": os.path.abspath(CL)}
    if os.environ.get("CRIU"):
        tools["CRIU"] = os.path.abspath(shutil.which(os.environ["CRIU"]) or sys.exit("no such program: " + os.environ["CRIU"]))
        private_run()
    else:
        print("CRIU=PROGRAM would give figures side by side")
    libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    missed, dirs = 0, a.dir or ["/dev/shm", "/var/tmp"]
    for kind in a.kind or every:
        for d in dirs if kind == "mem" else dirs[:1]:
            where = tempfile.mkdtemp(prefix="cl-bench.", dir=d)
            try:
                if kind == "rss":
                    missed += peaks(where)
                elif kind == "flat":
                    missed += flat(where, a.n)
                else:
                    mine = {"ours": tools["ours"]} if kind in SOLO else tools
                    missed += table(kind, where, rounds_of(mine, KINDS[kind][0], where, 1024 if kind == "mem" else 0, a.n))
            except Failed as e:
                print("%s: %s" % (kind, e))
                missed += 1
            finally:
                shutil.rmtree(where, ignore_errors=True)
    if missed:
        print("\n%d missed" % missed)
    sys.exit(1 if missed else 0)


main()
