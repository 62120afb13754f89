#!/usr/bin/python3
"""The library of descriptor passing as other programs see it: the shared library from Python, the installed one from C,
and its wire against Go and Python. Tests are named after the rows of the contract that they prove."""
import array, ctypes, errno, fcntl, resource, socket
from cl import *

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD", os.path.join(HERE, "../../build"))
SO = os.path.join(BUILD, "lib/libcriu-lite-fd.so.1")
SIZE = ctypes.c_size_t


def library():
    try:
        return ctypes.CDLL(SO)
    except OSError as e:
        raise Skip("the shared library cannot be loaded into this program: %s" % e)


def put(sock, fds):
    return library().fd_put(sock.fileno(), (ctypes.c_int * len(fds))(*fds), SIZE(len(fds)))


def get(sock, num):
    """(status, descriptors)"""
    fds, got = (ctypes.c_int * max(num, 1))(), SIZE()
    ret = library().fd_get(sock.fileno(), fds, SIZE(num), None, ctypes.byref(got))
    return ret, list(fds[:got.value])


def close(fds):
    for fd in fds:
        assert fcntl.fcntl(fd, fcntl.F_GETFD) == fcntl.FD_CLOEXEC, "not close-on-exec"
        os.close(fd)


def open_fds():
    return len(os.listdir("/proc/self/fd"))


def limit(n=None):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (n or hard, hard))


class Listener:
    def __init__(self):
        self.path = os.path.join(DIR, "sock")
        if os.path.exists(self.path):
            os.remove(self.path)
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(self.path)
        self.sock.listen(1)

    def accept(self):
        self.sock.settimeout(30)
        c = self.sock.accept()[0]
        c.settimeout(None)
        return c


def build_go(source, env=None):
    need("go")
    out = os.path.join(DIR, source + ".bin")
    if not os.path.exists(out):
        e = dict(os.environ, GO111MODULE="off", GOFLAGS="", **(env or {}))
        e.setdefault("GOCACHE", os.path.join(os.environ.get("HOME", DIR), ".cache/go-build"))
        p = subprocess.run(["go", "build", "-o", out, os.path.join(HERE, source)], env=e, capture_output=True, text=True, timeout=200)
        assert p.returncode == 0, p.stderr
    return out


def both_directions(prog):
    limit()
    path = os.path.join(DIR, "file")
    open(path, "w").close()
    want, before = os.stat(path), open_fds()
    for n in (1, 5, 253):
        at = Listener()
        p = subprocess.Popen([prog, "put", at.path, str(n), path], stdout=subprocess.PIPE, text=True)
        c = at.accept()
        ret, fds = get(c, n)
        assert (ret, len(fds)) == (0, n), (ret, len(fds), p.communicate()[0])
        assert all(os.path.samestat(os.fstat(f), want) for f in fds)
        close(fds)
        assert p.wait() == 0
        p.stdout.close()
        c.close()
        p = subprocess.Popen([prog, "get", at.path, str(n)], stdout=subprocess.PIPE, text=True)
        c = at.accept()
        mine = [os.open(path, os.O_RDONLY) for _ in range(n)]
        assert put(c, mine) == 0
        said = p.communicate(timeout=30)[0].splitlines()
        assert said == [path] * n + ["got %d truncated false" % n], said
        close_own(mine)
        c.close()
        at.sock.close()
    assert open_fds() == before


def close_own(fds):
    for fd in fds:
        os.close(fd)


def test_row35_go_syscall_both_directions():
    both_directions(build_go("rights.go"))


def test_row35_go_package_both_directions():
    where = os.environ.get("GOFD")
    if not where:
        raise Skip("set GOFD to the directory of Go package github.com/ftrvxmtrx/fd")
    path = os.path.join(DIR, "gopath/src/fd")
    os.makedirs(path, exist_ok=True)
    for name in os.listdir(where):
        if name.endswith(".go") and not name.endswith("_test.go"):
            shutil.copy(os.path.join(where, name), path)
    both_directions(build_go("gofd.go", {"GOPATH": os.path.join(DIR, "gopath")}))


