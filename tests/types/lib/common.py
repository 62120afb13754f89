"""What the programs of tests/types/ share: set up, stand still, look again.

A program sets up its files, calls ready(), and goes on from there once it was
restored. check() collects what differs; done() prints PASS or FAIL lines.
"""
import ctypes
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
failures = []


class Go(Exception):
    pass


def go(signum, frame):
    raise Go


signal.signal(signal.SIGUSR1, go)


def sys_call(name, *args):
    """A libc function that returns -1 with errno."""
    ret = getattr(libc, name)(*args)
    if ret < 0:
        err = ctypes.get_errno()
        raise OSError(err, f"{name}: {os.strerror(err)}")
    return ret


def ready():
    """Says READY, and returns when the harness says so."""
    try:
        print("READY", flush=True)
        while True:
            # Not sigwait(): a tracer that looks in ends it with EINTR.
            signal.pause()
    except Go:
        pass


def skip(reason):
    """This kernel or these privileges lack something: ends the program."""
    print("SKIP " + reason, flush=True)
    sys.exit(0)


def check(what, got, want):
    if got != want:
        failures.append(f"{what}: {got!r}, expected {want!r}")


def done():
    for f in failures:
        print("FAIL", f, flush=True)
    if not failures:
        print("PASS", flush=True)
    sys.stdout.flush()
    os._exit(1 if failures else 0)


def fdinfo(fd, pid="self"):
    with open(f"/proc/{pid}/fdinfo/{fd}") as f:
        return f.read()


def same_file(pid_a, fd_a, pid_b, fd_b):
    """Do two descriptors lead to one open file description?  kcmp(2), KCMP_FILE."""
    return libc.syscall(312, pid_a, pid_b, 0, fd_a, fd_b) == 0
