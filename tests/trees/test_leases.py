#!/usr/bin/python3
"""Leases, seen by somebody else before the dump and after the restore."""
import os, random, subprocess, sys

from cl import *
from puppet import *

RT = signal.SIGRTMIN + 3
MODES = {"O_RDONLY": os.O_RDONLY, "O_WRONLY": os.O_WRONLY, "O_RDWR": os.O_RDWR}
BREAK_TIME = "/proc/sys/fs/lease-break-time"


def at(name):
    return os.path.join(DIR, name)


def fresh(*names):
    for n in names:
        with open(at(n), "w") as f:
            f.write("x" * 4096)


def puppet():
    p = Puppet()
    p("RT = %d; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO, RT})" % RT)
    return p


def break_it(name, flags):
    """What an opener sees that does not wait."""
    got = opens(at(name), flags | os.O_NONBLOCK)
    if isinstance(got, int):
        os.close(got)
        return "ok"
    return got


def lease_line(name):
    lines = [l.split() for l in kernel_locks(at(name)) if "->" not in l]
    return [" ".join(l[:3]) for l in lines]


def pass_through(p, *names):
    before = {n: kernel_locks(at(n)) for n in names}
    assert all(before.values()), before
    cycle(p.pid, "-l")
    for n in names:
        until("the leases on %s to be %r and not %r" % (n, before[n], kernel_locks(at(n))), 5, lambda: kernel_locks(at(n)) == before[n])


def opener(name, flags):
    """Somebody outside who waits for the lease to go, opens the file and closes it."""
    pid = os.fork()
    if not pid:
        fd = os.open(at(name), flags)
        os.close(fd)
        os._exit(0)
    return pid


def ended(pid):
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def test_row_44_read_and_write_leases_on_every_kind_of_open():
    p, names = puppet(), []
    for mode, flags in MODES.items():
        for kind in "RW":
            name = "%s_%s" % (kind, mode)
            fresh(name)
            got = p("%s = os.open('%s', %d); lease(%s, %s)" % (name, name, flags, name, kind)) or p("lease(%s, %s)" % (name, kind))
            assert got == ("EAGAIN" if kind == "R" and mode != "O_RDONLY" else "ok"), (name, got)
            if got == "ok":
                names.append(name)
    pass_through(p, *names)
    for name in names:
        assert p("fcntl.fcntl(%s, GETLEASE)" % name) == (R if name[0] == "R" else W), name
        assert break_it(name, os.O_WRONLY) == "EAGAIN" and lease_line(name) == ["LEASE BREAKING UNLCK"], name


def test_row_44_signal_and_owner_of_a_lease():
    p = puppet()
    names = ("thread", "pid", "pgrp", "nobody", "plain")
    fresh(*names)
    p("bg('t', 'wait_signal(RT)')")
    until("the thread to be there", 5, lambda: len(os.listdir("/proc/%d/task" % p.pid)) == 2)
    tid = max(map(int, os.listdir("/proc/%d/task" % p.pid)))
    q = p.child("q")
    q("_ = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO, RT})")
    for n in names:
        p("%s = opens('%s', os.O_RDWR); lease(%s, W)" % (n, n, n))
    for n, type, id in (("thread", 0, tid), ("pid", 1, q.pid), ("pgrp", 2, os.getpgid(p.pid))):
        p("fcntl.fcntl(%s, SETSIG, RT); fcntl.fcntl(%s, SETOWN_EX, struct.pack('ii', %d, %d))" % (n, n, type, id))
    p("fcntl.fcntl(nobody, fcntl.F_SETOWN, 0)")
    owners = lambda: [p("struct.unpack('ii', fcntl.fcntl(%s, GETOWN_EX, bytes(8)))" % n) for n in names]
    before = owners()
    assert before[:4] == [(0, tid), (1, q.pid), (2, os.getpgid(p.pid)), before[3]] and before[4] == (1, p.pid), before
    fds = dict(zip(names, p("[thread, pid, pgrp, nobody, plain]")))
    pass_through(p, *names)
    assert owners() == before, (owners(), before)
    for n in names:
        assert break_it(n, os.O_RDONLY) == "EAGAIN"
    POLL_MSG, SI_KERNEL = 3, 0x80
    assert q("next_signal(RT)") == (RT, POLL_MSG, fds["pid"])
    assert q("next_signal(RT)") == (RT, POLL_MSG, fds["pgrp"])
    assert q("next_signal(RT, signal.SIGIO)") is None
    until("the thread to get its signal", 5, lambda: not p.blocked("t"))
    assert p("background['t']")[0] == RT
    got = [p("next_signal(RT, signal.SIGIO)") for _ in range(3)]
    assert (signal.SIGIO, SI_KERNEL, 0) in got and got[-1] is None, got


