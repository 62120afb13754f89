#!/usr/bin/python3
"""`criu-lite fd`: descriptors between programs by the command line, by paths and abstract names, for shells."""
import socket
from cl import *

NAME = "@cl-fd-test-%d" % os.getpid()


def fd(*args, ok=True, stdin=None, pass_fds=(), env=None, timeout=30):
    p = subprocess.run([CL, "fd", *map(str, args)], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                       pass_fds=pass_fds, env=env)
    assert (p.returncode == 0) == ok, (args, p.returncode, p.stdout, p.stderr)
    return p.stdout if ok else p.stderr


def hold(where, *more, **kw):
    pid = start([CL, "fd", "hold", where, *more], log="hold", **kw)
    fd("wait", where)
    return pid


def names(where):
    return [d["name"] for d in json.loads(fd("list", where, "--json"))["descriptors"]]


def fds_of(pid):
    found = {}
    for f in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):
            found[int(f)] = os.readlink("/proc/%d/fd/%s" % (pid, f))
    return found


def test_hold_and_give_back():
    for where in (NAME, os.path.join(DIR, "holder")):
        a, path = os.open("/dev/null", os.O_RDONLY), os.path.join(DIR, "a file")
        b = os.open(path, os.O_CREAT | os.O_RDWR)
        os.write(b, b"content")
        os.lseek(b, 3, 0)
        pid = hold(where)
        before = fds_of(pid)
        fd("send", where, "null=%d" % a, "it's=%d" % b, "listen=listen:127.0.0.1:7400", pass_fds=(a, b))
        assert sorted(names(where)) == ["it's", "listen", "null"]
        table = fd("list", where)
        assert re.search(r"^listen +listener +127\.0\.0\.1:7400$", table, re.M) and re.search(r"^it's +file +" + path + "$", table, re.M), table
        # The file's position goes with it; the socket is one and the same that listens.
        out = fd("recv", where, "it's", "listen", "--", "/bin/sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES $(( $LISTEN_PID == $$ )); cat <&3")
        assert out == "2 it's:listen 1\ntent", out
        with socket.create_connection(("127.0.0.1", 7400)):
            pass
        assert "nothing is held by the name nobody" in fd("recv", where, "null", "nobody", ok=False)
        # One of the same name gives way; none is left over.
        fd("send", where, "null=%d" % b, pass_fds=(b,))
        assert re.search(r"^null +file", fd("list", where), re.M)
        fd("drop", where, "null", "listen")
        assert names(where) == ["it's"]
        fd("drop", where, "it's")
        assert fds_of(pid) == before
        os.kill(pid, signal.SIGTERM)
        until("the holder to end", 5, lambda: not alive(pid))
        assert where[0] == "@" or not os.path.exists(where)
        os.close(a), os.close(b)


def test_shell():
    """What a shell evaluates, with names that would do harm unquoted."""
    a = os.open(DIR, os.O_RDONLY)
    hold(NAME)
    fd("send", NAME, "a'b $(touch %s/harm)=%d" % (DIR, a), pass_fds=(a,))
    out = subprocess.run(["/bin/sh", "-c", 'eval "$(%s fd list %s --sh)"; echo "$fd_count|$fd_1_name|$fd_1_kind|$fd_1_what"' % (CL, NAME)],
                         capture_output=True, text=True).stdout
    assert out == "1|a'b $(touch %s/harm)|dir|%s\n" % (DIR, DIR), out
    assert not os.path.exists(DIR + "/harm")
    os.close(a)