def test_row35_python_both_directions():
    a, b = socket.socketpair()
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    socket.send_fds(a, [b"x"], fds)
    ret, got = get(b, 200)
    assert (ret, len(got)) == (0, 200)
    close(got)
    assert put(a, fds) == 0
    data, got, flags, _ = socket.recv_fds(b, 10, 253)
    assert len(data) == 1 and len(got) == 200 and not flags & socket.MSG_CTRUNC
    close_own(got + fds)


def pair():
    a, b = socket.socketpair()
    return a, b, os.open("/dev/null", os.O_RDONLY)


def test_row36_none_is_nothing():
    a, b, src = pair()
    assert put(a, []) == 0 and get(b, 0) == (0, [])
    b.setblocking(False)
    try:
        b.recv(1)
        raise AssertionError("something was sent")
    except BlockingIOError:
        pass
    os.close(src)


def test_row36_254_goes_in_chunks():
    a, b, src = pair()
    before = open_fds()
    limit()
    assert put(a, [src] * 254) == 0
    ret, fds = get(b, 254)
    assert (ret, len(fds)) == (0, 254)
    close(fds)
    assert open_fds() == before


def test_row36_sender_dies_between_chunks():
    a, b, src = pair()
    limit()
    assert put(a, [src] * 252) == 0
    a.close()
    ret, fds = get(b, 600)
    assert (ret, len(fds)) == (-errno.ECONNRESET, 252)
    close(fds)


def test_row36_fewer_wanted_than_sent():
    a, b, src = pair()
    before = open_fds()
    assert put(a, [src] * 9) == 0
    ret, fds = get(b, 4)
    assert ret == -errno.EMSGSIZE and len(fds) == 4
    close(fds)
    assert open_fds() == before, "the surplus is open"


def test_row36_more_wanted_than_sent():
    a, b, src = pair()
    assert put(a, [src] * 3) == 0
    ret, fds = get(b, 5)
    assert ret == -errno.EBADMSG and len(fds) == 3
    close(fds)


def test_row36_table_full():
    a, b, src = pair()
    library()
    before = open_fds()
    assert put(a, [src] * 40) == 0
    limit(20)
    try:
        ret, fds = get(b, 40)
    finally:
        limit()
    assert ret == -errno.EMFILE and 0 < len(fds) < 20, (ret, fds)
    close(fds)
    assert open_fds() == before


def test_row36_no_socket():
    a, b, src = pair()
    with open("/dev/null") as f:
        assert put(f, [src]) == -errno.ENOTSOCK and get(f, 1) == (-errno.ENOTSOCK, [])


def test_row36_no_growth():
    """Good and bad exchanges in turn: nothing stays open."""
    a, b, src = pair()
    lib, before, one = library(), open_fds(), (ctypes.c_int * 3)(src, src, src)
    fds, got, ms = (ctypes.c_int * 3)(), SIZE(), b.fileno()
    for i in range(count("FD_ROUNDS", 20000, 100000)):
        assert lib.fd_put(a.fileno(), one, SIZE(1 + i % 3)) == 0
        ret = lib.fd_get(ms, fds, SIZE(2), None, ctypes.byref(got))
        assert ret == (-errno.EBADMSG, 0, -errno.EMSGSIZE)[i % 3]
        for k in range(got.value):
            os.close(fds[k])
    assert open_fds() == before


PROGRAM = r'''
#include <criu-lite/fdframe.h>
#include <criu-lite/fdlisten.h>
#include <criu-lite/fdpass.h>
#include <criu-lite/fdupgrade.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
int main(void)
{
	struct fd_item it = { .fd = 0, .name = "input" };
	struct fd_frame f = { .items = &it, .n = 1, .payload = (void *)"hello", .len = 5 }, g;
	struct fd_offer in;
	int sk[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sk) || fd_frame_send(sk[0], &f, 1000) ||
	    fd_frame_recv(sk[1], &g, 1, 100, 1000))
		return 1;
	printf("%s %s %.5s %d\n", g.items[0].name, fd_kind_name(g.items[0].kind), (char *)g.payload, fd_offer_take(&in));
	fd_frame_free(&g);
	return fd_put(sk[0], NULL, 0);
}
'''


