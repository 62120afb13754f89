#!/usr/bin/python3
"""libcriu.so.2 as runtimes use it: loaded at run time, it finds the program in PATH."""
import ctypes
from rpclib import *

BUILD = os.environ.get("BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build"))
LIB = os.path.join(BUILD, "lib")
CALLS = os.path.join(BUILD, "tests/rpc/crun_calls")
BIN = os.path.join(DIR, "bin")


def calls(*args, ok=True):
    """crun_calls, with our program alone in PATH under the name criu-lite."""
    if SANITIZED:
        raise Skip("a library with the sanitizer")
    os.makedirs(BIN, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(os.path.abspath(CL), BIN + "/criu-lite")
    p = subprocess.run([CALLS] + list(map(str, args)), capture_output=True, text=True, timeout=60, cwd=DIR,
                       env=dict(os.environ, LD_LIBRARY_PATH=LIB, PATH=BIN))
    assert not ok or p.returncode == 0, (args, p.stdout, p.stderr)
    return p


def test_symbols():
    calls("symbols", DIR)
    # And every name of the public header.
    lib = ctypes.CDLL(LIB + "/libcriu.so.2")
    header = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../criu-lite/lib/criu.h")
    names = set(re.findall(r"\b(criu_\w+)\(", open(header).read()))
    assert len(names) > 140, len(names)
    for n in names - {"criu_X", "criu_local_X"}:
        getattr(lib, n)


def test_only_its_own_names():
    out = subprocess.run(["nm", "-D", "--defined-only", LIB + "/libcriu.so.2"], capture_output=True, text=True).stdout
    names = [l.split()[-1] for l in out.splitlines()]
    assert names and not [n for n in names if not n.startswith("criu_") or "__" in n], names


def test_dump_and_restore_as_crun():
    images()
    # The parent that the restored process has is not the one that it had.
    pid = sleeper()
    out = calls("dump", DIR + "/img", pid).stdout.split("\n")
    assert out[0] == "notify pre-dump %d" % pid and "notify post-dump %d" % pid in out, out
    until("the process to go", 5, lambda: not alive(pid))
    p = subprocess.Popen([CALLS, "restore", DIR + "/img"], stdout=subprocess.PIPE, text=True, cwd=DIR,
                         env=dict(os.environ, LD_LIBRARY_PATH=LIB, PATH=BIN))
    line = until("restored", 20, p.stdout.readline)
    while not line.startswith("restored"):
        assert line.startswith("notify"), line + p.stdout.read()
        line = p.stdout.readline()
    assert int(line.split()[1]) == pid and stat(pid)["ppid"] == p.pid
    cl("diff", DIR + "/img", pid)
    os.kill(pid, signal.SIGTERM)
    assert p.stdout.read() == "ended 15\n"
    assert p.wait() == 0


def test_failure_is_told():
    images()
    out = calls("dump", DIR + "/img", 99999, ok=False).stdout
    assert re.search(r"^failed -52 errno 3: there is no process 99999: No such process \[no-process\]", out, re.M), out


def test_container_is_refused_once():
    """A process in namespaces of its own: one refusal, that names them, and it runs on."""
    images()
    p = subprocess.Popen(["unshare", "-p", "-n", "-i", "-u", "--fork", "--kill-child", "sleep", "1000"], start_new_session=True)
    try:
        kids = until("its child", 10, lambda: tree(p.pid)[1:])
        until("sleep", 10, lambda: stat(kids[0])["comm"] == "sleep")
        out = calls("dump", DIR + "/img", kids[0], ok=False).stdout
        told = [l for l in out.splitlines() if l.startswith("failed")]
        assert len(told) == 1 and len(out.splitlines()) == 1, out
        assert re.search(r"namespace \(pid, net, ipc, uts\).*\[task-namespace\]", told[0]), out
        log = open(DIR + "/img/dump.log").read()
        assert log.count("Error (") == 2 and "task-namespace" in log and "Dumping FAILED" in log, log
        assert alive(kids[0])
    finally:
        p.kill()
        p.wait()


def library():
    if SANITIZED:
        raise Skip("a library with the sanitizer")
    lib = ctypes.CDLL(LIB + "/libcriu.so.2", use_errno=True)
    lib.criu_get_errmsg.restype = ctypes.c_char_p
    lib.criu_init_opts()
    return lib


def test_over_the_service():
    fd, pid = images_fd(), sleeper()
    lib = library()
    with Service() as s:
        lib.criu_set_service_address(s.sock.encode())
        assert lib.criu_check() == 0, lib.criu_get_errmsg()
        assert lib.criu_get_version() == 40200, lib.criu_get_errmsg()
        assert lib.criu_check_version(40200) == 1 and lib.criu_check_version(40201) == 0
        lib.criu_set_images_dir_fd(fd)
        lib.criu_set_pid(pid)
        assert lib.criu_dump() == 0, lib.criu_get_errmsg()
        assert not alive(pid)
        assert lib.criu_restore() == pid, lib.criu_get_errmsg()
        assert lib.criu_restore_child() == -22
        assert lib.criu_restore() == -52 and b"pid-in-use" in lib.criu_get_errmsg()
        # A connection of our own, used more than once.
        c = connected(s.sock)
        lib.criu_set_service_fd(c.fileno())
        assert lib.criu_check() == 0 and lib.criu_get_version() == 40200
        lib.criu_set_leave_running(True)
        assert lib.criu_dump() == 0 and alive(pid)
        c.close()
    lib.criu_set_service_address((DIR + "/none").encode())
    assert lib.criu_check() == -111 and b"reached" in lib.criu_get_errmsg()
    lib.criu_set_service_binary(b"/nonexistent/criu")
    assert lib.criu_check() == -111 and ctypes.get_errno() == 2
    lib.criu_set_service_binary(b"/bin/true")
    assert lib.criu_check() == -70


def test_setters():
    """Those that CRIU's library gets wrong, and the wrong arguments."""
    lib = library()
    lib.criu_set_service_binary(os.path.abspath(CL).encode())
    assert lib.criu_set_page_server_address_port(b"127.0.0.1", 1234) == 0
    assert lib.criu_set_page_server_address_port(b"127.0.0.1", 70000) == -22
    fd = images_fd()
    lib.criu_set_images_dir_fd(fd)
    lib.criu_set_pid(os.getpid())
    lib.criu_set_lazy_pages(True)
    assert lib.criu_join_ns_add(b"net", None, None) == -22
    assert lib.criu_join_ns_add(b"net", b"/proc/self/ns/net", None) == 0
    assert lib.criu_dump() == -52
    for word in (b"--page-server", b"--lazy-pages", b"--join-ns"):
        assert word in lib.criu_get_errmsg(), lib.criu_get_errmsg()


def test_local_objects_are_apart():
    lib = library()
    a, b = ctypes.c_void_p(), ctypes.c_void_p()
    lib.criu_local_get_errmsg.restype = ctypes.c_char_p
    for o in (a, b):
        assert lib.criu_local_init_opts(ctypes.byref(o)) == 0
        lib.criu_local_set_service_binary(o, os.path.abspath(CL).encode())
    fd, pid = images_fd(), sleeper()
    lib.criu_local_set_images_dir_fd(a, fd)
    lib.criu_local_set_pid(a, pid)
    assert lib.criu_local_dump(b) == -52 and lib.criu_local_dump(a) == 0
    assert b"rpc-request" in lib.criu_local_get_errmsg(b), lib.criu_local_get_errmsg(b)
    assert lib.criu_local_get_errmsg(a) == b""
    lib.criu_local_free_opts(a)
    lib.criu_local_free_opts(b)


main()
