#!/usr/bin/python3
"""The id of a thread may be free a little later than its tree is gone: the restore waits for it."""
from busylib import *

THREADED = r'''
import threading, time
def work():
    while True:
        time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
print("READY", flush=True)
while True:
    time.sleep(0.01)
'''

HOLD = r'''#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = pre-restore ] || exit 0
echo %d > /proc/sys/kernel/ns_last_pid
sleep %s > /dev/null 2>&1 &
echo $! > %s/held
'''


def threads(pid):
    return sorted(map(int, os.listdir("/proc/%d/task" % pid)))


def held_for(seconds, ok):
    pid = start([sys.executable, "-c", THREADED], log="threaded")
    until("two threads", 10, lambda: "READY" in text(DIR + "/threaded") and len(threads(pid)) == 2)
    tids, d, script = threads(pid), images(), DIR + "/hold"
    with open(script, "w") as f:
        f.write(HOLD % (tids[1] - 1, seconds, DIR))
    os.chmod(script, 0o700)
    dump(pid, d)
    until("the tree to go", 5, lambda: not stat(pid))
    p = restore(d, "--action-script", script, ok=ok)
    assert int(text(DIR + "/held")) == tids[1], (text(DIR + "/held"), tids)
    return pid, tids, p


def test_held_for_a_moment():
    pid, tids, _ = held_for("0.4", True)
    assert threads(pid) == tids
    stop_all()


def test_held_for_good():
    pid, tids, p = held_for("30", False)
    assert p.returncode == 1 and "thread %d" % tids[0] in p.stderr and "File exists" in p.stderr, p.stderr
    until("nothing to be left", 5, lambda: not stat(pid))


main()
