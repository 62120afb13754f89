#!/usr/bin/python3
"""A process with thousands of regular files, which several processes open at restore: all is as it was, seen by /proc.
And what cannot be opened again is refused, all of it at once, with nothing left behind."""
import os, re, resource

from busylib import *
from puppet import Puppet, R, U, lease

N = 3000
FLAGS = (os.O_RDWR, os.O_RDONLY | os.O_CLOEXEC, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_NONBLOCK, os.O_RDONLY | os.O_DIRECTORY)


def at(i):
    return os.path.join(DIR, "many", str(i % 3), "file%d" % i)


def begin():
    shutil.rmtree(os.path.join(DIR, "many"), ignore_errors=True)
    for i in range(N):
        os.makedirs(os.path.dirname(at(i)), exist_ok=True)
        with open(at(i), "w") as f:
            f.write("x" * (i % 50))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    p = Puppet()
    p("import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (%d, %d))" % (hard, hard))
    p("N, FLAGS = %d, %r" % (N, FLAGS))
    p("many = [os.open(%r + '/many/%%d%%s' %% (i %% 3, '' if i %% 5 == 4 else '/file%%d' %% i), FLAGS[i %% 5]) for i in range(N)]" % DIR)
    p("for i in range(0, N, 7): os.lseek(many[i], i, 0) if i % 5 != 4 else None")
    # Holes, two numbers for one file, and numbers that have another close-on-exec flag than at first.
    p("for i in range(100, 200): os.close(many[i])")
    p("for i in range(150, 200, 3): os.dup2(many[i + 100], many[i])")
    p("for i in range(200, N, 10): os.set_inheritable(many[i], i % 20 == 0)")
    return p


def look(pid):
    out = {}
    for fd in os.listdir("/proc/%d/fd" % pid):
        info = open("/proc/%d/fdinfo/%s" % (pid, fd)).read()
        out[int(fd)] = os.readlink("/proc/%d/fd/%s" % (pid, fd)), re.search(r"pos:\s*(\d+)", info)[1], re.search(r"flags:\s*(\d+)", info)[1]
    return out


def test_they_come_back():
    p = begin()
    before = look(p.pid)
    assert len(before) > N - 100
    for _ in range(2):
        cycle(p.pid)
        assert look(p.pid) == before, sorted(set(look(p.pid).items()) ^ set(before.items()))[:6]
    assert p("os.lseek(many[2030], 3, 0), os.read(many[2030], 5)") == (3, b"x" * 5)
    stop_all()


def test_all_that_has_changed_is_told():
    p = begin()
    before, d = look(p.pid), images()
    dump(p.pid, d)
    until("the dumped tree to go", 5, lambda: not alive(p.pid))
    quiet = everybody()
    os.rename(at(1000), at(1000) + ".away")
    os.truncate(at(1501), 1000)
    os.rename(at(2003), at(2003) + ".away")
    os.mkfifo(at(2003))
    refused("restore", "-d", "-D", d, "-o", "restore.log", lines=3,
            says=["%s.*must be there" % re.escape(at(1000)), "%s.*its size is 1000" % re.escape(at(1501)), "%s.*another kind" % re.escape(at(2003))])
    until("all to be gone", 2, lambda: not everybody() - quiet)
    os.unlink(at(2003))
    os.rename(at(1000) + ".away", at(1000))
    os.rename(at(2003) + ".away", at(2003))
    os.truncate(at(1501), 1501 % 50)
    restore(d, "--verify")
    assert look(p.pid) == before
    stop_all()


def test_who_has_a_lease_is_asked():
    p = begin()
    before, d = look(p.pid), images()
    dump(p.pid, d)
    until("the dumped tree to go", 5, lambda: not alive(p.pid))
    asked, f = [], os.open(at(2005), os.O_RDONLY)
    signal.signal(signal.SIGIO, lambda *_: asked.append(lease(f, U)))
    assert lease(f, R) == "ok"
    restore(d, "--verify")
    assert asked == ["ok"] and look(p.pid) == before
    os.close(f)
    stop_all()


main()
