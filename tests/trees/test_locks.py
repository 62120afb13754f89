#!/usr/bin/python3
"""Locks of fcntl(2) and flock(2), seen by somebody else before the dump and after the restore."""
import ctypes, fcntl, json, os, subprocess, sys

from cl import *
from puppet import *

SH, EX, NB = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_NB
CLONE_FILES = 0x400


def at(name):
    return os.path.join(DIR, name)


def around(p, *names, more=()):
    """Dump and restore; the kernel tells the same of these files before and after."""
    before = {n: kernel_locks(at(n)) for n in names}
    assert all(before.values()), "no locks to begin with: %r" % before
    d = cycle(p.pid, "-l", *more)
    for n in names:
        until("the locks of %s to be %r and not %r" % (n, before[n], kernel_locks(at(n))), 5,
              lambda: kernel_locks(at(n)) == before[n])
    return d


def fresh(*names):
    for n in names:
        with open(at(n), "w") as f:
            f.write("x" * 4096)


def merged(p):
    p("a, b = opens('f', os.O_RDWR), opens('f', os.O_RDWR)")
    p("lock(a, W, 0, 10), lock(b, W, 10, 10), lock(b, R, 100, 100), lock(a, R, 300, 0)")
    assert kernel_locks(at("f")) == sorted(["POSIX ADVISORY %s %d %s" % (t, p.pid, r) for t, r in
                                            (("WRITE", "0 19"), ("READ", "100 199"), ("READ", "300 EOF"))])


def test_row_37_posix_locks_of_two_descriptors_go_with_the_first_that_closes():
    for restored in (False, True):
        fresh("f")
        p = Puppet()
        merged(p)
        if restored:
            around(p, "f")
        for range, want in ((15, "EAGAIN"), (25, "ok"), (350, "EAGAIN")):
            assert probe(at("f"), W, range) == want, (restored, range)
        assert probe(at("f"), R, 150) == "ok"
        p("os.close(b)")
        assert kernel_locks(at("f")) == [], "close of one descriptor releases all"
        stop_all()


def test_row_38_what_the_restore_closes_itself_releases_nothing():
    fresh("f")
    p = Puppet()
    p("a = opens('f', os.O_RDWR); lock(a, W, 5, 5)")
    # The file is mapped, too: the restore opens it once more for that, and closes it.
    p("m = opens('f', os.O_RDWR); mem = mmap.mmap(m, 4096)")
    p("os.close(m); lock(a, W, 5, 5); lock(a, R, 50, 5)")
    around(p, "f")
    assert probe(at("f"), W, 7) == "EAGAIN"
    assert p("mem[0:1]") == b"x"


def test_row_38_a_helper_descriptor_of_the_same_file():
    fresh("f")
    p = Puppet()
    p("s, t = socket.socketpair()")
    p("a, b = opens('f', os.O_RDWR), opens('f', os.O_RDWR); send_fd(s, b); os.close(b); lock(a, W, 5, 5)")
    d = images()
    got = dump(p.pid, d, "-l", ok=False)
    if got.returncode:
        raise Skip("descriptors in flight: " + got.stderr.splitlines()[0])
    until("the tree to go", 5, lambda: not alive(p.pid))
    restore(d, "-l")
    assert probe(at("f"), W, 7) == "EAGAIN", kernel_locks(at("f"))
    assert p("os.close(take_fd(t))") is None and kernel_locks(at("f")) == []


def test_row_39_ofd_locks_belong_to_the_description():
    fresh("f", "g")
    p = Puppet()
    p("s, t = socket.socketpair()")
    q = p.child("other")
    p("a = opens('f', os.O_RDWR); b = os.dup(a); lock(a, W, 0, 10, OFD_SETLK); send_fd(s, a)")
    q("got = take_fd(t)")
    # Two descriptions with the same READ range, one of them of the child only.
    p("g = opens('g', os.O_RDWR); lock(g, R, 3, 4, OFD_SETLK)")
    q("g = opens('g', os.O_RDWR); lock(g, R, 3, 4, OFD_SETLK)")
    assert kernel_locks(at("g")) == ["OFDLCK ADVISORY READ -1 3 6"] * 2
    around(p, "f", "g")
    p("os.close(a); os.close(b)")
    assert probe(at("f"), W, 5) == "EAGAIN", "the child has it, too"
    q("os.close(got)")
    assert probe(at("f"), W, 5) == "ok"
    p("os.close(g)")
    assert kernel_locks(at("g")) == ["OFDLCK ADVISORY READ -1 3 6"]


