#!/usr/bin/python3
"""CRIU restores what was dumped here, and the other way round. CRIU=/path/to/criu (4.2) names the other tool."""
import ctypes
from programs import *


def criu(*args):
    p = subprocess.run([CRIU, *map(str, args)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, "%s %s: status %d\n%s\n%s%s" % (CRIU, " ".join(map(str, args)), p.returncode, p.stdout, p.stderr, logs(args))


def exchange(name):
    if not CRIU:
        raise Skip("needs CRIU=PROGRAM, a CRIU 4.2")
    # CRIU keeps what it knows of the kernel in /run, and this mount namespace is our own.
    ctypes.CDLL(None).mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    p = Program(name)
    for i in range(count("EXCHANGES", 1, 5)):
        ours, theirs = images("ours"), images("theirs")
        shape = lambda: sorted((q, stat(q)["pgid"], stat(q)["sid"], stat(q)["comm"], len(os.listdir("/proc/%d/task" % q)))
                               for q in tree(p.pid) if alive(q) and stat(q)["comm"] != "sleep")
        was = shape()
        dump(p.pid, ours)
        until("the tree that we dumped to go", 5, p.gone)
        criu("restore", "-D", ours, "-d", "-o", "restore.log", "-v4")
        p.goes_on()
        assert shape() == was, "after CRIU's restore: %s, not %s" % (shape(), was)
        p.pids = tree(p.pid)
        criu("dump", "-t", p.pid, "-D", theirs, "-o", "dump.log", "-v4")
        until("the tree that CRIU dumped to go", 5, p.gone)
        restore(theirs)
        p.goes_on()
        assert shape() == was, "after our restore: %s, not %s" % (shape(), was)
        p.pids = tree(p.pid)


def test_bash():
    exchange("bash")


def test_python():
    exchange("python3")


def test_perl():
    exchange("perl")


main()
