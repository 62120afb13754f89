#!/usr/bin/python3
"""Dumps that SIGKILL ends at random instants, and dumps that leave the tree running: no target is ever harmed."""
from busylib import *

IMG = os.path.join(DIR, "img")


def duration(pid):
    """The median of a few dumps that leave the program running."""
    took = []
    for _ in range(5):
        d, t = images(), time.monotonic()
        dump(pid, d, "-R")
        took.append(time.monotonic() - t)
    return sorted(took)[2]


def comes_back(b, when):
    """The image is whole: the tree comes back from it, and is right."""
    until("the dumped tree to go " + when, 5, b.gone)
    restore(IMG)
    b.unharmed(when)


def test_killed_dumps():
    b, rnd = Busy(), instants("killed dumps")
    limit = duration(b.pid) * 1.05
    b.unharmed("after dumps")
    rounds, done, late, tries, left, eintr = count("KILLED_DUMPS", 40, 1000), 0, 0, 0, [], b.eintr()
    while done < rounds:
        tries += 1
        d, when = images(), "after killed dump %d" % tries
        # In every fourth round the tree is to go on anyway, which has more to undo at the end.
        more = ["-R"] if tries % 4 == 0 else []
        start = time.monotonic()
        at = rnd.uniform(0, limit)
        status = kill_at(launch("dump", "-t", b.pid, "-D", d, "-o", "dump.log", *more), start, at)
        when += " (at %.2f of %.2f ms)" % (at * 1000, limit * 1000)
        inventory = d + "/inventory.img"
        # The guardian may still have to end the tree, or to take the inventory away.
        until("tree or image to go " + when, 5, lambda: more or b.gone() or not os.path.exists(inventory))
        whole = os.path.exists(inventory)
        assert status == 0 or status == -9, "%s: status %d: %s" % (when, status, text(DIR + "/launch.out"))
        if status == 0 or (whole and not more):
            # Committed before the signal came: with an inventory the image is complete.
            assert whole, when
            late += 1
            assert tries < 20 * rounds, "no dump is slow enough to be killed"
            if not more:
                comes_back(b, when)
            limit = max(limit * 0.98, 0.001)
            continue
        done += 1
        b.unharmed(when, but=["mapped"])
        # The guardian is at work, on a machine that may be busy.
        end = time.monotonic() + 5
        while b.changes() and time.monotonic() < end:
            time.sleep(0.1)
        if b.changes():
            left.append((when, b.changes()))
            cl("cleanup", "-t", b.pid)
            b.unharmed("after cleanup " + when)
        if done % 10 == 0:
            dump(b.pid, images(), "-R")
            b.unharmed("after the dump " + when)
    print("# %d killed in the middle, %d were done before; %d calls saw EINTR" % (done, late, b.eintr() - eintr))
    cycle(b.pid, verify=True)
    b.unharmed("after dump and restore")
    assert not left, "%d of %d killed dumps have left something mapped: %s" % (len(left), done, left[0])


def test_left_running():
    b = Busy()
    before = b.eintr()
    for i in range(count("RUNNING_DUMPS", 10, 200)):
        dump(b.pid, images(), "-R")
        b.unharmed("after dump -R %d" % i)
    assert b.eintr() == before, "%d calls saw EINTR" % (b.eintr() - before)


main()