def test_row_39_ofd_lock_in_flight():
    fresh("f")
    p = Puppet()
    p("s, t = socket.socketpair(); a = opens('f', os.O_RDWR); lock(a, W, 0, 10, OFD_SETLK); send_fd(s, a); os.close(a)")
    assert probe(at("f"), W, 5) == "EAGAIN"
    d = images()
    got = dump(p.pid, d, "-l", ok=False)
    if got.returncode:
        raise Skip("descriptors in flight: " + got.stderr.splitlines()[0])
    until("the tree to go", 5, lambda: not alive(p.pid))
    restore(d, "-l")
    assert probe(at("f"), W, 5) == "EAGAIN"
    p("got = take_fd(t)")
    assert probe(at("f"), W, 5) == "EAGAIN"
    p("os.close(got)")
    assert probe(at("f"), W, 5) == "ok"


def test_row_40_flock_shared_exclusive_inherited_and_of_a_creator_that_is_dead():
    fresh("sh", "ex", "dead", "child")
    p = Puppet()
    p("sh, ex = opens('sh', os.O_RDONLY), opens('ex', os.O_RDWR); flock(sh, %d), flock(ex, %d)" % (SH, EX))
    p("dead = opens('dead', os.O_RDWR); c = opens('child', os.O_RDWR)")
    gone = p.child("gone")
    gone("flock(dead, %d)" % EX)
    gone.tell("os._exit(0)")
    p("os.wait()")
    q = p.child("heir")
    q("flock(c, %d)" % EX)
    p("os.close(ex)")
    # The kernel does not show whose taker is not there any more; fdinfo does.
    dead = p("[l.split()[2:5] for l in open('/proc/self/fdinfo/%d' % dead) if l.startswith('lock')]")
    assert dead == [["FLOCK", "ADVISORY", "WRITE"]], dead
    around(p, "sh", "child")
    assert kernel_locks(at("child"))[0].split()[3] == str(q.pid), "who took it has it"
    for name, op, want in (("sh", SH, "ok"), ("sh", EX, "EAGAIN"), ("ex", SH, "EAGAIN"), ("dead", SH, "EAGAIN"), ("child", SH, "EAGAIN")):
        assert probe_flock(at(name), op) == want, name
    q("os.close(ex)")
    assert probe_flock(at("ex"), EX) == "ok", "the last holder has closed it"


def test_row_40_flock_on_every_kind_of_file():
    os.mkdir(at("dir"))
    os.mkfifo(at("fifo"))
    fresh("gone")
    p = Puppet()
    p("dir, fifo, null = os.open('dir', os.O_RDONLY), os.open('fifo', os.O_RDWR), os.open('/dev/null', os.O_RDWR)")
    p("pipe, w = os.pipe(); s, t = socket.socketpair(); mem = os.memfd_create('m'); event = os.eventfd(0); gone = os.open('gone', os.O_RDWR); os.unlink('gone')")
    p("sock = s.fileno(); names = 'dir fifo null pipe sock mem event gone'.split(); fds = [globals()[n] for n in names]")
    assert p("[flock(fd, fcntl.LOCK_SH) for fd in fds], lock(mem, W, 4, 4), lock(gone, R, 1, 1, OFD_SETLK)") == (["ok"] * 8, "ok", "ok")
    look = lambda: [fdinfo_locks(p.pid, fd) for fd in p("fds")]
    before = look()
    assert all(before), before
    cycle(p.pid, "-l")
    assert look() == before, (look(), before)
    assert probe_flock(at("dir"), EX) == "EAGAIN" and probe_flock("/dev/null", EX) == "EAGAIN"
    fd = os.open(at("fifo"), os.O_RDWR)
    assert flock(fd, EX | NB) == "EAGAIN"
    os.close(fd)


def test_row_41_who_waits_goes_on_waiting_and_gets_it():
    fresh("p", "o", "f")
    p = Puppet()
    p("p, o, f = (opens(n, os.O_RDWR) for n in 'pof'); lock(p, W, 0, 10); lock(o, W, 0, 10, OFD_SETLK); flock(f, %d)" % EX)
    names = ("p", "o", "f")
    for name, code in zip(names, ("lock(x, W, 5, 10, SETLKW)", "lock(x, R, 5, 10, OFD_SETLKW)", "flock(x, %d)" % SH)):
        q = p.child("w" + name)
        q("x = opens('%s', os.O_RDWR); bg('x', '%s')" % (name, code))
        until("%s to have one who waits" % name, 5, lambda: len(kernel_locks(at(name))) == 2)
    d = around(p, *names)
    view = [r for r in json.loads(cl("show", "locks", p.pid, "--json").stdout) if r["state"] == "waits"]
    assert sorted((r["kind"], r["type"], r.get("range")) for r in view) == [
        ("FLOCK", "READ", None), ("OFD", "READ", "5-14"), ("POSIX", "WRITE", "5-14")], view
    assert json.loads(cl("show", "locks", d, "--json").stdout) == json.loads(cl("show", "locks", p.pid, "--json").stdout)
    for name in names:
        assert len([l for l in kernel_locks(at(name)) if l.startswith("->")]) == 1, "one waits, not two"
    assert "lock_wait" in json.dumps(state(p.pid)), "the snapshot tells who waits"
    p("lock(p, U), lock(o, U, cmd=OFD_SETLK), flock(f, fcntl.LOCK_UN)")
    for name in names:
        until("%s to be had by who waited" % name, 5, lambda: len(kernel_locks(at(name))) == 1 and "->" not in kernel_locks(at(name))[0])