def test_installed_library():
    """`make install`, pkg-config, static and shared, from C and C++."""
    need("cc", "pkg-config", "make")
    if not os.path.samefile(BUILD, os.path.join(HERE, "../../build")):
        raise Skip("only for the ordinary build")
    root = os.path.join(DIR, "root")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    p = subprocess.run(["make", "-s", "-C", os.path.join(HERE, "../.."), "install", "DESTDIR=" + root, "PREFIX=/usr"], env=env,
                       capture_output=True, text=True, timeout=200)
    assert p.returncode == 0, p.stdout + p.stderr
    env = dict(os.environ, PKG_CONFIG_PATH=root + "/usr/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR=root,
               PKG_CONFIG_ALLOW_SYSTEM_LIBS="1", PKG_CONFIG_ALLOW_SYSTEM_CFLAGS="1")
    flags = lambda *a: subprocess.run(["pkg-config", *a, "criu-lite-fd"], env=env, capture_output=True, text=True, check=True).stdout.split()
    with open(os.path.join(DIR, "prog.c"), "w") as f:
        f.write(PROGRAM)
    src = os.path.join(DIR, "prog.c")
    ways = [["cc", "-Wall", "-Werror", src], ["cc", "-Wall", "-Werror", "-x", "c++", src, "-x", "none"]]
    for way in ways:
        for static in ([], ["-static"]):
            out = os.path.join(DIR, "prog")
            libs = flags("--libs", *(["--static"] if static else []))
            subprocess.run(way + static + flags("--cflags") + ["-o", out] + libs, check=True)
            p = subprocess.run([out], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                               env=dict(os.environ, LD_LIBRARY_PATH=root + "/usr/lib"))
            assert p.stdout == "input device hello %d\n" % -errno.ENOENT and p.returncode == 0, (p.stdout, p.returncode)
    names = subprocess.run(["nm", "-D", "--defined-only", root + "/usr/lib/libcriu-lite-fd.so.1"], capture_output=True, text=True).stdout
    names = [l.split()[-1].split("@")[0] for l in names.splitlines() if " T " in l]
    assert names and all(n.startswith("fd_") for n in names), names


def test_example_upgrades_itself():
    """docs/examples/self-upgrade.c under load: every generation counts on, and no connection is lost between them."""
    need("cc")
    top, prog = os.path.join(HERE, "../.."), os.path.join(DIR, "self-upgrade")
    include = os.path.join(DIR, "include")
    os.makedirs(include)
    os.symlink(os.path.join(os.path.abspath(top), "criu-lite/lib"), include + "/criu-lite")
    if not os.path.samefile(BUILD, os.path.join(top, "build")):
        raise Skip("only for the ordinary build")
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-I" + include, "-o", prog, os.path.join(top, "docs/examples/self-upgrade.c"),
                    os.path.join(BUILD, "lib/libcriu-lite-fd.a")], check=True)
    pid = start([prog, "7403"])
    until("the server", 10, lambda: ask_server(ok=False))
    answers, generation = ask_server()[1], 1
    for i in range(count("SELF_UPGRADES", 20, 200)):
        os.kill(pid, signal.SIGUSR2)
        # Asked without a pause: the last answers of one, then the first of the next, which counts on.
        while True:
            g, a = ask_server()
            assert a == answers + 1, "answer %d after %d" % (a, answers)
            answers = a
            if g != generation:
                break
        assert g == generation + 1
        generation = g
        until("the old generation to go", 10, lambda: not alive(pid))
        pid = [int(p) for p in os.listdir("/proc") if p.isdigit() and p != str(pid) and (stat(int(p)) or {}).get("comm") == "self-upgrade" and alive(int(p))]
        assert len(pid) == 1, pid
        pid = pid[0]
        started.append(pid)
    # A successor that cannot be started changes nothing.
    os.rename(prog, prog + ".away")
    os.kill(pid, signal.SIGUSR2)
    until("the complaint", 10, lambda: "serves on" in open(os.path.join(DIR, "out")).read())
    assert ask_server() == (generation, answers + 1) and alive(pid)


def ask_server(ok=True):
    try:
        with socket.create_connection(("127.0.0.1", 7403), 10) as s:
            words = s.makefile().readline().split()
            return int(words[1]), int(words[3])
    except ConnectionRefusedError:
        assert not ok, "the connection was refused"
        return None


main()