def breaking(p, name, kind, flags, by):
    fresh(name)
    assert p("%s = os.open('%s', %d)\nr = lease(%s, %s)" % (name, name, flags, name, kind)) is None and p("r") == "ok"
    assert break_it(name, by) == "EAGAIN"
    assert p("next_signal(signal.SIGIO, timeout=5)")[0] == signal.SIGIO


def test_row_45_broken_before_the_dump_by_an_opener_that_does_not_wait():
    p = puppet()
    breaking(p, "f", "W", os.O_RDWR, os.O_WRONLY)
    pass_through(p, "f")
    assert p("next_signal(signal.SIGIO, RT)") is None, "nobody is told twice"
    assert break_it("f", os.O_RDONLY) == "EAGAIN"
    assert p("lease(f, U)") == "ok" and break_it("f", os.O_RDWR) == "ok"


def test_row_45_broken_by_an_opener_that_waits_inside_the_tree():
    p = puppet()
    fresh("f")
    p("f = os.open('f', os.O_RDWR); lease(f, W)")
    q = p.child("q")
    q("os.close(f); bg('x', \"opens('f', os.O_RDWR)\")")
    until("the opener to wait", 5, lambda: lease_line("f") == ["LEASE BREAKING UNLCK"])
    assert p("next_signal(signal.SIGIO, timeout=5)")
    d = cycle(p.pid, "-l")
    assert lease_line("f") == ["LEASE BREAKING UNLCK"] and q.blocked("x")
    assert p("next_signal(signal.SIGIO, RT)") is None
    assert "lock_wait" in json.dumps(state(d)), "the image tells who waits"
    assert p("lease(f, U)") == "ok"
    until("the opener to have it open", 5, lambda: not q.blocked("x"))
    assert isinstance(q("background['x']"), int)


def test_row_45_broken_by_an_opener_that_waits_outside():
    p = puppet()
    fresh("f")
    p("f = os.open('f', os.O_RDWR); lease(f, W)")
    pid = opener("f", os.O_WRONLY)
    until("the opener to wait", 5, lambda: lease_line("f") == ["LEASE BREAKING UNLCK"])
    assert p("next_signal(signal.SIGIO, timeout=5)")
    dump(p.pid, images("live"), "-l", "-R")
    assert lease_line("f") == ["LEASE BREAKING UNLCK"] and not ended(pid), "a dump of a tree that runs on changes nothing"
    assert p("next_signal(signal.SIGIO, RT)") is None
    cycle(p.pid, "-l")
    # The tree was gone for a while, its lease with it.
    until("the opener to be through", 5, ended, pid)
    assert lease_line("f") == ["LEASE BREAKING UNLCK"] and p("next_signal(signal.SIGIO, RT)") is None
    pid = opener("f", os.O_WRONLY)
    until("the next one to wait", 5, lambda: stat(pid)["state"] == "S")
    assert p("lease(f, U)") == "ok"
    until("the next one to be through", 5, ended, pid)