def test_row_42_a_deadlock_is_still_found():
    fresh("f")
    p = Puppet()
    p("f = opens('f', os.O_RDWR); lock(f, W, 0, 1)")
    q = p.child("q")
    q("f = opens('f', os.O_RDWR); lock(f, W, 1, 1)")
    p("bg('x', 'lock(f, W, 1, 1, SETLKW)')")
    until("the first to wait", 5, lambda: len(kernel_locks(at("f"))) == 3)
    around(p, "f")
    got = q("lock(f, W, 0, 1, SETLKW)")
    assert got == "EDEADLOCK", got  # another name of EDEADLK


def test_row_43_a_lock_outlives_exec_and_belongs_to_all_who_share_the_table():
    fresh("e", "s")
    p = Puppet()
    p("fd = opens('e', os.O_RDWR); lock(fd, W, 0, 5); os.set_inheritable(fd, True)")
    fd = p("fd")
    p.tell("os.execv(sys.executable, [sys.executable, '-P', sys.argv[0], 'main'])")
    Puppet.seq["main"] = 0
    p.wait(0)
    assert kernel_locks(at("e")) == ["POSIX ADVISORY WRITE %d 0 4" % p.pid]
    p("s = opens('s', os.O_RDWR)")
    q = p.child("twin", CLONE_FILES)
    q("lock(s, W, 7, 3)")
    assert p("lock(s, W, 7, 3)") == "ok", "one owner"
    q("lock(s, W, 20, 3)")
    around(p, "e", "s")
    assert kernel_locks(at("s"))[-1].split()[3] in (str(p.pid), str(q.pid))
    assert p("lock(s, W, 20, 3)") == "ok" and probe(at("s"), W, 8) == "EAGAIN"
    p("os.close(%d)" % fd)
    assert kernel_locks(at("e")) == []


def strangers():
    """What somebody else has, the error of the restore, and what the tree had."""
    yield "posix", "lock(f, W, 0, 10)", lambda: lock(os.open(at("f"), os.O_RDWR), W, 5, 1)
    yield "ofd", "lock(f, W, 0, 10, OFD_SETLK)", lambda: lock(os.open(at("f"), os.O_RDWR), W, 5, 1, OFD_SETLK)
    yield "flock", "flock(f, %d)" % EX, lambda: flock(os.open(at("f"), os.O_RDWR), SH)
    yield "lease", "lease(f, W)", lambda: os.open(at("f"), os.O_RDWR)


def test_row_52_a_stranger_in_the_way_is_named_and_nothing_stays():
    for what, take, stranger in strangers():
        fresh("f", "free")
        p = Puppet()
        p("f = opens('f', os.O_RDWR); free = opens('free', os.O_RDWR); lock(free, W, 0, 10)")
        assert p(take) == "ok"
        d = images()
        dump(p.pid, d, "-l")
        until("the tree to go", 5, lambda: not alive(p.pid))
        r, w = os.pipe()
        pid = os.fork()
        if not pid:
            stranger()
            os.write(w, b"x")
            signal.pause()
        os.read(r, 1)
        try:
            got = restore(d, "-l", ok=False)
            text = got.stdout + got.stderr
            assert got.returncode and "file-lock-conflict" in text, (what, text)
            assert "process %d (" % pid in text and at("f") in text, (what, text)
            assert not alive(p.pid), what
            assert kernel_locks(at("free")) == [], what
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(r), os.close(w)
        restore(d, "-l")
        assert len(kernel_locks(at("f"))) == 1 and p("1") == 1
        stop_all()


