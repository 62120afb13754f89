#!/usr/bin/python3
"""Doors through dump and restore (row 32 of docs/DOORS.md): a server with 8 calling clients in one tree, the server
alone, the clients alone. No call is answered wrongly, none is lost without EINTR or the EBADF of a server that is not
there. $DOOR_CYCLES says how often."""
import glob
from cl import *

DOORS = os.path.join(os.environ.get("BUILD", os.path.dirname(CL)), "tests/trees/doors")
CYCLES = count("DOOR_CYCLES", 4, 100)
# A task is restored in a process of the tool, and ThreadSanitizer ends one that maps memory where it has its own. So the
# programs that have doors and the tool that dumps them have it; what restores is a tool without.
THREADS = "thread" in os.environ.get("SAN", "")
RESTORER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build/criu-lite") if THREADS else CL


def mounts():
    """A door is attached by mounting: whether that is possible here."""
    if not os.path.exists(RESTORER):
        raise Skip("what ThreadSanitizer is in cannot restore: needs " + os.path.normpath(RESTORER))
    if os.path.ismount("/run"):
        return
    p = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
    if p.returncode:
        raise Skip("no mounts: " + p.stderr.strip())


def begin(kind, path, n, log):
    pid = start([DOORS, kind, path, str(n)], log=log)
    until("the program to be ready", 10, lambda: "READY" in open(os.path.join(DIR, log)).read())
    return pid


def counts():
    """calls, answered, interrupted, dead of every client, summed up"""
    rows = [list(map(int, open(f).read().split())) for f in glob.glob(DIR + "/clients.*")]
    return [sum(r[i] for r in rows if len(r) == 4) for i in range(4)]


def info(path):
    return subprocess.run([DOORS, "info", path], capture_output=True, text=True, check=True).stdout


def calls_go_on(pids, path):
    """Every client gets answers."""
    for p in pids:
        f = DIR + "/clients.%d" % p
        until("client %d" % p, 10, os.path.exists, f)
        n = until("calls of %d" % p, 10, lambda: (open(f).read().split() or [0, 0])[1])
        until("more answers for %d" % p, 20, lambda: int((open(f).read().split() or [0, n])[1]) > int(n))


def clients_of(pid):
    return until("the clients", 10, lambda: len(tree(pid)) > 8 and [p for p in tree(pid) if p != pid])


def run(dumped, others, path, pids, dead):
    """Cycles of the tree @dumped; nothing but the figures of the clients tells what became of their calls."""
    for _ in range(CYCLES):
        before = info(path)
        calls_go_on(pids, path)
        d = images()
        dump(dumped, d)
        restore(d, tool=RESTORER)
        assert alive(dumped)
        calls_go_on(pids, path)
        assert info(path) == before, (before, info(path))
    n, ok, interrupted, gone = counts()
    print("# %d cycles: %d calls, %d answered, %d EINTR, %d EBADF" % (CYCLES, n, ok, interrupted, gone), flush=True)
    assert n - 8 <= ok + interrupted + gone <= n, (n, ok, interrupted, gone)
    assert dead or not gone, "a server that was not there"
    assert all(alive(p) for p in [dumped] + others + pids), "a client has ended: " + open(DIR + "/log").read()
    for f in glob.glob(DIR + "/clients.*"):
        os.unlink(f)


def test_row_32_server_and_clients_in_one_tree():
    mounts()
    path = DIR + "/door"
    pid = begin("server", path, 8, "log")
    run(pid, [], path, clients_of(pid), False)


def test_row_32_private_pool():
    """Its threads are bound to the door; more are made as clients want them."""
    mounts()
    path = DIR + "/door-p"
    pid = begin("private", path, 8, "log-p")
    run(pid, [], path, clients_of(pid), False)


def test_row_32_server_with_private_pool_alone():
    mounts()
    path = DIR + "/door-ps"
    server, pid = begin("private", path, 0, "log-ps"), begin("clients", path, 8, "log")
    run(server, [pid], path, clients_of(pid), True)


def test_row_32_server_alone():
    mounts()
    path = DIR + "/door-s"
    server, pid = begin("server", path, 0, "log-s"), begin("clients", path, 8, "log")
    run(server, [pid], path, clients_of(pid), True)


def test_row_32_clients_alone():
    mounts()
    path = DIR + "/door-c"
    server, pid = begin("server", path, 0, "log-c"), begin("clients", path, 8, "log")
    run(pid, [server], path, clients_of(pid), False)


if __name__ == "__main__":
    main()
