#!/usr/bin/python3
"""A signal that comes before the first instruction ends the call that a thread waits in, as it would have."""
from cl import *

PROG = os.path.join(os.environ.get("BUILD", "build"), "tests/trees/interrupted")
CALLS = ("pause", "sigsuspend", "poll", "ppoll", "select", "read")


def waiting(call, who, test):
    log = os.path.join(DIR, "%s-%s-%s" % (call, who, test))
    pid = start([PROG, call, who], log=os.path.basename(log))
    until("READY", 10, lambda: "READY" in open(log).read())
    tasks = sorted(map(int, os.listdir("/proc/%d/task" % pid)))
    until("it to wait", 5, lambda: all(stat(t)["state"] == "S" for t in tasks))
    return pid, log


def stopped(pid):
    until("the stop", 5, lambda: stat(pid)["state"] == "T")


def ends(pid, log, call):
    was_stopped = stat(pid)["state"] == "T"
    os.kill(pid, signal.SIGUSR1)
    if was_stopped:
        os.kill(pid, signal.SIGCONT)
    until("%s to end (%s)" % (call, log), 5, lambda: call + " -1 Interrupted" in open(log).read())


def test_after_a_restore():
    for call in CALLS:
        for who in ("leader", "thread"):
            pid, log = waiting(call, who, "restore")
            d = images("%s-%s.img" % (call, who))
            dump(pid, d)
            until("the dumped task to go", 5, lambda: not alive(pid))
            restore(d, "--leave-stopped")
            stopped(pid)
            ends(pid, log, call)


def test_after_a_dump():
    for call in CALLS:
        for who in ("leader", "thread"):
            pid, log = waiting(call, who, "dump")
            dump(pid, images("%s-%s.live" % (call, who)), "--leave-stopped")
            stopped(pid)
            ends(pid, log, call)


def test_restarted_where_the_handler_wants_it():
    for who in ("leader", "thread"):
        pid, log = waiting("read", who, "again")
        d = images("again-%s.img" % who)
        dump(pid, d)
        until("the dumped task to go", 5, lambda: not alive(pid))
        restore(d, "--leave-stopped")
        stopped(pid)
        os.kill(pid, signal.SIGUSR2)
        os.kill(pid, signal.SIGCONT)
        until("it to wait again", 5, lambda: stat(pid)["state"] == "S")
        assert "read -1" not in open(log).read()
        ends(pid, log, "read")


def test_stopped_while_it_is_dumped():
    """A SIGSTOP at any moment of the dump stops the tree, there and once restored."""
    pid = start(["sh", "-c", "while :; do :; done"])
    until("the shell to run", 5, lambda: stat(pid)["state"] == "R")
    for n in range(count("STOPPED_DUMPS", 30, 300)):
        d, more = images(), ["-R"] if n % 2 else []
        p = subprocess.Popen([CL, "dump", "-t", str(pid), "-D", d] + more, stderr=subprocess.PIPE, text=True)
        time.sleep(n % 10 * 0.001)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        assert p.wait(30) == 0, p.stderr.read()
        if not more:
            seen = cl("state", d).stdout
            until("the dumped tree to go", 5, lambda: not alive(pid))
            restore(d, "--verify")
        if more or "SIGSTOP" in seen or "stopped" in seen:
            until("the shell to stop", 5, lambda: stat(pid)["state"] == "T")
            os.kill(pid, signal.SIGCONT)
        until("the shell to run", 5, lambda: stat(pid)["state"] == "R")


def test_stopped_before_the_dump():
    for who in ("leader", "thread"):
        pid, log = waiting("pause", who, "stopped")
        os.kill(pid, signal.SIGSTOP)
        stopped(pid)
        d = images("stopped-%s.img" % who)
        dump(pid, d)
        until("the dumped task to go", 5, lambda: not alive(pid))
        restore(d)
        stopped(pid)
        ends(pid, log, "pause")


main()
