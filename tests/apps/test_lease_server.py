#!/usr/bin/python3
"""Two holders of leases on one file, one of them dumped and restored while it caches writes."""
import ctypes

from cl import *

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "leaseholder.py")


def tally(name):
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(open(os.path.join(DIR, "tally." + name)).read())
    return 0


def test_two_holders_agree_after_ten_cycles():
    path = os.path.join(DIR, "shared")
    open(path, "w").close()
    inside, outside = (start([sys.executable, SERVER, path, name], log="log." + name) for name in ("in", "out"))
    until("both to have written", 20, lambda: tally("in") and tally("out"))
    held = 0
    for _ in range(count("LEASE_CYCLES", 10, 200)):
        # While the tree is away its lease is, too: the other one stands still for so long.
        os.kill(outside, signal.SIGSTOP)
        until("the other to stop", 5, lambda: stat(outside)["state"] == "T")
        d = cycle(inside, "-l", verify=False)
        held += os.path.exists(os.path.join(d, "filelocks.img"))
        os.kill(outside, signal.SIGCONT)
        before = tally("in"), tally("out")
        until("both to go on", 20, lambda: tally("in") > before[0] and tally("out") > before[1])
    text = "inside %d, outside %d, leases at %d of the dumps" % (tally("in"), tally("out"), held)
    # A moment in which nothing is cached: the file and the two tallies agree.
    until("the file and the tallies to agree: " + text, 20, lambda: agree(path, inside, outside))
    assert not [l for n in ("in", "out") for l in open(os.path.join(DIR, "log." + n)) if "rror" in l]
    assert held > 0
    print("# " + text)


def agree(path, *pids):
    for p in pids:
        os.kill(p, signal.SIGSTOP)
    until("both to stop", 5, lambda: all(stat(p)["state"] == "T" for p in pids))
    try:
        # Read as another client would not: this breaks no lease, as it opens nothing.
        for p in pids:
            for fd in os.listdir("/proc/%d/fd" % p):
                if os.readlink("/proc/%d/fd/%s" % (p, fd)) == path:
                    pidfd = os.pidfd_open(p)
                    got = ctypes.CDLL(None).syscall(438, pidfd, int(fd), 0)
                    os.close(pidfd)
                    text = os.pread(got, 20, 0)
                    os.close(got)
                    return int(text or b"0") == tally("in") + tally("out")
        return False
    finally:
        for p in pids:
            os.kill(p, signal.SIGCONT)


main()