def test_from_one_to_one():
    """send to recv --accept, with a payload; and the other way round, by an inherited socket."""
    a = os.open("/dev/zero", os.O_RDONLY)
    p = subprocess.Popen([CL, "fd", "recv", "--accept", NAME, "--expect", "1", "--at", "9", "--", "/bin/sh", "-c",
                          'echo "$FD_PAYLOAD"; readlink /proc/$$/fd/9'], stdout=subprocess.PIPE, text=True)
    until("the receiver", 10, lambda: NAME in open("/proc/net/unix").read())
    fd("send", NAME, a, "--payload", "some text", pass_fds=(a,))
    assert p.communicate(timeout=20)[0] == "some text\n/dev/zero\n" and p.returncode == 0
    x, y = socket.socketpair()
    fd("send", x.fileno(), a, "--raw", pass_fds=(x.fileno(), a))
    data, got, _, _ = socket.recv_fds(y, 100, 5)
    assert data == b"\0" and len(got) == 1 and os.readlink("/proc/self/fd/%d" % got[0]) == "/dev/zero"
    os.close(got[0])
    # What it has open for itself is not what the caller left open.
    assert "fd-open" in fd("send", x.fileno(), "3", ok=False, pass_fds=(x.fileno(),))
    assert "fd-open" in fd("send", x.fileno(), "77", ok=False, pass_fds=(x.fileno(),))
    os.close(a)


def test_python():
    """Python's send_fds to recv --raw, and back."""
    x, y = socket.socketpair()
    a = os.open("/dev/zero", os.O_RDONLY)
    socket.send_fds(x, [b"from python"], [a, a, a])
    out = json.loads(fd("recv", y.fileno(), "--raw", "--expect", "3", "--json", pass_fds=(y.fileno(),)))
    assert out["payload"] == "from python" and [d["what"] for d in out["descriptors"]] == ["/dev/zero"] * 3
    socket.send_fds(x, [b"x"], [a, a])
    assert "fd-pass" in fd("recv", y.fileno(), "--raw", "--expect", "3", ok=False, pass_fds=(y.fileno(),))
    socket.send_fds(x, [b"x"], [a, a])
    assert "fd-pass" in fd("recv", y.fileno(), "--raw", "--expect", "1", ok=False, pass_fds=(y.fileno(),))
    fd("send", x.fileno(), a, a, "--raw", "--payload", "to python", pass_fds=(x.fileno(), a))
    data, got, _, _ = socket.recv_fds(y, 100, 5)
    assert data == b"to python" and len(got) == 2
    for f in got + [a]:
        os.close(f)


def test_take():
    """From a process that does not notice: same description, so same position."""
    path = os.path.join(DIR, "data")
    with open(path, "w") as f:
        f.write("0123456789")
    pid = start(["/bin/sh", "-c", "exec 5<%s 6</dev/null; read -r x <&6; exec sleep 1000" % path])
    until("the program", 5, lambda: 5 in fds_of(pid) and stat(pid)["comm"] == "sleep")
    before = fds_of(pid)
    assert fd("take", "in=%d:5" % pid, "--at", "0", "--", "head", "-c", "4") == "0123"
    assert fd("take", "in=%d:5" % pid, "%d:6" % pid, "--env", "X=<%d>", "--", "/bin/sh", "-c", 'echo "$X"; cat <&3') == "<3><4>\n456789"
    assert fds_of(pid) == before
    assert "5 -> " not in fd("list", pid) and re.search(r"file +" + path, fd("list", pid))
    assert "fd-take" in fd("take", "%d:77" % pid, ok=False)
    assert "no-process" in fd("take", "4194000:1", ok=False)
    # Into the holder and on.
    hold(NAME)
    fd("send", NAME, "in=%d:5" % pid)
    assert names(NAME) == ["in"]


def test_exec_swaps_numbers():
    a, b = os.open("/dev/null", os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)
    out = fd("exec", a, b, "--at", "%d,%d" % (b, a), "--", "/bin/sh", "-c", "readlink /proc/$$/fd/%d; readlink /proc/$$/fd/%d" % (a, b), pass_fds=(a, b))
    assert out == "/dev/zero\n/dev/null\n", out
    assert "fd-exec" in fd("exec", a, "--", "/no/such/program", ok=False, pass_fds=(a,))
    assert "twice" in fd("exec", a, b, "--at", "4,4", "--", "true", ok=False, pass_fds=(a, b))
    os.close(a), os.close(b)


