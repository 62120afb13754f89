#!/usr/bin/python3
"""CRIU restores what was dumped here, and the other way round. CRIU=/path/to/criu (4.2) names the other tool."""
import ctypes
from programs import *


def criu(*args):
    p = subprocess.run([CRIU, *map(str, args)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, "%s %s: status %d\n%s\n%s%s" % (CRIU, " ".join(map(str, args)), p.returncode, p.stdout, p.stderr, logs(args))


def ours_to_criu(p):
    d, was = images("ours"), p.shape()
    dump(p.pid, d)
    until("the tree that we dumped to go", 5, p.gone)
    criu("restore", "-D", d, "-d", "-o", "restore.log", "-v4")
    p.goes_on()
    assert p.shape() == was, "after CRIU's restore: %s, not %s" % (p.shape(), was)


def criu_to_ours(p):
    d, was = images("theirs"), p.shape()
    criu("dump", "-t", p.pid, "-D", d, "-o", "dump.log", "-v4")
    until("the tree that CRIU dumped to go", 5, p.gone)
    restore(d)
    p.goes_on()
    assert p.shape() == was, "after our restore: %s, not %s" % (p.shape(), was)


def exchange(name):
    if not CRIU:
        raise Skip("needs CRIU=PROGRAM, a CRIU 4.2")
    # CRIU keeps what it knows of the kernel in /run, and this mount namespace is our own.
    ctypes.CDLL(None).mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    for i in range(count("EXCHANGES", 1, 5)):
        for steps in ((ours_to_criu,), (criu_to_ours,), (ours_to_criu, criu_to_ours) * 2):
            p = Program(name)
            for step in steps:
                try:
                    step(p)
                except AssertionError as e:
                    raise AssertionError("%s of %s: %s" % (step.__name__, " ".join(s.__name__ for s in steps), e)) from None
            stop_all()


def test_bash():
    exchange("bash")


def test_python():
    exchange("python3")


def test_perl():
    exchange("perl")


def test_sockets():
    """Every kind of socket that both know."""
    if not CRIU:
        raise Skip("needs CRIU=PROGRAM, a CRIU 4.2")
    ctypes.CDLL(None).mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    harness = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../types/test_types.py")
    for words in (["--dumper", CRIU], ["--restorer", CRIU, "--no-state"]):
        p = subprocess.run([harness, "--bin", CL, "--between", *words, "sock-exchange"], capture_output=True, text=True)
        assert p.returncode == 0, "%s: %s" % (words[0], p.stdout + p.stderr)


main()
