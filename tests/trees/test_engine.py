#!/usr/bin/python3
"""The rows of the file engine on whole trees, seen from outside: what leads to what by kcmp(2), links, positions, flags.
Each tree then checks itself. What needs types made for the purpose is in tests/unit/restore/test_engine.c."""
import os, re, signal, shutil, sys
from cl import *
from sharelib import cloexec, groups, tables

HERE = os.path.dirname(os.path.abspath(__file__))


def begin(row, pid=None):
    where = os.path.join(DIR, row)
    shutil.rmtree(where, ignore_errors=True)
    os.mkdir(where)
    if pid:
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write(str(pid))
    pid = start([sys.executable, "-P", HERE + "/rows.py", row], cwd=where,
                env=dict(os.environ, PYTHONPATH=HERE + "/../types/lib", PYTHONDONTWRITEBYTECODE="1"))
    out = os.path.join(where, "out")
    until("READY", 20, lambda: "READY" in open(out).read() or not alive(pid))
    assert alive(pid), open(out).read()
    # The kernel moves the file's position after the text can be read.
    until("the end of the write", 20, lambda: position(pid, 1) == os.path.getsize(out))
    return pid, out


def position(pid, fd):
    return int(re.search(r"pos:\s*(\d+)", open("/proc/%d/fdinfo/%s" % (pid, fd)).read())[1])


def look(pid):
    """All that /proc tells of the tree's descriptors and that is not a number of this run."""
    files = {}
    for p in tree(pid):
        for f in os.listdir("/proc/%d/fd" % p):
            link = os.readlink("/proc/%d/fd/%s" % (p, f))
            info = open("/proc/%d/fdinfo/%s" % (p, f)).read()
            files[p, f] = re.sub(r"\[\d+\]", "[]", link), position(p, f), re.search(r"flags:\s*(\d+)", info)[1]
    return files, groups(tree(pid)), tables(tree(pid)), cloexec(tree(pid))


def same(before, after):
    for was, now in zip(before, after):
        if isinstance(was, dict):
            was, now = set(was.items()), set(now.items())
        assert was == now, "only before: %s; only after: %s" % (sorted(map(str, was - now))[:5], sorted(map(str, now - was))[:5])


def finish(pid, out):
    os.kill(pid, signal.SIGUSR1)
    until("the tree to check itself", 20, lambda: re.search("^(PASS|FAIL)", open(out).read(), re.M) or not alive(pid))
    assert re.search("^PASS", open(out).read(), re.M), open(out).read()[-2000:]


def row(name, pid=None, rounds=1, more=()):
    pid, out = begin(name, pid)
    before = look(pid)
    for _ in range(rounds):
        cycle(pid, *more)
        same(before, look(pid))
    finish(pid, out)
    stop_all()


def test_row_01_shared_by_three_with_later_pids():
    row("01-later", pid=3000)


def test_row_01_shared_by_three_with_earlier_pids():
    row("01-earlier", pid=4000)


def test_row_02_more_than_one_message():
    row("02-254")
    row("02-1000")


def test_row_03_each_makes_sockets_for_the_other():
    row("03")


def test_row_04_sends_in_both_directions_900_files_ahead():
    row("04", rounds=count("CROSSED", 3, 100))


def test_row_05_loops_of_queues_and_epolls():
    row("05")


def test_row_08_numbers_that_the_tool_has():
    row("08")


def test_row_10_terminal_table_path_deleted():
    row("10")


main()