def test_store_of_a_service():
    """A program leaves descriptors by FDSTORE and gets them back as LISTEN_FDS."""
    store = NAME + "-store"
    hold(NAME, "--store", store)
    leave = ("import os, socket\ns = socket.socket(); s.bind(('127.0.0.1', 7401)); s.listen()\n"
             "n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); n.connect(os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))\n"
             "socket.send_fds(n, [b'FDSTORE=1\\nFDNAME=web'], [s.fileno()])\n"
             "r, w = os.pipe(); socket.send_fds(n, [b'BARRIER=1'], [w]); os.close(w); print(os.read(r, 1))\n")
    p = subprocess.run([sys.executable, "-c", leave], env=dict(os.environ, NOTIFY_SOCKET=store), capture_output=True, text=True, timeout=20)
    assert p.stdout == "b''\n", (p.stdout, p.stderr)
    assert names(NAME) == ["web"]
    socket.create_connection(("127.0.0.1", 7401)).close()
    back = "import os, socket\ns = socket.socket(fileno=3); print(os.environ['LISTEN_FDNAMES'], s.getsockname()[1], s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))"
    assert fd("recv", NAME, "--", sys.executable, "-c", back) == "web 7401 1\n"
    n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    n.sendto(b"FDSTOREREMOVE=1\nFDNAME=web", store.replace("@", "\0", 1))
    until("the store to forget it", 5, lambda: names(NAME) == [])


def test_strangers():
    """Another user gets nothing, by a path or by an abstract name; one who is silent stops nobody for long."""
    need("setpriv")
    os.chmod(DIR, 0o711)
    tool = os.path.join(DIR, "tool")
    shutil.copy(CL, tool)
    user = ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups", tool, "fd"]
    path = os.path.join(DIR, "holder")
    hold(NAME, "null=listen:127.0.0.1:7402")
    p = subprocess.run([*user, "list", NAME], capture_output=True, text=True, timeout=20)
    assert p.returncode == 1 and "own user" in p.stderr, p.stderr
    stop_all()
    hold(path, "null=listen:127.0.0.1:7402")
    p = subprocess.run([*user, "list", path], capture_output=True, text=True, timeout=20)
    assert p.returncode == 1 and "Permission denied" in p.stderr, p.stderr
    silent = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for s in silent:
        s.connect(path)
    silent[1].sendall(b"nonsense" * 100)
    assert names(path) == ["null"]
    # Without root a holder works as well.
    p = subprocess.Popen([*user[:-2], tool, "fd", "hold", NAME + "-user"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        fd("wait", NAME + "-user")
        out = subprocess.run([*user, "send", NAME + "-user", "x=0"], capture_output=True, text=True, timeout=20, stdin=open("/dev/null"))
        assert out.returncode == 0, out.stderr
        assert names(NAME + "-user") == ["x"]
    finally:
        p.kill()
        p.wait()


def test_wait_and_words():
    begin = time.monotonic()
    assert "fd-timeout" in fd("wait", NAME + "-never", "--timeout", "1", ok=False)
    assert time.monotonic() - begin < 10
    hold(NAME)
    p = subprocess.Popen([CL, "fd", "wait", NAME, "late"])
    time.sleep(0.1)
    assert p.poll() is None
    fd("send", NAME, "late=listen:@x-%d" % os.getpid())
    assert p.wait(timeout=20) == 0
    for args in ([], ["nonsense"], ["send", NAME], ["exec"], ["exec", "0"], ["recv"], ["send", NAME, "=1"], ["send", NAME, "a:b=0"],
                 ["send", NAME, "1:2:3"], ["recv", "noslash"], ["send", NAME, "x=listen:nowhere"]):
        said = fd(*args, ok=False)
        assert "criu-lite: Error:" in said and "[" in said, (args, said)


main()
