#!/usr/bin/python3
"""Mandatory locking by criu-lite guard: a program keeps its guarantee when it is restored."""
import mmap, os, subprocess, sys, tempfile

from cl import *
from puppet import *

PAGE = 4096


class Guard:
    def __init__(self, *paths):
        r, w = os.pipe()
        self.p = subprocess.Popen([CL, "guard", "--status-fd", str(w)] + list(paths), pass_fds=[w], stderr=subprocess.PIPE, text=True)
        os.close(w)
        self.ready = os.read(r, 1) == b"\0"
        os.close(r)

    def end(self, sig=signal.SIGTERM):
        self.p.send_signal(sig)
        return self.p.wait(10)


def refusal(path):
    p = subprocess.run([CL, "guard", path], capture_output=True, text=True, timeout=10)
    assert p.returncode == 1, p
    return p.stderr


class Where:
    """A directory on a file system that can be guarded."""
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="cl-guard.", dir="/var/tmp")
        self.path = os.path.join(self.dir, "f")
        self.fill()
        os.chmod(self.path, 0o2660)
        g = Guard(self.path)
        if not g.ready:
            g.p.wait()
            why = g.p.stderr.read().splitlines()[0]
            self.__exit__()
            if "guard-kernel" in why or "guard-filesystem" in why:
                raise Skip(why)
            raise AssertionError(why)
        g.end()
        return self

    def fill(self):
        with open(self.path, "w") as f:
            f.write("x" * 4 * PAGE)

    def __exit__(self, *_):
        shutil.rmtree(self.dir)


def attempt(path, how, flags=os.O_RDWR | os.O_NONBLOCK):
    """ok, or the name of the error."""
    try:
        fd = os.open(path, flags)
    except OSError as e:
        return errno.errorcode[e.errno]
    try:
        how(fd)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
    finally:
        os.close(fd)


def map_page(n, write=False):
    prot = mmap.PROT_READ | (mmap.PROT_WRITE if write else 0)
    return lambda fd: mmap.mmap(fd, PAGE, mmap.MAP_SHARED, prot, offset=n * PAGE).close()


def enforced(path, p):
    """A WRITE lock on bytes 50 to 59 and a READ lock on the third page bind everybody but the owner."""
    for what, how, want in (
            ("read of the locked bytes", lambda fd: os.pread(fd, 1, 55), "EAGAIN"),
            ("read over them", lambda fd: os.read(fd, 100), "EAGAIN"),
            ("write of them", lambda fd: os.pwrite(fd, b"y", 50), "EAGAIN"),
            ("mapping of their page", map_page(0), "EAGAIN"),
            ("cut before them", lambda fd: os.ftruncate(fd, 10), "EAGAIN"),
            ("vectored read of their page", lambda fd: os.preadv(fd, [bytearray(1)], 5), "EAGAIN"),
            ("read of other bytes of their page", lambda fd: os.pread(fd, 50, 0), "ok"),
            ("write of other bytes of their page", lambda fd: os.pwrite(fd, b"x", 60), "ok"),
            ("read of another page", lambda fd: os.pread(fd, 1, PAGE), "ok"),
            ("write of another page", lambda fd: os.pwrite(fd, b"x", PAGE), "ok"),
            ("mapping of another page", map_page(1, True), "ok"),
            ("read of a page with a READ lock", lambda fd: os.pread(fd, 1, 2 * PAGE), "ok"),
            ("write of a page with a READ lock", lambda fd: os.pwrite(fd, b"y", 2 * PAGE + 7), "EAGAIN"),
            ("mapping of that page for reading", map_page(2), "ok"),
            ("mapping of that page for writing", map_page(2, True), "EAGAIN"),
            ("longer", lambda fd: (os.ftruncate(fd, 5 * PAGE), os.ftruncate(fd, 4 * PAGE)), "ok")):
        assert attempt(path, how) == want, what
    assert attempt(path, lambda fd: None, os.O_RDWR | os.O_TRUNC) == "EAGAIN"
    assert os.path.getsize(path) == 4 * PAGE
    try:
        os.truncate(path, 0)
        raise AssertionError("truncate() got through")
    except BlockingIOError:
        pass
    assert p("os.pread(f, 10, 50), os.pwrite(f, b'x', 55), os.pwrite(f, b'x', 2 * 4096)") == (b"x" * 10, 1, 1)


def waiter(path, offset):
    pid = os.fork()
    if not pid:
        fd = os.open(path, os.O_RDONLY)
        os._exit(0 if os.pread(fd, 1, offset) == b"x" else 1)
    return pid


