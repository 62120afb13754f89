#!/usr/bin/python3
"""Threads that have left the table of descriptors of their process, seen from outside before and after."""
import ctypes, fcntl, itertools, os, random, signal, subprocess, sys, time

from cl import *
from puppet import *

CLONE_FILES = 0x400
KCMP_FILE, KCMP_FILES = 0, 2
ROUNDS = count("THREAD_CYCLES", 2, 10)


def kcmp(a, b, what, x=0, y=0):
    got = libc.syscall(312, a, b, what, ctypes.c_ulong(x), ctypes.c_ulong(y))
    assert got >= 0, "kcmp(%d, %d): %s" % (a, b, os.strerror(ctypes.get_errno()))
    return got


def threads(pid):
    return sorted(map(int, os.listdir("/proc/%d/task" % pid)))


def classes(things, same):
    out = []
    for t in things:
        for c in out:
            if same(c[0], t):
                c.append(t)
                break
        else:
            out.append([t])
    return out


def one(tid, fd):
    """A descriptor: the kind of its file or its path, its flags and position."""
    link = os.readlink("/proc/%d/fd/%s" % (tid, fd))
    info = dict(l.split(":", 1) for l in open("/proc/%d/fdinfo/%s" % (tid, fd)).read().splitlines()[:2])
    return re.sub(r"\[\d+\]$", "", link), info["flags"].strip(), info["pos"].strip()


def look(*pids):
    """All that is to be seen of the tables: who shares them, what is in them, which descriptors are one description."""
    tids = [t for p in pids for t in threads(p)]
    tables = classes(tids, lambda a, b: kcmp(a, b, KCMP_FILES) == 0)
    fds = [(t[0], int(f)) for t in tables for f in sorted(os.listdir("/proc/%d/fd" % t[0]), key=int)]
    named = {at: one(*at) for at in fds}
    # Only what looks the same can be the same.
    groups = [c for _, g in itertools.groupby(sorted(fds, key=lambda at: (named[at], at)), lambda at: named[at])
              for c in classes(list(g), lambda a, b: kcmp(a[0], b[0], KCMP_FILE, a[1], b[1]) == 0)]
    return {"tables": tables, "fds": named, "same": sorted(g for g in groups if len(g) > 1)}


def around(p, *pids, rounds=1, more=()):
    """Dump and restore; the kernel tells the same of all tables before and after."""
    pids = pids or (p.pid,)
    before = look(*pids)
    assert len(before["tables"]) > 1, "no thread has a table of its own"
    for _ in range(rounds):
        d = cycle(p.pid, *more)
        after = look(*pids)
        for what in before:
            assert before[what] == after[what], (what, before[what], after[what])
    return d


def test_a_thread_alone():
    p = Puppet()
    p("f = opens('f', os.O_RDWR); os.write(f, b'0123456789'); g = os.dup2(f, 200)")
    tid = p("worker('a')")
    p("on('a', 'apart()')")
    p("on('a', 'os.dup2(f, 77), os.close(g), os.set_inheritable(77, True), opens(\"own\", os.O_RDWR | os.O_APPEND)')")
    p("h = opens('of the process', os.O_RDONLY)")
    around(p, rounds=ROUNDS)
    # Position and numbers: one description in both tables, under numbers of their own.
    assert p("on('a', 'os.lseek(77, 3, os.SEEK_SET)')") == 3
    assert p("os.read(f, 2), os.read(g, 2)") == (b"34", b"56")
    assert p("on('a', 'os.read(200, 1)')").startswith("OSError"), "closed in the thread's table only"
    assert not os.path.exists("/proc/%d/fd/77" % p.pid) and os.path.exists("/proc/%d/fd/77" % tid)


def test_two_threads_with_one_table_and_a_third_with_its_own():
    p = Puppet()
    p("e = os.eventfd(7, os.EFD_NONBLOCK)")
    p("worker('a')"), p("on('a', 'apart()')")
    p("on('a', 'worker(\"b\")')")
    p("worker('c')"), p("on('c', 'apart()')")
    p("worker('d')")
    p("on('b', 'x = os.eventfd(3, os.EFD_NONBLOCK)')"), p("on('c', 'os.close(e)')")
    around(p, rounds=ROUNDS)
    assert p("on('a', 'os.eventfd_read(x)')") == 3, "b opened it, a has it"
    assert p("on('c', 'os.eventfd_read(x)')").startswith("OSError")
    assert p("on('a', 'os.eventfd_write(e, 5)')") is None
    assert p("on('d', 'os.eventfd_read(e)')") == 12, "d has the table of the process"


