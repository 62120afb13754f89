#!/usr/bin/python3
"""`upgrade` of servers that take LISTEN_FDS or an offer, by their own word that they are ready, as root and not."""
import socket
from cl import *

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER, PORTS = os.path.join(HERE, "lineserver.py"), (9401, 9402)


def text(name):
    try:
        return open(os.path.join(DIR, name)).read()
    except FileNotFoundError:
        return ""


def begin(prefix=()):
    if text("server"):
        os.remove(os.path.join(DIR, "server"))
    pid = start([*prefix, sys.executable, SERVER, "one", *map(str, PORTS)], log="server")
    until("the server", 10, lambda: "serving one" in text("server"))
    return pid


def version(name, *action):
    return [sys.executable, SERVER, name, *map(str, PORTS), *action]


def upgrade(old, *argv, ok=True, more=(), env=None, tool=(CL,)):
    with open(os.path.join(DIR, "said"), "wb") as out:
        p = subprocess.run([*tool, "upgrade", "--pid", str(old), "--json", *more, "--", *argv], stdin=subprocess.DEVNULL, stdout=out,
                           stderr=out, timeout=60, env=env)
    assert (p.returncode == 0) == ok and p.returncode in (0, 1), "status %d: %s" % (p.returncode, text("said"))
    if ok:
        started.append(int(re.search(r'"pid": (\d+)', text("said")).group(1)))
        return started[-1]
    return text("said")


def answer(port):
    with socket.create_connection(("127.0.0.1", port), 10) as s:
        s.settimeout(10)
        s.sendall(b"x\n")
        return s.makefile().readline().split()[0]


def test_listen_fds_and_notify():
    """Generation after generation; each is asked on both sockets, and the old one is gone."""
    pid = begin()
    for n in ("two", "three", "four"):
        new = upgrade(pid, *version(n))
        until("the old one to end", 10, lambda: not alive(pid))
        assert [answer(p) for p in PORTS] == [n, n]
        assert stat(new)["sid"] == new and stat(new)["ppid"] == 1
        pid = new


def test_old_one_left_running():
    """--stop none: both serve; the old one has not noticed anything."""
    pid = begin()
    before = open("/proc/%d/stat" % pid).read().split()[3:8], sorted(os.listdir("/proc/%d/fd" % pid))
    new = upgrade(pid, *version("two"), more=["--stop", "none", "--fds", "listener=%s" % min(
        (f for f in os.listdir("/proc/%d/fd" % pid) if "socket" in os.readlink("/proc/%d/fd/%s" % (pid, f))), key=int)])
    assert alive(pid) and alive(new)
    assert before == (open("/proc/%d/stat" % pid).read().split()[3:8], sorted(os.listdir("/proc/%d/fd" % pid)))
    os.kill(pid, signal.SIGKILL)
    until("the old one to end", 5, lambda: not alive(pid))
    assert answer(PORTS[0]) == "two"
    try:
        answer(PORTS[1])
        raise AssertionError("the second socket was not to be handed over")
    except OSError:
        pass


def test_crash_and_hang():
    pid = begin()
    for action, error in (("crash", "upgrade-died"), ("hang", "upgrade-timeout")):
        said = upgrade(pid, *version("bad", action), ok=False, more=["--timeout", "2"])
        assert error in said and "pid %d serves on" % pid in said, said
        assert answer(PORTS[0]) == answer(PORTS[1]) == "one"


def test_probe_of_unix_socket():
    """The old one answers at the same path: only the new one's accept counts."""
    path = os.path.join(DIR, "web")
    serve = ("import os, socket, sys, time\n"
             "s = socket.socket(socket.AF_UNIX)\n"
             "if 'FDS' in os.environ: s = socket.socket(fileno=int(os.environ['FDS']))\n"
             "else: s.bind(%r); s.listen(64)\n"
             "open(%r + '.' + sys.argv[1], 'w').close(); time.sleep(float(sys.argv[2]))\n"
             "held = []\n"
             "while True:\n"
             "    c = s.accept()[0]; held = held[-50:] + [c]\n"
             "    try: c.sendall(sys.argv[1].encode())\n"
             "    except BrokenPipeError: pass  # a probe has seen enough when it is accepted\n" % (path, path))
    pid = start([sys.executable, "-c", serve, "one", "0"], log="server")
    until("the server", 10, os.path.exists, path + ".one")
    new = upgrade(pid, sys.executable, "-c", serve, "two", "0.2", more=["--env", "FDS=%d", "--ready", "probe:" + path])
    until("the old one to end", 10, lambda: not alive(pid))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        assert s.recv(10) == b"two"
    assert alive(new)
    # It is executed, but never accepts.
    said = upgrade(new, sys.executable, "-c", serve, "three", "1000", ok=False, more=["--env", "FDS=%d", "--ready", "probe:" + path, "--timeout", "3"])
    assert "upgrade-timeout" in said and alive(new), said