def test_a_lock_that_is_held_outside_too_is_refused_by_name():
    fresh("f")
    before = os.open(at("f"), os.O_RDWR)
    fd = os.open(at("f"), os.O_RDWR)
    after = os.open(at("f"), os.O_RDWR)
    os.set_inheritable(fd, True)
    fcntl.flock(fd, EX)
    pid = os.fork()
    if not pid:
        os.setsid()
        devnull = os.open("/dev/null", os.O_RDWR)
        for n in range(3):
            os.dup2(devnull, n)
        os.execvp("sh", ["sh", "-c", "for i in $(ls /proc/self/fd); do [ $i -le 2 ] || [ $i = %d ] || eval \"exec $i>&-\"; done; while :; do sleep 0.05; done" % fd])
    try:
        until("the shell to run", 5, lambda: stat(pid)["comm"] == "sh")
        time.sleep(0.2)
        d = images()
        got = dump(pid, d, "-l", ok=False)
        assert got.returncode and "file-lock-outside" in got.stderr and "process %d" % os.getpid() in got.stderr, got.stderr
        assert alive(pid)
        got = dump(pid, d, ok=False)
        assert "file-locks" in got.stderr and "--file-locks" in got.stderr, got.stderr
        for n in (before, fd, after):
            os.close(n)
        dump(pid, d, "-l")
        os.waitpid(pid, 0)
        restore(d, "-l")
        started.append(pid)
        assert probe_flock(at("f"), SH) == "EAGAIN"
    finally:
        if alive(pid) and pid not in started:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_a_lock_that_only_a_mapping_keeps():
    """As a Java virtual machine has one. It comes back with the mapping, and goes with it."""
    fresh("e", "f")
    os.truncate(at("f"), 4096)
    p = Puppet()
    p("mm = ctypes.CDLL(None).mmap; mm.restype = ctypes.c_void_p; mm.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]")
    p("e = opens('e', os.O_RDWR); flock(e, %d)" % SH)
    p("f = opens('f', os.O_RDWR); flock(f, %d); addr = mm(None, 4096, 3, 1, f, 0)" % SH)
    p("os.close(f)")
    assert probe_flock(at("f"), EX) == "EAGAIN", "the mapping keeps it"
    for _ in range(2):
        d = around(p, "e", "f")
        assert probe_flock(at("f"), EX) == "EAGAIN", "the mapping keeps it"
    assert at("f") in cl("show", "locks", d).stdout
    p("child = os.fork() or time.sleep(100)")
    got = dump(p.pid, images(), "-l", ok=False)
    assert "file-lock-mapped" in got.stderr and at("f") in got.stderr, "two tasks have it mapped: " + got.stderr
    p("os.kill(child, 9); os.waitpid(child, 0)")
    p("g = opens('f', os.O_RDWR); flock(g, %d)" % SH)
    got = dump(p.pid, images(), "-l", ok=False)
    assert "file-lock-mapped" in got.stderr, "two locks, one descriptor: " + got.stderr
    p("ctypes.CDLL(None).munmap(ctypes.c_void_p(addr), 4096)")
    around(p, "f")
    assert probe_flock(at("f"), EX) == "EAGAIN"
    p("os.close(g)")
    assert kernel_locks(at("f")) == [], "without a mapping and a descriptor it is gone"


def test_somebody_took_what_a_mapping_had():
    fresh("e", "f")
    os.truncate(at("f"), 4096)
    p = Puppet()
    p("e = opens('e', os.O_RDWR); flock(e, %d); f = opens('f', os.O_RDWR); flock(f, %d)" % (SH, EX))
    p("mem = ctypes.CDLL(None).mmap(None, 4096, 3, 1, f, 0); os.close(f)")
    d = images()
    dump(p.pid, d, "-l")
    until("the tree to go", 5, lambda: not alive(p.pid))
    with open(at("f"), "r+") as f:
        fcntl.flock(f, SH)
        got = restore(d, "-l", ok=False)
        assert got.returncode and "file-lock-conflict" in got.stderr and at("f") in got.stderr, got.stderr
        assert "process %d" % os.getpid() in got.stderr, got.stderr
        assert not alive(p.pid)
    restore(d, "-l")
    assert probe_flock(at("f"), SH) == "EAGAIN"


def lslocks():
    out = subprocess.run(["lslocks", "-n", "-u", "-r", "-o", "COMMAND,PID,TYPE,MODE,M,START,END,PATH"], capture_output=True, text=True, check=True).stdout
    return sorted(out.splitlines())


def test_lslocks_says_the_same_before_and_after():
    need("lslocks")
    fresh("a", "b", "c", "d")
    p = Puppet()
    p("a, b, c = (opens(n, os.O_RDWR) for n in 'abc'); lock(a, W, 0, 10); lock(a, R, 30, 0); lock(b, W, 5, 5, OFD_SETLK); flock(c, %d)" % SH)
    q = p.child("q")
    q("d = opens('d', os.O_RDWR); flock(d, %d); lock(d, W, 1, 1)" % EX)
    before = lslocks()
    assert len(before) == 6, before
    cycle(p.pid, "-l")
    assert lslocks() == before, (before, lslocks())