def test_files_with_their_ends_in_two_tables():
    p = Puppet()
    p("worker('a')")
    p("r, w = os.pipe(); s, t = socket.socketpair(); s.setblocking(False), t.setblocking(False)")
    p("on('a', 'apart()')")
    p("on('a', 'os.close(w), s.close()')")
    # The process keeps the other ends; Python's object of t must not close it in both.
    p("os.close(r), os.close(t.fileno())")
    p("os.write(w, b'queued'), s2.send(b'sent') if 's2' in globals() else None")
    around(p, rounds=ROUNDS)
    assert p("on('a', 'os.read(r, 100)')") == b"queued"
    p("os.write(w, b'after')")
    assert p("on('a', 'os.read(r, 100)')") == b"after"
    assert p("on('a', 't.send(b\"from the thread\")')") == 15


def test_a_socket_pair_with_data_and_a_descriptor_in_flight():
    p = Puppet()
    p("worker('a')")
    p("s, t = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET); a, b = s.detach(), t.detach()")
    p("on('a', 'apart()')")
    p("on('a', 'os.close(a)')"), p("os.close(b)")
    p("f = opens('flight', os.O_RDWR); os.write(f, b'in flight'); send_fd(socket.socket(fileno=os.dup(a)), f); os.close(f)")
    p("on('a', 'keep = socket.socket(fileno=b); keep.setblocking(False)')")
    around(p)
    assert p("on('a', 'g = take_fd(keep)')") is None
    got = p("on('a', 'os.pread(g, 100, 0)')")
    assert got == b"in flight", got


def test_epoll_of_a_thread():
    p = Puppet()
    p("worker('a')")
    p("r, w = os.pipe()")
    p("on('a', 'apart()')")
    p("on('a', 'os.dup2(r, 300), os.close(r)')")
    p("on('a', 'ep = select.epoll(); ep.register(300, select.EPOLLIN); ev = os.eventfd(0); ep.register(ev, select.EPOLLOUT)')")
    # The same number is another file for the process.
    p("os.dup2(os.open('/dev/null', os.O_RDONLY), 300)")
    around(p, rounds=ROUNDS)
    p("os.write(w, b'x')")
    assert p("on('a', 'sorted(ep.poll(1)) == sorted([(300, select.EPOLLIN), (ev, select.EPOLLOUT)])')")
    assert p("on('a', 'ep.modify(300, 0), ep.unregister(ev)')") == (None, None), "under the same numbers"
    assert p("on('a', 'ep.poll(0)')") == []


def test_kinds():
    p = Puppet()
    p("worker('a')")
    tid = p("on('a', 'threading.get_native_id()')")
    p("on('a', 'apart()')")
    p("on('a', 'm = os.memfd_create(\"m\"), os.write(os.memfd_create(\"n\"), b\"mem\"), socket.socket().detach(),"
      " os.open(\"/proc/self/maps\", os.O_RDONLY), os.open(\"/dev/null\", os.O_PATH), os.pidfd_open(os.getpid())')")
    p("on('a', 'l = socket.socket(); l.bind((\"127.0.0.1\", 0)); l.listen();"
      " os.unlink(\"gone\") if os.path.exists(\"gone\") else None; gone = opens(\"gone\", os.O_RDWR);"
      " os.write(gone, b\"deleted\"); os.unlink(\"gone\")')")
    # What is put in place when threads are there: a file of a thread, and one of threads in the table of the process.
    p("on('a', 'open_task = os.open(\"/proc/self/task/%d/comm\", os.O_RDONLY)')" % tid)
    p("task_too = os.open('/proc/self/task/%d/comm', os.O_RDONLY)" % tid)
    around(p, rounds=ROUNDS)
    assert p("on('a', 'os.pread(gone, 100, 0)')") == b"deleted"
    comm = open("/proc/%d/comm" % tid, "rb").read()
    assert p("on('a', 'os.read(open_task, 100)')") == comm == p("os.read(task_too, 100)")


def test_a_terminal():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    p("on('a', 'master, slave = os.openpty()')")
    around(p)
    assert p("on('a', 'os.write(master, bytes((120, 10))), os.read(slave, 10)')") == (2, b"x\n")