def test_offer():
    """A server with the library is upgraded from outside, and judges what it is offered."""
    need("cc")
    prog, include = os.path.join(DIR, "self-upgrade"), os.path.join(DIR, "include")
    build = os.environ.get("BUILD", os.path.join(HERE, "../../build"))
    if not os.path.samefile(build, os.path.join(HERE, "../../build")):
        raise Skip("only for the ordinary build")
    os.makedirs(include)
    os.symlink(os.path.join(HERE, "../../criu-lite/lib"), include + "/criu-lite")
    subprocess.run(["cc", "-I" + include, "-o", prog, os.path.join(HERE, "../../docs/examples/self-upgrade.c"),
                    os.path.join(build, "lib/libcriu-lite-fd.a")], check=True)
    pid = start([prog, "9403"])
    until("the server", 10, lambda: listens(pid))
    # It wants a state, which nobody but its predecessor has.
    said = upgrade(pid, prog, "9403", ok=False, more=["--ready", "offer", "--fds", "clients=3"])
    assert "upgrade-refused" in said and "no state that I know" in said, said
    assert alive(pid)


def listens(pid):
    return os.path.exists("/proc/%d/fd/3" % pid) and "socket" in os.readlink("/proc/%d/fd/3" % pid)


def test_service_manager_is_told():
    pid, address = begin(), "@cl-manager-%d" % os.getpid()
    m = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    m.bind(address.replace("@", "\0"))
    m.settimeout(10)
    new = upgrade(pid, *version("two"), env=dict(os.environ, NOTIFY_SOCKET=address))
    assert m.recv(100).decode().split("\n") == ["MAINPID=%d" % new, "READY=1"]


def test_without_root():
    """Whoever may trace a program may replace it; a stranger may not, and does no harm."""
    need("setpriv")
    os.chmod(DIR, 0o711)
    tool = os.path.join(DIR, "tool")
    shutil.copy(CL, tool)
    as_user = lambda uid: ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
    script = os.path.join(DIR, "lineserver.py")
    shutil.copy(SERVER, script)
    os.chmod(script, 0o644)
    python = "/usr/bin/python3"
    pid = start([*as_user(1234), python, script, "one", *map(str, PORTS)], log="server2")
    until("the server", 10, lambda: "serving one" in text("server2"))
    said = upgrade(pid, python, script, "two", *map(str, PORTS), ok=False, tool=[*as_user(1235), tool])
    assert "fd-take" in said and answer(PORTS[0]) == "one", said
    new = upgrade(pid, python, script, "two", *map(str, PORTS), tool=[*as_user(1234), tool])
    until("the old one to end", 10, lambda: not alive(pid))
    assert answer(PORTS[0]) == "two" and os.stat("/proc/%d" % new).st_uid == 1234


def test_words():
    pid = begin()
    for more, error in ((["--env", "X"], "option-value"), (["--env", "X=5"], "option-value"), (["--ready", "soon"], "option-value"),
                        (["--ready", "probe:nowhere"], "option-value"), (["--stop", "NOSUCH"], "option-value"), (["--fds", "3,3"], "option-value"),
                        (["--fds", "x"], "option-value"), (["--fds", "999"], "fd-take"), (["--fds", "a:b=3"], "fd-name"),
                        (["--ready", "offer", "--env", "X=%d"], "option-conflict")):
        said = upgrade(pid, *version("two"), ok=False, more=more)
        assert "[%s]" % error in said, (more, said)
    assert "no-process" in upgrade(4194000, "true", ok=False)
    p = cl("upgrade", "--pid", pid, "true", ok=False)
    assert "option-missing" in p.stderr, p.stderr
    nothing = start(["/bin/sleep", "1000"])
    assert "upgrade-nothing" in upgrade(nothing, "true", ok=False)
    assert answer(PORTS[0]) == "one"


main()