# Who conflicts with whom: what is held, what is asked for, and the answers to another process, to the same process by
# another description, and by the same one. "-": none, "X": refused.
MATRIX = """
    posix R   posix R   - - -
    posix R   posix W   X - -
    posix W   posix R   X - -
    posix W   posix W   X - -
    posix R   ofd R     - - -
    posix R   ofd W     X X X
    posix W   ofd R     X X X
    posix W   ofd W     X X X
    ofd R     posix R   - - -
    ofd R     posix W   X X X
    ofd W     posix R   X X X
    ofd W     posix W   X X X
    ofd R     ofd R     - - -
    ofd R     ofd W     X X -
    ofd W     ofd R     X X -
    ofd W     ofd W     X X -
    flock R   flock R   - - -
    flock R   flock W   X X -
    flock W   flock R   X X -
    flock W   flock W   X X -
    flock W   posix W   - - -
    flock W   ofd W     - - -
    posix W   flock W   - - -
    ofd W     flock W   - - -
"""


def matrix_rows():
    for line in filter(None, map(str.split, MATRIX.splitlines())):
        yield tuple(line[:2]), tuple(line[2:4]), line[4:]


def matrix_answers(p, q):
    """Asks without taking; but for flock(2), which has no question: there a taken lock is given back at once."""
    out = []
    for n, (held, asked, _) in enumerate(matrix_rows()):
        name, kind, type = "m%d" % n, asked[0], asked[1]
        row = []
        for who, fd in ((q, "opens(%r, os.O_RDWR)" % name), (p, "opens(%r, os.O_RDWR)" % name), (p, "fds[%d]" % n)):
            if kind == "flock" and held[0] == "flock" and who is p and fd.startswith("fds"):
                # The same description: asked for, it would be changed.
                row.append("-")
                continue
            row.append(who("asks(%r, %s, %s, %s)" % (kind, fd, type, not fd.startswith("fds"))))
        out.append(row)
    return out


def test_matrix_of_conflicts_before_and_after():
    p = Puppet()
    for n, _ in enumerate(matrix_rows()):
        fresh("m%d" % n)
    held = [h for h, _, _ in matrix_rows()]
    p("fds = [opens('m%%d' %% n, os.O_RDWR) for n in range(%d)]" % len(held))
    q = p.child("q")
    q("_ = [os.close(fd) for fd in fds]")
    for n, (kind, type) in enumerate(held):
        assert p("take(%r, fds[%d], %s)" % (kind, n, type)) == "ok"
    want = [answers for _, _, answers in matrix_rows()]
    for when in ("before", "after"):
        got = matrix_answers(p, q)
        wrong = [(r, g) for r, g in zip(matrix_rows(), got) if r[2] != g]
        assert not wrong, (when, wrong)
        if when == "before":
            before = [kernel_locks(at("m%d" % n)) for n in range(len(held))]
            cycle(p.pid, "-l")
            assert [kernel_locks(at("m%d" % n)) for n in range(len(held))] == before


CHURN = """import fcntl, os, struct, sys, time
print("READY", flush=True)
while True:
    fd = os.open("churn", os.O_RDWR | os.O_CREAT)
    for i in range(150):
        fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 20 * i, 10, 0))
    time.sleep(0.001)
    os.close(fd)
"""


def test_locks_of_many_files_while_others_take_and_drop_theirs():
    # Of many files without a name only those are looked at that the list of all locks names.
    p = Puppet()
    p("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))")
    p("ends = [e for _ in range(350) for e in os.pipe()]; [flock(e, fcntl.LOCK_EX) for e in ends[:100:2]]")
    p("for e in ends[400::2]: flock(e, fcntl.LOCK_EX)")
    held = {fd: fdinfo_locks(p.pid, fd) for fd in p("ends")}
    assert sum(map(len, held.values())) == 200
    for _ in range(3):
        start([sys.executable, "-c", CHURN])
    for i in range(8):
        d = images("while-%d" % i)
        dump(p.pid, d, "-l", "-R")
        got = json.loads(cl("show", "locks", d, "--json").stdout)
        assert len(got) == 200, "dump %d has %d locks" % (i, len(got))
    cycle(p.pid, "-l")
    assert {fd: fdinfo_locks(p.pid, fd) for fd in held} == held


if __name__ == "__main__":
    main()