def holds_until_unlocked(path, p):
    pid = waiter(path, 55)
    until("the reader to wait", 5, lambda: stat(pid)["state"] in "SD")
    time.sleep(0.05)
    assert os.waitpid(pid, os.WNOHANG) == (0, 0)
    p("lock(f, U, 50, 10)")
    until("the reader to be let through", 5, lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
    p("lock(f, W, 50, 10)")


def holder(path):
    p = Puppet()
    p("f = os.open(%r, os.O_RDWR)\nlock(f, W, 50, 10), lock(f, R, 8192, 4096)" % path)
    return p


def test_row_53_mandatory_locks_before_and_after_a_restore():
    with Where() as w:
        g, p = Guard(w.path), holder(w.path)
        enforced(w.path, p)
        holds_until_unlocked(w.path, p)
        cycle(p.pid, "-l")
        enforced(w.path, p)
        holds_until_unlocked(w.path, p)
        p("os.close(f)")
        assert attempt(w.path, lambda fd: os.pread(fd, 1, 55)) == "ok", "no lock, no harm"
        assert g.end() == 0


def test_row_53_a_guard_that_was_killed_guards_again_when_it_is_started():
    with Where() as w:
        g, p = Guard(w.path), holder(w.path)
        pid = waiter(w.path, 55)
        until("the reader to wait", 5, lambda: stat(pid)["state"] in "SD")
        time.sleep(0.05)
        g.end(signal.SIGKILL)
        until("the reader not to be stuck", 5, lambda: os.waitpid(pid, os.WNOHANG)[0] == pid)
        assert attempt(w.path, lambda fd: os.pread(fd, 1, 55)) == "ok"
        g = Guard(w.path)
        enforced(w.path, p)
        g.end()


def test_row_53_two_readers_one_of_whom_writes():
    with Where() as w:
        g, p = Guard(w.path), Puppet()
        p("f = os.open(%r, os.O_RDWR | os.O_NONBLOCK)\nlock(f, R, 0, 10)" % w.path)
        assert p("os.pwrite(f, b'x', 3)") == 1
        q = p.child("q")
        q("lock(f, R, 5, 10)")
        assert "EAGAIN" in p("os.pwrite(f, b'x', 7)") or "BlockingIOError" in p("os.pwrite(f, b'x', 7)")
        assert p("os.pwrite(f, b'x', 3)") == 1 and p("os.pread(f, 10, 0)") == b"x" * 10
        g.end()


def named(comm):
    """The processes of that name."""
    all = {int(d): stat(int(d)) for d in os.listdir("/proc") if d.isdigit()}
    return [pid for pid, s in all.items() if s and s["comm"] == comm]


def test_row_53_the_service_guards_and_so_does_its_successor():
    with Where() as w:
        sock = os.path.join(DIR, "sock")
        pid = start([CL, "service", "--address", sock, "--guard", w.path, "-v4", "-o", os.path.join(DIR, "service.log")])
        until("the service to listen", 10, lambda: os.path.exists(sock))
        p = holder(w.path)
        enforced(w.path, p)
        cycle(p.pid, "-l")
        enforced(w.path, p)
        # Its guard is killed: there is another.
        guard, = named("criu-lite-locks")
        os.kill(guard, signal.SIGKILL)
        until("another guard", 10, lambda: [g for g in named("criu-lite-locks") if g != guard])
        until("it to guard", 10, lambda: attempt(w.path, lambda fd: os.pread(fd, 1, 55)) == "EAGAIN")
        enforced(w.path, p)
        os.kill(pid, signal.SIGUSR2)
        read = lambda: attempt(w.path, lambda fd: os.pread(fd, 1, 55))
        while alive(pid):
            assert read() == "EAGAIN", "not for a moment"
        new = until("the successor", 10, lambda: [p for p in named("criu-lite") if alive(p)])[0]
        started.append(new)
        enforced(w.path, p)
        os.kill(new, signal.SIGTERM)
        until("the service to end", 10, lambda: not alive(new))
        until("its guard to end", 10, lambda: read() == "ok")


def test_row_53_what_cannot_be_guarded_is_named():
    path = os.path.join(DIR, "f")
    open(path, "w").close()
    os.chmod(path, 0o660)
    assert "guard-unmarked" in refusal(path) and path in refusal(path)
    os.chmod(path, 0o2660)
    text = refusal(path)
    assert "guard-filesystem" in text or "guard-kernel" in text, text
    assert "guard-file" in refusal(path + ".none")
    got = cl("service", "--address", os.path.join(DIR, "s2"), "--guard", path, ok=False, timeout=10)
    assert got.returncode == 1 and "guard-" in got.stderr, got


if __name__ == "__main__":
    main()