def test_table_shared_by_a_thread_and_a_child():
    p = Puppet()
    p("f = opens('f', os.O_RDWR)")
    p("worker('a')"), p("on('a', 'apart()')")
    p("on('a', 'os.dup2(f, 60)')")
    q = Puppet("other", p("on('a', 'child(\"other\", %d)')" % CLONE_FILES))
    around(p, p.pid, q.pid, rounds=ROUNDS)
    # What one opens the other has, and the process has not.
    q("g = opens('g', os.O_RDWR); os.write(g, b'by the child'); os.dup2(g, 61); os.close(60)")
    assert p("on('a', 'os.pread(61, 100, 0)')") == b"by the child"
    assert p("on('a', 'os.read(60, 1)')").startswith("OSError")
    assert not os.path.exists("/proc/%d/fd/61" % p.pid)
    # The child ends: the table stays with the thread.
    os.kill(q.pid, signal.SIGKILL)
    until("the child to end", 5, lambda: not alive(q.pid))
    p("os.waitpid(%d, 0)" % q.pid)
    around(p)
    assert p("on('a', 'os.pread(61, 100, 0)')") == b"by the child"


def test_table_of_a_process_that_its_child_has_left_to_a_thread():
    p = Puppet()
    p("f = opens('f', os.O_RDWR)")
    q = p.child("other", CLONE_FILES)
    q("worker('b')"), q("apart()")
    q("os.dup2(f, 90)"), p("os.dup2(f, 91)")
    q("on('b', 'os.dup2(f, 92)')")
    around(p, p.pid, q.pid, rounds=ROUNDS)
    for n, have in ((90, q.pid), (91, p.pid), (92, p.pid)):
        assert os.path.exists("/proc/%d/fd/%d" % (have, n)), n
    assert not os.path.exists("/proc/%d/fd/92" % q.pid)


def test_table_of_threads_of_two_processes():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    q = Puppet("other", p("on('a', 'child(\"other\", %d)')" % CLONE_FILES))
    q("worker('b')"), q("apart()")
    q("on('b', 'os.dup2(0, 70)')")
    around(p, p.pid, q.pid, rounds=ROUNDS)
    assert p("on('a', 'os.fstat(70).st_rdev')") == os.stat("/dev/null").st_rdev
    assert not os.path.exists("/proc/%d/fd/70" % q.pid) and not os.path.exists("/proc/%d/fd/70" % p.pid)


def test_children_of_a_thread_in_another_session():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    q = Puppet("other", p("on('a', 'child(\"other\", %d)')" % CLONE_FILES))
    q("os.setsid()")
    r = Puppet("third", q("child('third', %d)" % CLONE_FILES))
    around(p, p.pid, q.pid, r.pid)
    r("os.dup2(0, 70)")
    assert p("on('a', 'os.fstat(70).st_rdev')") == os.stat("/dev/null").st_rdev
    assert stat(r.pid)["sid"] == q.pid


def test_a_stopped_process():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')"), p("on('a', 'os.dup2(0, 70)')")
    os.kill(p.pid, signal.SIGSTOP)
    until("it to stop", 5, lambda: stat(p.pid)["state"] == "T")
    around(p)
    seen = [[stat(t)["state"] for t in threads(p.pid)] for _ in range(3) if not time.sleep(0.01)]
    assert seen == [["T", "T"]] * 3, seen
    os.kill(p.pid, signal.SIGCONT)
    assert p("on('a', 'os.fstat(70).st_rdev')") == os.stat("/dev/null").st_rdev


def test_the_thread_ends():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    p("r, w = os.pipe(); os.set_blocking(r, False)")
    p("worker('b')"), p("on('b', 'apart()')"), p("os.close(w)")
    around(p)
    assert p("os.read(r, 1)").startswith("BlockingIOError"), "the thread has the other end"
    p("on('b', None)")
    until("the thread to end", 5, lambda: len(threads(p.pid)) == 2)
    assert p("os.read(r, 1)") == b"", "and its table went with it"


