#!/usr/bin/python3
"""Every kind of file that two tools know, dumped by one and restored by the other, with the programs of tests/types.
CRIU=/path/to/criu (4.2) names the other tool. NAME-between is there where NAME has more than it can hold."""
import ctypes
from cl import *

TYPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../types/test_types.py")
BOTH = ["bpfmap-between", "eventfd-between", "eventpoll-between", "fanotify-between", "fifo", "ghost-between", "ghost-big",
        "inetsk-between", "inotify", "memfd", "memfd-kinds", "ns", "pidfd", "pipe-between", "reg-between", "reg-proc", "signalfd", "table",
        "timerfd", "tty-between", "unixsk-between"]
# These the other tool brings back as something else: without a watch, a name of its own, a memfd in the place of shared memory.
THEIRS = BOTH + ["inotify-between", "reg-linked", "table-mapped"]


def exchange(role, names):
    if not CRIU:
        raise Skip("needs CRIU=PROGRAM, a CRIU 4.2")
    # It keeps what it knows of the kernel in /run, and this mount namespace is our own.
    ctypes.CDLL(None).mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    p = subprocess.run(["/usr/bin/python3", TYPES, "--bin", CL, "--between", role, CRIU] + names, capture_output=True,
                       text=True, stdin=subprocess.DEVNULL)
    done = re.findall("^ok - types/(.*)$", p.stdout, re.M)
    assert p.returncode == 0 and sorted(done) == sorted(names), p.stdout + p.stderr


def test_ours_to_theirs():
    exchange("--restorer", BOTH)


def test_theirs_to_ours():
    exchange("--dumper", THEIRS)


main()
