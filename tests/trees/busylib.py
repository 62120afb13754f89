"""The busy program (busy.c) as seen from outside, and what both kill tests and both refusal tests share."""
import hashlib, mmap, random, struct
from cl import *

BUSY = os.path.join(os.environ.get("BUILD", os.path.join(os.path.dirname(CL), "")), "tests/trees/busy")
HEAD, PROC = struct.Struct("2I"), struct.Struct("2I3Q8Q160s")


class Busy:
    """A running busy program (threads, children); its report is a shared mapping."""

    def __init__(self, threads=8, children=0, files=(), name="report", prog=BUSY, **kw):
        self.path = os.path.join(DIR, name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.pid = start([prog, self.path, str(threads), str(children)] + list(files), **kw)
        until("the busy program", 10, lambda: os.path.exists(self.path) and os.path.getsize(self.path) > HEAD.size)
        f = open(self.path, "r+b")
        self.mem = mmap.mmap(f.fileno(), 0)
        f.close()
        until("its report", 10, lambda: HEAD.unpack_from(self.mem)[0])
        self.parts = [i for i in range(children + 1) if i not in (2, 3)]
        until("all its processes", 10, lambda: all(self.proc(i)["pid"] for i in self.parts + [3][:children > 2]))
        self.runs("at first")
        states = lambda: [(stat(p) or {"state": "?"})["state"] for p in tree(self.pid)]
        until("one to be a zombie and one to stop", 5, lambda: (states().count("Z"), states().count("T")) == (children > 1, children > 2))
        self.pids = sorted(tree(self.pid))
        self.look = self.outside()

    def proc(self, i):
        v = PROC.unpack_from(self.mem, HEAD.size + i * PROC.size)
        return {"pid": v[0], "threads": v[1], "failures": v[2], "eintr": v[3],
                "rounds": v[5:5 + v[1]] + (v[4:5] if v[1] > 4 else ()), "why": v[13].split(b"\0")[0].decode(errors="replace")}

    def eintr(self):
        return sum(self.proc(i)["eintr"] for i in self.parts)

    def right(self, when):
        for i in self.parts:
            p = self.proc(i)
            assert not p["failures"], "%s: %d checks of its own failed: %s" % (when, p["failures"], p["why"])

    def runs(self, when, seconds=10):
        """Every thread of every process gets on, the interval timer fires, and all results are right."""
        was = {i: self.proc(i)["rounds"] for i in self.parts}
        stuck = lambda: [(i, k) for i in self.parts for k, (n, w) in enumerate(zip(self.proc(i)["rounds"], was[i])) if n <= w]
        try:
            until("", seconds, lambda: not stuck())
        except AssertionError:
            raise AssertionError("%s: (process, thread) %s do not get on; 8 is the interval timer" % (when, stuck())) from None
        self.right(when)

    def outside(self):
        """What must not change: mappings, descriptors, signal masks and names, by process and thread."""
        return {p: look(p) for p in self.pids if alive(p)}

    def unharmed(self, when, but=()):
        """Alive, not stopped, not traced, nothing left in it (BUT for these), and going on with right results."""
        for p in self.pids:
            assert stat(p), "%s: pid %d is gone" % (when, p)
        running = [p for p in self.pids if self.look.get(p) and self.look[p]["runs"]]
        until("threads to run " + when, 3, lambda: not any(stopped(p) for p in running))
        self.runs(when)
        try:
            until("", 2, lambda: not self.changes(but))
        except AssertionError:
            raise AssertionError("%s, something has changed: %s" % (when, self.changes(but)))

    def changes(self, but=()):
        now = self.outside()
        return [(p, k, self.look[p][k], now.get(p, {}).get(k)) for p in self.look for k in self.look[p]
                if k not in but and self.look[p][k] != now.get(p, {}).get(k)]

    def kill(self):
        kill_all(self.pids)

    def gone(self):
        return not any(stat(p) for p in self.pids)


def kill_all(pids):
    for p in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(p, signal.SIGKILL)
    until("what was killed to end", 5, lambda: not any(stat(p) for p in pids))


def threads(pid):
    try:
        return sorted(map(int, os.listdir("/proc/%d/task" % pid)))
    except OSError:
        return []


def stopped(pid):
    return [t for t in threads(pid) if re.search(r"^State:\s+[Tt]|^TracerPid:\s+[1-9]", text("/proc/%d/task/%d/status" % (pid, t)), re.M)]


def text(path):
    try:
        return open(path).read()
    except OSError:
        return ""


def look(pid):
    ranges = []
    for line in text("/proc/%d/maps" % pid).splitlines():
        if "[stack]" in line:
            continue
        lo, hi = (int(x, 16) for x in line.split()[0].split("-"))
        # The file is not read at one instant: a range that has just been split may be there twice.
        if ranges and lo <= ranges[-1][1]:
            ranges[-1][1] = max(hi, ranges[-1][1])
        else:
            ranges.append([lo, hi])
    code = [l for l in text("/proc/%d/maps" % pid).splitlines() if "x" in l.split()[1]]
    fds = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(OSError):
            # The inode number of a pipe is another one after restore.
            fds[fd] = re.sub(r":\[\d+\]$", "", os.readlink("/proc/%d/fd/%s" % (pid, fd)))
    masks = {t: re.findall(r"^(?:Name|SigIgn|SigCgt|TracerPid|Seccomp|CapEff|Uid).*", text("/proc/%d/task/%d/status" % (pid, t)), re.M)
             for t in threads(pid)}
    # The one thread that takes signals changes its mask all the time, and checks it itself.
    for t in masks:
        if masks[t][0].split()[1] != "busy-4":
            masks[t] += re.findall(r"^SigBlk.*", text("/proc/%d/task/%d/status" % (pid, t)), re.M)
    return {"mapped": ranges, "code": code, "fds": fds, "threads": masks, "runs": not stopped(pid)}


def everybody():
    """All pids of this pid namespace (a test has one of its own), but for kernel and own helpers that come and go."""
    return {int(p) for p in os.listdir("/proc") if p.isdigit()}


def mounts():
    return sorted(open("/proc/self/mountinfo").read().splitlines())


def contents(d):
    """Every file of a directory with mode and hash."""
    out = {}
    for name in sorted(os.listdir(d)):
        path = os.path.join(d, name)
        st = os.lstat(path)
        out[name] = (st.st_mode, st.st_size, hashlib.sha256(open(path, "rb").read()).hexdigest() if os.path.isfile(path) else "")
    return out


def launch(*args):
    """The tool, in the background: its pid. Output goes into DIR/launch.out."""
    out = os.path.join(DIR, "launch.out")
    acts = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawn(CL, [CL] + list(map(str, args)), os.environ, file_actions=acts)


def wait(pid, seconds=30):
    """The end of a launched tool, as subprocess's returncode."""
    end = time.monotonic() + seconds
    while True:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError("the tool hangs: %s" % text(os.path.join(DIR, "launch.out")))
        time.sleep(0.0005)


def kill_at(pid, start, seconds):
    """SIGKILL at start + seconds. Returns the tool's status: -9, or its own if it was done before."""
    while True:
        left = start + seconds - time.monotonic()
        if left <= 0:
            break
        time.sleep(left if left > 0.0002 else 0)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return wait(pid)


def instants(name):
    """Random numbers that can be had again: SEED=... repeats a run."""
    seed = os.environ.get("SEED") or "%d" % time.time()
    print("# %s: SEED=%s" % (name, seed), flush=True)
    return random.Random(name + seed)


def causes(p):
    """The error lines of a run."""
    return [l for l in p.stderr.splitlines() if "Error:" in l]


def refused(*args, says=(), lines=1, timeout=40, tool=None):
    """A run that must be refused: status 1, as many error lines as there are causes, naming what they should."""
    p = cl(*args, ok=False, timeout=timeout, tool=tool)
    assert p.returncode == 1, "status %d, not 1\n%s%s" % (p.returncode, p.stderr, logs(args))
    found = causes(p)
    assert found and (lines is None or len(found) == lines), "%d lines, not %s:\n%s" % (len(found), lines, p.stderr)
    for want in [says] if isinstance(says, str) else says:
        assert re.search(want, "\n".join(found)), "no line with %r:\n%s" % (want, p.stderr)
    return p
