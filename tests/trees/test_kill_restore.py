#!/usr/bin/python3
"""Restores that SIGKILL ends at random instants: nothing is left, and the image restores next time."""
from busylib import *


def test_killed_restores():
    b, rnd, d = Busy(8, 5), instants("killed restores"), images()
    work = os.path.join(DIR, "work")
    os.mkdir(work)
    again = lambda: restore(d, "-W", work)
    dump(b.pid, d)
    until("the dumped tree to go", 5, b.gone)
    took = []
    for _ in range(3):
        start = time.monotonic()
        again()
        took.append(time.monotonic() - start)
        b.unharmed("after restore")
        b.kill()
    limit, quiet, was, around = sorted(took)[1] * 1.05, everybody(), contents(d), mounts()
    rounds, done, late = count("KILLED_RESTORES", 10, 200), 0, 0
    while done < rounds:
        start, at = time.monotonic(), rnd.uniform(0, limit)
        when = "after killed restore %d (at %.2f of %.2f ms)" % (done + late, at * 1000, limit * 1000)
        status = kill_at(launch("restore", "-d", "-D", d, "-W", work, "-o", "restore.log"), start, at)
        assert status in (0, -9), "%s: status %d: %s" % (when, status, text(DIR + "/launch.out"))
        end = time.monotonic() + 2
        while status and everybody() & set(b.pids) and time.monotonic() < end:
            time.sleep(0.005)
        left = everybody() & set(b.pids)
        if left:
            # Killed after the point of no return: then the whole tree has to be there.
            assert left == set(b.pids), "%s: left behind: %s" % (when, {p: stat(p) for p in left})
            b.unharmed(when)
            b.kill()
            late += 1
            assert late < 20 * rounds + 20, "no restore is slow enough to be killed"
        else:
            assert status == -9, when + ": it succeeded, and the tree is not there"
            # In every other round the guardian is given no time: those who have the pids now are not to be its victims.
            if done % 2:
                until("the guardian to end " + when, 10, lambda: everybody() == quiet)
            done += 1
        if status == 0:
            limit = max(limit * 0.98, 0.001)
        assert contents(d) == was, when + ": the image has changed"
        assert mounts() == around, when + ": mounts have changed"
        again()
        b.unharmed("restored " + when)
        until("the guardian to end " + when, 10, lambda: everybody() == quiet | set(b.pids))
        b.unharmed("restored and the guardian gone " + when)
        b.kill()
    print("# %d killed in the middle, %d were done before" % (done, late))


main()
