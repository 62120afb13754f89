#!/usr/bin/python3
"""Twenty processes, and threads of theirs with tables of their own, share three hundred descriptions of all kinds at
random: what leads to what is the same after a
restore as before the dump, by kcmp(2). SEED begins, SEEDS says how many; each is a tree of its own."""
import os, shutil
from cl import *
from sharelib import cloexec, groups, tables

SHARING = os.path.join(os.environ.get("BUILD", "build"), "tests/trees/sharing")


def one_tree(seed):
    where = os.path.join(DIR, "tree")
    shutil.rmtree(where, ignore_errors=True)
    os.mkdir(where)
    pid = start([SHARING, str(seed), "20", "300"], cwd=where)
    out = os.path.join(where, "out")
    until("the tree to stand", 20, lambda: open(out).read().strip() or not alive(pid))
    assert open(out).read() == "READY\n", open(out).read()
    pids = sorted(tree(pid))
    assert len(pids) == 20, pids
    ids = [int(t) for p in pids for t in os.listdir("/proc/%d/task" % p)]
    before = groups(ids), tables(ids), cloexec(ids)
    assert len(before[0]) > 250, len(before[0])
    cycle(pid)
    assert sorted(tree(pid)) == pids
    after = groups(ids), tables(ids), cloexec(ids)
    for was, now, what in zip(before, after, ("descriptions", "tables", "close-on-exec")):
        assert was == now, "seed %d: %s: only before %s, only after %s" % (seed, what, list(was - now)[:5], list(now - was)[:5])
    stop_all()


def test_row_01_random_trees_are_shared_as_before():
    seed = int(os.environ.get("SEED", 1))
    for s in range(seed, seed + count("SEEDS", 4, 200)):
        try:
            one_tree(s)
        except BaseException:
            print("# seed %d" % s)
            raise


main()