def test_locks_belong_to_the_table():
    for n in "fgh":
        with open(os.path.join(DIR, n), "w") as f:
            f.write("x" * 100)
    p = Puppet()
    p("f = opens('f', os.O_RDWR); lock(f, W, 0, 10)")
    p("worker('a')"), p("on('a', 'apart()')")
    # Not inherited; the same descriptor has locks of both tables.
    assert p("on('a', 'lock(f, W, 0, 1)')") == "EAGAIN"
    p("on('a', 'lock(f, W, 20, 10), lock(opens(\"g\", os.O_RDWR), R, 5, 5, OFD_SETLK), flock(opens(\"h\", os.O_RDWR), fcntl.LOCK_EX)')")
    p("on('a', 'lease(opens(\"l\", os.O_RDONLY), R)')")
    before = {n: kernel_locks(os.path.join(DIR, n)) for n in "fghl"}
    assert len(before["f"]) == 2 and all(before.values()), before
    around(p, rounds=ROUNDS, more=("-l",))
    assert {n: kernel_locks(os.path.join(DIR, n)) for n in "fghl"} == before
    # To close the file in one table drops the locks of that table alone.
    p("on('a', 'os.close(f)')")
    assert kernel_locks(os.path.join(DIR, "f")) == ["POSIX ADVISORY WRITE %d 0 9" % p.pid]
    p("os.close(f)")
    assert kernel_locks(os.path.join(DIR, "f")) == []


def test_a_tcp_connection_of_a_thread():
    p = Puppet()
    p("l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(); c = socket.create_connection(l.getsockname()); s, _ = l.accept(); l.close()")
    p("worker('a')"), p("on('a', 'apart()')")
    # The process keeps one end, the thread the other, with data under way.
    p("cfd = c.detach(); os.close(s.fileno())")
    p("on('a', 'os.close(cfd)')")
    p("os.write(cfd, b'under way')")
    around(p, rounds=ROUNDS, more=("--tcp-established",))
    assert p("on('a', 's.recv(100)')") == b"under way"
    assert p("on('a', 's.send(b\"back\")')") == 4 and p("os.read(cfd, 100)") == b"back"


def test_datagrams_and_names():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    p("on('a', 'd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); d.bind(\"dgram\"); d.setblocking(False)')")
    p("on('a', 'l = socket.socket(socket.AF_UNIX); l.bind(\"stream\"); l.listen(); l.setblocking(False)')")
    p("c = socket.socket(socket.AF_UNIX); c.connect('stream')")
    p("o = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); o.connect('dgram'); o.send(b'one'), o.send(b'two')")
    p("on('a', 's, _ = l.accept()')"), p("c.send(b'to the thread')")
    creds = p("on('a', 'struct.unpack(\"3i\", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))')")
    assert creds[0] == p.pid
    around(p, rounds=ROUNDS)
    assert p("on('a', 'struct.unpack(\"3i\", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))')") == creds
    assert p("struct.unpack('3i', c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))")[0] == p.pid
    assert p("on('a', '[d.recv(10), d.recv(10), s.recv(100)]')") == [b"one", b"two", b"to the thread"]
    p("c2 = socket.socket(socket.AF_UNIX); c2.connect('stream')")
    assert p("on('a', 'l.accept()[0].fileno()')") > 0


def test_many_threads():
    p = Puppet()
    for i in range(8):
        p("worker('t%d')" % i), p("on('t%d', 'apart()')" % i)
        p("on('t%d', 'e%d = os.eventfd(%d), os.dup2(0, %d)')" % (i, i, i, 100 + i))
    around(p, rounds=ROUNDS)
    for i in range(8):
        assert p("on('t%d', 'os.eventfd_read(e%d[0])')" % (i, i)) == i if i else True


def test_many_descriptors():
    n = count("THREAD_FILES", 3000, 10000)
    p = Puppet()
    p("resource.setrlimit(resource.RLIMIT_NOFILE, (%d, %d))" % (n + 100, n + 100))
    p("worker('a')"), p("on('a', 'apart()')")
    p("on('a', 'many = [os.open(\"f%%d\" %% (i %% 50), os.O_RDWR | os.O_CREAT) for i in range(%d)]')" % n)
    assert p("len(many)") == n
    tid = max(threads(p.pid))
    before = len(os.listdir("/proc/%d/fd" % tid)), len(os.listdir("/proc/%d/fd" % p.pid))
    assert before[0] > n > before[1]
    cycle(p.pid)
    assert before == (len(os.listdir("/proc/%d/fd" % tid)), len(os.listdir("/proc/%d/fd" % p.pid)))
    assert p("on('a', 'sum(os.fstat(f).st_nlink for f in many)')") == n