def test_row_46_the_dump_itself_breaks_nothing():
    p = puppet()
    fresh("open", "mapped", "gone", "read")
    p("o, m, g, r = (os.open(n, os.O_RDWR) for n in ('open', 'mapped', 'gone', 'open')); os.close(r); r = os.open('read', os.O_RDONLY)")
    # The mapping and the lease are of one description.
    p("libc.mmap.restype = ctypes.c_void_p; addr = libc.mmap(None, 4096, 1, 1, m, 0); os.unlink('gone')")
    assert p("[lease(o, W), lease(m, W), lease(g, W), lease(r, R)]") == ["ok"] * 4
    fds = p("[o, m, g, r]")
    look = lambda: [fdinfo_locks(p.pid, fd) for fd in fds]
    before = look()
    assert all("ACTIVE" in l[0] for l in before), before
    cl("state", p.pid)
    dump(p.pid, images("live"), "-l", "-R")
    assert look() == before and p("next_signal(signal.SIGIO)") is None
    cycle(p.pid, "-l")
    assert look() == before and p("next_signal(signal.SIGIO)") is None
    assert p("os.pread(g, 3, 0), ctypes.string_at(addr, 3)") == (b"xxx", b"xxx")


def test_row_46_broken_by_others_while_it_is_dumped():
    p = puppet()
    for i in range(count("LEASE_ROUNDS", 5, 200)):
        fresh("f")
        p("f = os.open('f', os.O_RDWR); lease(f, W)")
        d = images("live")
        proc = subprocess.Popen([CL, "dump", "-t", str(p.pid), "-D", d, "-l", "-R"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.0005 * (i % 10))
        pid = opener("f", os.O_WRONLY)
        assert proc.wait() == 0
        assert p("next_signal(signal.SIGIO, timeout=5)")[0] == signal.SIGIO
        assert p("next_signal(signal.SIGIO)") is None, "told once"
        assert p("lease(f, U)") == "ok"
        until("the opener to be through", 5, ended, pid)
        p("os.close(f)")


def test_row_47_several_read_leases_that_are_breaking():
    for n in (2, 3):
        fresh("f")
        p = puppet()
        p("fds = [os.open('f', os.O_RDONLY) for _ in range(%d)]" % n)
        q = p.child("q")
        assert q("own = os.open('f', os.O_RDONLY); lease(own, R)") in (None, "ok")
        assert p("[lease(fd, R) for fd in fds]") == ["ok"] * n
        assert break_it("f", os.O_WRONLY) == "EAGAIN"
        assert lease_line("f") == ["LEASE BREAKING UNLCK"] * (n + 1)
        assert p("next_signal(signal.SIGIO, timeout=5)")
        while p("next_signal(signal.SIGIO)"):
            pass
        assert q("next_signal(signal.SIGIO, timeout=5)")
        pass_through(p, "f")
        assert p("next_signal(signal.SIGIO)") is None and q("next_signal(signal.SIGIO)") is None
        assert q("lease(own, U)") == "ok" and p("[lease(fd, U) for fd in fds]") == ["ok"] * n
        assert break_it("f", os.O_WRONLY) == "ok"
        stop_all()


def test_row_48_breaking_to_read_and_breaking_to_nothing():
    p = puppet()
    for name, flags, by, left in (("to_read", os.O_RDWR, os.O_RDONLY, "READ"), ("to_read2", os.O_RDONLY, os.O_RDONLY, "READ"),
                                  ("to_none", os.O_RDWR, os.O_WRONLY, "UNLCK"), ("to_none2", os.O_RDONLY, os.O_WRONLY, "UNLCK")):
        breaking(p, name, "W", flags, by)
        assert lease_line(name) == ["LEASE BREAKING " + left]
    pass_through(p, "to_read", "to_read2", "to_none", "to_none2")
    assert p("[fcntl.fcntl(fd, GETLEASE) for fd in (to_read, to_read2, to_none, to_none2)]") == [R, R, U, U]
    assert p("lease(to_read2, R)") == "ok", "the holder does as it was asked"
    assert lease_line("to_read2") == ["LEASE ACTIVE READ"] and break_it("to_read2", os.O_RDONLY) == "ok"


def test_row_49_the_time_limit_ends_it_after_the_restore_too():
    old = open(BREAK_TIME).read()
    p = puppet()
    try:
        try:
            open(BREAK_TIME, "w").write("1")
        except OSError as e:
            raise Skip("lease-break-time cannot be set: %s" % e)
        fresh("f")
        p("f = os.open('f', os.O_RDWR); lease(f, W)")
        q = p.child("q")
        q("os.close(f)")
        open(BREAK_TIME, "w").write("30")
        q("bg('x', \"opens('f', os.O_RDWR)\")")
        until("the opener to wait", 5, lambda: lease_line("f") == ["LEASE BREAKING UNLCK"])
        d = images()
        dump(p.pid, d, "-l")
        until("the tree to go", 5, lambda: not alive(p.pid))
        open(BREAK_TIME, "w").write("1")
        restore(d, "-l")
        until("the opener to be let through by the clock", 10, lambda: not q.blocked("x"))
        assert isinstance(q("background['x']"), int) and lease_line("f") == []
    finally:
        open(BREAK_TIME, "w").write(old)


def test_row_49_what_the_clock_has_made_of_a_write_lease_is_refused():
    old = open(BREAK_TIME).read()
    p = puppet()
    fresh("f")
    try:
        open(BREAK_TIME, "w").write("1")
        p("f = os.open('f', os.O_RDWR); lease(f, W)")
        pid = opener("f", os.O_RDONLY)
        until("the clock to end it", 10, ended, pid)
    finally:
        open(BREAK_TIME, "w").write(old)
    assert lease_line("f") == ["LEASE ACTIVE READ"]
    got = dump(p.pid, images(), "-l", ok=False)
    assert got.returncode and "lease-expired" in got.stderr, got.stderr
    assert p("lease(f, U)") == "ok"


def test_row_50_a_hundred_leases_and_one_signal():
    p, n = puppet(), 100
    p("fds = []")
    for i in range(n):
        fresh("f%d" % i)
    p("for i in range(%d): fd = os.open('f%%d' %% i, os.O_RDWR); fds.append(fd); fcntl.fcntl(fd, SETSIG, RT); lease(fd, W)" % n)
    # Half of them are pending when the tree is dumped.
    for i in range(n // 2):
        assert break_it("f%d" % i, os.O_WRONLY) == "EAGAIN"
    pass_through(p, *("f%d" % i for i in range(n)))
    for i in range(n // 2, n):
        assert break_it("f%d" % i, os.O_WRONLY) == "EAGAIN"
    got = [p("next_signal(RT)") for _ in range(n)]
    assert [g and g[2] for g in got] == p("fds"), got
    assert p("next_signal(RT, signal.SIGIO)") is None, "not one more"


def test_row_51_without_the_right_to_take_it_there_is_one_clear_error():
    need("setpriv")
    fresh("f")
    os.chown(at("f"), 1000, 1000)
    p = puppet()
    p("os.setgroups([]); f = os.open('f', os.O_RDWR)")
    assert p("lease(f, W)") == "ok"
    d = images()
    dump(p.pid, d, "-l")
    until("the tree to go", 5, lambda: not alive(p.pid))
    got = subprocess.run(["setpriv", "--bounding-set=-lease", "--inh-caps=-lease", CL, "restore", "-D", d, "-d", "-l"], capture_output=True, text=True)
    assert got.returncode and ("lease-denied" in got.stderr or "CAP_LEASE" in got.stderr), got.stderr
    assert not alive(p.pid) and kernel_locks(at("f")) == []
    restore(d, "-l")
    assert lease_line("f") == ["LEASE ACTIVE WRITE"]


def test_row_52_a_strangers_lease_is_waited_for_and_then_named():
    p = puppet()
    fresh("f")
    p("f = os.open('f', os.O_RDWR)")
    d = images()
    dump(p.pid, d)
    until("the tree to go", 5, lambda: not alive(p.pid))
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
        lease(os.open(at("f"), os.O_RDWR), W)
        os.write(w, b"x")
        time.sleep(3600)
    os.read(r, 1)
    try:
        got = restore(d, "--timeout", 2, ok=False)
        assert got.returncode and "process %d has a lease" % pid in got.stderr and at("f") in got.stderr, got.stderr
        assert not alive(p.pid) and lease_line("f") == ["LEASE BREAKING UNLCK"]
        # It gives it up while the next restore waits.
        proc = subprocess.Popen([CL, "restore", "-D", d, "-d"], stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        assert proc.poll() is None
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert proc.wait(20) == 0, proc.stderr.read()
    assert p("os.fstat(f).st_size") == 4096 and not p("fcntl.fcntl(f, fcntl.F_GETFL)") & os.O_NONBLOCK


def test_a_dump_that_is_killed_leaves_leases_and_locks_alone():
    p = puppet()
    fresh("w", "r", "b", "l")
    p("w, r, b, l = os.open('w', os.O_RDWR), os.open('r', os.O_RDONLY), os.open('b', os.O_RDWR), os.open('l', os.O_RDWR)")
    assert p("[lease(w, W), lease(r, R), lease(b, W), lock(l, W, 1, 5), flock(l, fcntl.LOCK_SH)]") == ["ok"] * 5
    assert break_it("b", os.O_RDONLY) == "EAGAIN" and p("next_signal(signal.SIGIO, timeout=5)")
    before = [kernel_locks(at(n)) for n in ("w", "r", "b", "l")]
    for _ in range(count("KILLED_DUMPS", 20, 500)):
        proc = subprocess.Popen([CL, "dump", "-t", str(p.pid), "-D", images("killed"), "-l", "-R"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.random() * 0.02)
        proc.kill()
        proc.wait()
        assert p("next_signal(signal.SIGIO)") is None
        assert [kernel_locks(at(n)) for n in ("w", "r", "b", "l")] == before
    assert p("lease(b, U)") == "ok"


def criu(*args):
    p = subprocess.run([CRIU, *map(str, args)], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert p.returncode == 0, "%s: status %d\n%s%s" % (" ".join(map(str, args)), p.returncode, p.stderr, logs(args))


def test_locks_and_leases_go_between_criu_and_here():
    if not CRIU:
        raise Skip("needs CRIU=PROGRAM, a CRIU 4.2")
    libc.mount(b"run", b"/run", b"tmpfs", 0, b"mode=755")
    names = ("posix", "ofd", "sh", "ex", "w", "r", "to_read", "to_none")
    p = puppet()
    fresh(*names)
    p("posix, ofd, sh, ex, w = (os.open(n, os.O_RDWR) for n in ('posix', 'ofd', 'sh', 'ex', 'w'))")
    p("r, to_read, to_none = (os.open(n, os.O_RDONLY) for n in ('r', 'to_read', 'to_none'))")
    p("lock(posix, W, 0, 10), lock(posix, R, 20, 0), lock(ofd, W, 3, 3, OFD_SETLK), flock(sh, fcntl.LOCK_SH), flock(ex, fcntl.LOCK_EX)")
    assert p("[lease(w, W), lease(r, R), lease(to_read, W), lease(to_none, R)]") == ["ok"] * 4
    assert break_it("to_read", os.O_RDONLY) == "EAGAIN" and break_it("to_none", os.O_WRONLY) == "EAGAIN"
    while p("next_signal(signal.SIGIO, timeout=0.2)"):
        pass
    before = {n: kernel_locks(at(n)) for n in names}
    for theirs, ours in (("dump", "restore"), ("restore", "dump")) * 2:
        d = images()
        if theirs == "dump":
            criu("dump", "-t", p.pid, "-D", d, "-o", "dump.log", "-v4", "-l")
        else:
            dump(p.pid, d, "-l")
        until("the tree to go", 5, lambda: not alive(p.pid))
        if theirs == "restore":
            criu("restore", "-D", d, "-o", "restore.log", "-v4", "-d", "-l")
            # CRIU tells the holder of a breaking lease once more.
            while p("next_signal(signal.SIGIO)"):
                pass
        else:
            restore(d, "-l")
            assert p("next_signal(signal.SIGIO)") is None
        for n in names:
            assert kernel_locks(at(n)) == before[n], (theirs, n, kernel_locks(at(n)), before[n])


if __name__ == "__main__":
    main()
