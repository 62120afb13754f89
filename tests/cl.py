"""What the script tests share: TAP output, programs under test, dump and restore, and looks from outside.

A test does `from cl import *`, defines functions named test_..., and ends with main()."""
import contextlib, json, os, re, shutil, signal, subprocess, sys, tempfile, time, traceback

CL = os.environ.get("CL", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../build/criu-lite"))
DIR = os.environ.get("TEST_DIR") or tempfile.mkdtemp()
FULL = bool(os.environ.get("FULL"))
CRIU = os.environ.get("CRIU")


class Skip(Exception):
    pass


def count(name, short, full):
    """A number of rounds: $NAME, or the long form's, or the short form's."""
    return int(os.environ.get(name, full if FULL else short))


def need(*programs):
    for p in programs:
        if not shutil.which(p):
            raise Skip("needs the program " + p)


def main(names=None):
    bad = n = 0
    tests = [(k, v) for k, v in sys.modules["__main__"].__dict__.items() if k.startswith("test_") and callable(v)]
    for name, f in tests:
        n += 1
        try:
            f()
            print("ok %d - %s" % (n, name[5:]), flush=True)
        except Skip as s:
            print("ok %d - %s # SKIP %s" % (n, name[5:], s), flush=True)
        except BaseException:
            bad += 1
            print("not ok %d - %s" % (n, name[5:]), flush=True)
            print("".join("# " + l + "\n" for l in traceback.format_exc().splitlines()), end="", flush=True)
        finally:
            stop_all()
    print("1..%d" % n)
    sys.exit(1 if bad else 0)


def until(what, seconds, f, *args):
    """Looks again and again. Where the whole machine stood still meanwhile, that is not counted."""
    left = seconds
    while True:
        begin = time.monotonic()
        got = f(*args)
        if got:
            return got
        if left <= 0:
            raise AssertionError("waited %g s for %s" % (seconds, what))
        time.sleep(0.01)
        left -= min(time.monotonic() - begin, 0.2)


def stat(pid):
    try:
        text = open("/proc/%d/stat" % pid).read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    rest = text.rsplit(")", 1)[1].split()
    return {"comm": text[text.index("(") + 1:text.rindex(")")], "state": rest[0], "ppid": int(rest[1]),
            "pgid": int(rest[2]), "sid": int(rest[3])}


def alive(pid):
    s = stat(pid)
    return bool(s) and s["state"] not in "ZX"


def tree(pid):
    """A process and all below it."""
    kids = {}
    for p in filter(str.isdigit, os.listdir("/proc")):
        s = stat(int(p))
        if s:
            kids.setdefault(s["ppid"], []).append(int(p))
    out, todo = [], [pid]
    while todo:
        p = todo.pop()
        out.append(p)
        todo += kids.get(p, [])
    return out


started = []


def start(argv, cwd=DIR, **kw):
    """A program in a session of its own, its output in a file; an orphan, so that nobody here has to reap it."""
    log = os.path.join(cwd, kw.pop("log", "out"))
    r, w = os.pipe()
    mid = os.fork()
    if mid == 0:
        try:
            os.setsid()
            with open(log, "ab") as out:
                p = subprocess.Popen(argv, cwd=cwd, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=out, stderr=out,
                                     start_new_session=True, **kw)
            os.write(w, b"%d" % p.pid)
        finally:
            os._exit(0)
    os.close(w)
    os.waitpid(mid, 0)
    pid = int(os.read(r, 20))
    os.close(r)
    started.append(pid)
    return pid


def stop_all():
    for pid in started:
        if stat(pid):
            for p in tree(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(p, signal.SIGKILL)
    until("what was started to end", 10, lambda: not any(alive(p) for p in started))
    started.clear()


def cl(*args, ok=True, timeout=60, tool=None):
    p = subprocess.run([tool or CL] + list(map(str, args)), capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
    if ok and p.returncode:
        raise AssertionError("%s %s: status %d\n%s%s%s" % (tool or "criu-lite", " ".join(map(str, args)), p.returncode, p.stdout, p.stderr, logs(args)))
    if p.returncode < 0 or p.returncode > 2:
        raise AssertionError("%s: died: %d\n%s" % (args, p.returncode, p.stderr))
    return p


def logs(args):
    out = ""
    for flag, d in zip(args, args[1:]):
        if flag == "-D":
            for name in ("dump.log", "restore.log"):
                with contextlib.suppress(OSError):
                    lines = open(os.path.join(str(d), name), errors="replace").read().splitlines()
                    out += "\n".join(lines[-15:]) + "\n"
    return out


def images(name="img"):
    d = os.path.join(DIR, name)
    shutil.rmtree(d, ignore_errors=True)
    os.mkdir(d, 0o700)
    return d


def dump(pid, d, *more, **kw):
    return cl("dump", "-t", pid, "-D", d, "-o", "dump.log", "-v4", *more, **kw)


def restore(d, *more, **kw):
    return cl("restore", "-D", d, "-o", "restore.log", "-v4", "-d", *more, **kw)


def cycle(pid, *more, verify=True):
    """Dump, see that the tree is gone, restore with --verify."""
    d, pids = images(), tree(pid)
    dump(pid, d, *more)
    until("the dumped tree to go", 5, lambda: not any(alive(p) for p in pids))
    restore(d, *(["--verify"] if verify else []), *more)
    assert alive(pid), "the root does not run after restore"
    return d


def state(what):
    return json.loads(cl("state", what, "--json").stdout)


def grows(path, seconds=10):
    """The program goes on: its output file grows."""
    size = os.path.getsize(path)
    until(path + " to grow", seconds, lambda: os.path.getsize(path) > size)