def test_what_the_images_say():
    p = Puppet()
    p("f = opens('f', os.O_RDWR)")
    tid = p("worker('a')")
    p("on('a', 'apart()')"), p("on('a', 'os.dup2(f, 77)')")
    live = state(p.pid)
    fds = live["tasks"][str(p.pid)]["threads"][str(tid)]["fds"]
    assert fds["77"]["kind"] == "reg" and "77" not in live["tasks"][str(p.pid)]["fds"], fds
    d = images()
    dump(p.pid, d)
    assert state(d)["tasks"][str(p.pid)]["threads"][str(tid)]["fds"] == fds
    # Whoever knows nothing of it must not take the image.
    if CRIU:
        got = subprocess.run([CRIU, "restore", "-D", d, "-d", "-o", "criu.log"], capture_output=True)
        assert got.returncode and "Not supported images version" in open(d + "/criu.log").read()
    # --map names a thread as it names a task.
    with open(os.path.join(DIR, "elsewhere"), "w") as f:
        f.write("mapped")
    restore(d, "--map", "%d:77=%s" % (tid, os.path.join(DIR, "elsewhere")), "--verify")
    assert p("on('a', 'os.pread(77, 100, 0)')") == b"mapped"
    assert os.readlink("/proc/%d/fd/%d" % (p.pid, p("f"))).endswith("/f")


def test_files_only_of_a_thread():
    p = Puppet()
    tid = p("worker('a')")
    p("on('a', 'apart()')")
    p("on('a', 'l = socket.socket(); l.bind((\"127.0.0.1\", 7711)); l.listen(); os.dup2(l.fileno(), 80); l.close()')")
    d = images()
    dump(p.pid, d)
    got = cl("restore", "-D", d, "--files-only", "--pid", tid, "--", "/bin/sh", "-c", "ls -l /proc/$$/fd > %s/seen; echo $LISTEN_FDS >> %s/seen" % (DIR, DIR), ok=False)
    seen = open(DIR + "/seen").read() if os.path.exists(DIR + "/seen") else ""
    assert "socket:" in seen, (got.stderr, seen)


def test_a_killed_dump_does_no_harm():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    p("r, w = os.pipe()"), p("on('a', 'r2, w2 = os.pipe(); more = [os.dup(r2) for _ in range(20)]')")
    before, rng = look(p.pid), random.Random(7)
    for _ in range(count("THREAD_KILLS", 20, 200)):
        d = images()
        t = subprocess.Popen([CL, "dump", "-t", str(p.pid), "-D", d, "-R"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.03))
        t.kill()
        t.wait()
        assert p("on('a', 'os.write(w2, b\"x\"), os.read(r2, 1)')") == (1, b"x")
    assert look(p.pid) == before
    around(p)


def test_a_killed_restore_leaves_all_or_nothing():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')")
    q = Puppet("other", p("on('a', 'child(\"other\", %d)')" % CLONE_FILES))
    p("worker('b')"), p("on('b', 'apart()')"), p("on('b', 'os.dup2(0, 70)')")
    have = set(filter(str.isdigit, os.listdir("/proc"))) - {str(p.pid), str(q.pid)}
    rng, whole = random.Random(9), True
    for _ in range(count("THREAD_KILLS", 20, 200)):
        if whole:
            d = images()
            dump(p.pid, d)
            until("the dumped tree to go", 5, lambda: not alive(p.pid) and not alive(q.pid))
        t = subprocess.Popen([CL, "restore", "-D", d, "-d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.08))
        t.kill()
        t.wait()
        time.sleep(0.05)

        def settled():
            left = set(filter(str.isdigit, os.listdir("/proc"))) - have
            return not left or left == {str(p.pid), str(q.pid)} and len(threads(p.pid)) == 3
        until("all or nothing to be there", 5, settled)
        whole = alive(p.pid)
        if whole:
            assert p("on('b', 'os.fstat(70).st_rdev')") == os.stat("/dev/null").st_rdev
    if not whole:
        restore(d)
    assert p("on('a', '1 + 1')") == q("1 + 1") == 2


def test_a_restore_that_fails_leaves_nothing():
    p = Puppet()
    p("worker('a')"), p("on('a', 'apart()')"), p("on('a', 'opens(\"away\", os.O_RDONLY)')")
    d, pids = images(), tree(p.pid)
    dump(p.pid, d)
    until("the dumped tree to go", 5, lambda: not any(alive(q) for q in pids))
    os.unlink(os.path.join(DIR, "away"))
    have = set(filter(str.isdigit, os.listdir("/proc")))
    got = restore(d, ok=False)
    assert got.returncode == 1 and "away" in got.stderr, got.stderr
    until("nothing to be left", 5, lambda: set(filter(str.isdigit, os.listdir("/proc"))) <= have)
    with open(os.path.join(DIR, "away"), "w"):
        pass
    restore(d)
    assert p("on('a', '1 + 1')") == 2


main()
