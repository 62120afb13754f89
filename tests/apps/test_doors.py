#!/usr/bin/python3
"""Doors of others (row 17 of docs/DOORS.md): the programs of chapter 15 of UNIX Network Programming, volume 2, in
$UNPV22E, and the tests of the FreeBSD implementation, in $FREEBSD_DOORS (its doors-test), both as they are."""
import pathlib
from cl import *

UNP, FREEBSD = os.environ.get("UNPV22E"), os.environ.get("FREEBSD_DOORS")
LIB = os.path.join(os.environ.get("BUILD", os.path.dirname(CL)), "lib/libdoor.a")
# As the library was built. The programs run under stdbuf, which preloads a library of its own.
SAN = ["-fsanitize=" + os.environ["SAN"]] if os.environ.get("SAN") else []
os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # theirs
SAN += ["-static-libasan"] if "address" in os.environ.get("SAN", "") else []
HEADERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../criu-lite/lib")

# What configure would find out here.
CONFIG = """
#define HAVE_DOOR_H 1
#define HAVE_FATTACH 1
#define HAVE_MQUEUE_H 1
#define HAVE_POLL_H 1
#define HAVE_PTHREAD_H 1
#define HAVE_SEMAPHORE_H 1
#define HAVE_STRINGS_H 1
#define HAVE_SYS_IPC_H 1
#define HAVE_SYS_MMAN_H 1
#define HAVE_SYS_SELECT_H 1
#define TIME_WITH_SYS_TIME 1
#define HAVE_BZERO 1
#define HAVE_VSNPRINTF 1
#define HAVE_GETHOSTNAME_PROTO 1
#define HAVE_GETRUSAGE_PROTO 1
#define HAVE_PSELECT_PROTO 1
#define HAVE_SHM_OPEN_PROTO 1
#define HAVE_SNPRINTF_PROTO 1
#define HAVE_SIGINFO_T_STRUCT 1
#define HAVE_TIMESPEC_STRUCT 1
"""

# Names that FreeBSD has and Linux has not, and its doors call differently. There a thread that binds serves at once.
FREEBSD_H = """
#include_next <door.h>
#include <sys/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stdint.h>
#define door_attach fattach
#define door_detach fdetach
typedef uintptr_t vm_offset_t;
typedef void *server_procedure(void *, char *, size_t, door_desc_t *, u_int);
#define strlcpy(to, from, size) snprintf(to, size, "%s", from)
#define door_bind(fd) (door_bind(fd) < 0 ? -1 : door_return(NULL, 0, NULL, 0))
"""


def shell(*argv, cwd=DIR):
    p = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    assert p.returncode == 0, "%s\n%s%s" % (" ".join(argv), p.stdout, p.stderr)


def mounts():
    if os.path.ismount("/run"):
        return
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode:
        raise Skip("mounting is not allowed here")


def book():
    """The programs, compiled with the book's own library."""
    if not UNP:
        raise Skip("UNPV22E is not set")
    need("gcc")
    mounts()
    top = os.path.join(DIR, "book")
    if os.path.isdir(top):
        return top
    for d in ("lib", "doors"):
        shutil.copytree(os.path.join(UNP, d), os.path.join(top, d))
    pathlib.Path(top, "config.h").write_text(CONFIG)
    # A link to the header in lib/, which some copies have as text.
    shutil.copy(top + "/lib/unpipc.h", top + "/doors/unpipc.h")
    # One of them yields as the threads of Solaris do.
    cc = ["gcc", "-w", "-std=gnu89", "-D_GNU_SOURCE", "-Dthr_yield=sched_yield", "-I" + HEADERS, *SAN]
    names = "error wrapdoor wrappthread wrapstdio wrapunix signal signal_intr timing tv_sub set_concurrency"
    sources = [top + "/lib/%s.c" % n for n in names.split() if os.path.exists(top + "/lib/%s.c" % n)]
    for s in sources:
        shell(*cc, "-c", s, "-o", s[:-1] + "o", cwd=top + "/lib")
    for p in pathlib.Path(top, "doors").glob("*.c"):
        shell(*cc, p.name, *[s[:-1] + "o" for s in sources], LIB, "-lm", "-pthread", "-o", p.stem, cwd=top + "/doors")
    return top


def server(top, name, *args, door=None, look=True):
    """Its output goes line by line to a file. Without a look nobody opens the door, which must be on a new path then."""
    out = os.path.join(DIR, name + ".out")
    pathlib.Path(out).write_text("")
    pid = start(["stdbuf", "-oL", top + "/doors/" + name, *args], log=name + ".out")
    for path in door or args:
        if not look:
            until("the door of " + name, 10, lambda: os.path.exists(path) and os.stat(path).st_mode & 0o1000)
            continue
        until("the door of " + name, 10, lambda: "PID = %d," % pid in client(top, "doorinfo", path))
    return pid, lambda: pathlib.Path(out).read_text()


def client(top, name, *args, **kw):
    p = subprocess.run([top + "/doors/" + name, *args], capture_output=True, text=True, timeout=60, **kw)
    return p.stdout + p.stderr


def stop(pid):
    os.kill(pid, signal.SIGKILL)
    until("a server to end", 10, lambda: not alive(pid))


def test_row_17_calls():
    top, door = book(), DIR + "/door"
    for i, want in ((1, "result: 81"), (2, "result: 81"), (3, "result: 81"), (4, "result: 81")):
        pid, out = server(top, "server%d" % i, door)
        text = client(top, "client%d" % i, door, "9")
        assert want in text, text
        if i == 3:
            # The result did not fit, and is in a new buffer, of a page.
            oval, ptr, rbuf, size = re.match(r"&oval = (\w+), data_ptr = (\w+), rbuf = (\w+), rsize  = (\d+)", text).groups()
            assert ptr == rbuf != oval and size == "4096", text
        if i == 4:
            text = until("the client's ids", 5, out)
            assert re.match(r"euid = 0, ruid = 0, pid = \d+\n", text), text
        info = client(top, "doorinfo", door)
        assert re.match(r"server PID = %d, uniquifier = \d+\n" % pid, info), info
        stop(pid)


def test_row_17_threads():
    """server5: a thread for every client at a time; server6: private threads, made by the program."""
    top, door = book(), DIR + "/door"
    for i in (5, 6):
        pid, out = server(top, "server%d" % i, door)
        begin = time.monotonic()
        clients = [subprocess.Popen([top + "/doors/client%d" % i, door, str(n)], stdout=subprocess.PIPE, text=True) for n in (11, 22, 33)]
        got = sorted(int(c.communicate(timeout=60)[0].split()[1]) for c in clients)
        assert got == [121, 484, 1089], got
        ids = re.findall(r"thread id (\d+), arg = (\d+)", out())
        assert len({a for a, _ in ids}) == 3 and sorted(int(b) for _, b in ids) == [11, 22, 33], out()
        if i == 6:
            assert out().count("my_thread: created server thread") == 4, out()
            assert ", DOOR_PRIVATE" in client(top, "doorinfo", door)
        stop(pid)


def test_row_17_private_pool():
    """tserver1: a thread of a private pool is asked for before door_create() returns, and waits for the descriptor."""
    top, door = book(), DIR + "/private"  # it wants to make the file
    pid, out = server(top, "tserver1", door)
    text = client(top, "tclient1", door)
    assert re.search(r"di_target = %d, di_proc = 0x\w+, di_data = 0x2c, di_attr = 2\n" % pid, text), text
    assert text.endswith("result: 1 9 36 81\n"), text
    text = until("the server's words", 5, lambda: "arg[0] = 1, arg[1] = 3, arg[2] = 6, arg[3]= 9" in out() and out())
    assert re.search(r"server called, thread id \d+, 32 bytes of arguments, cookie = 0x2c\neuid = 0, ruid = 0, pid = \d+\n", text), text
    # One thread, and another when that one had the call.
    assert text.count("created server thread") == 2, text
    stop(pid)


def test_row_17_two_doors():
    top = book()
    paths = re.findall(r'"(/[^"]+)"', open(top + "/doors/squareproc.h").read() + open(top + "/doors/sqrtproc.h").read())
    for p in paths:
        os.path.exists(p) and os.unlink(p)
    pid, out = server(top, "server7", door=paths)
    text = client(top, "client7", "77")
    assert text == "result: 5929 8.77496\n", text
    assert "squareproc: thread id" in out() and "sqrtproc: thread id" in out(), out()
    stop(pid)


def test_row_17_revoke():
    """The call under way finishes, the next one does not begin."""
    top, door = book(), DIR + "/door"
    for i in (8, 9):
        pid, out = server(top, "server%d" % i, door)
        text = client(top, "client%d" % i, door, "88")
        assert text == "result: 7744\n" and "arg = 88" in out(), (text, out())
        text = client(top, "client%d" % i, door, "88")
        assert "door_call error: Bad file descriptor" in text, text
        stop(pid)


def test_row_17_descriptor():
    top, door = book(), DIR + "/door"
    pid, _ = server(top, "serverfd1", door)
    pathlib.Path(DIR, "text").write_text("one line\nand another\n")
    assert client(top, "clientfd1", door, input=DIR + "/text\n") == "one line\nand another\n"
    text = client(top, "clientfd1", door, input="/no/such/file\n")
    assert text == "/no/such/file: can't open, No such file or directory\n", text
    stop(pid)


def test_row_17_interrupts():
    top, door = book(), DIR + "/door"
    # The server thread ends; a signal; a signal, and a second call; the client is ended by one, its thread cancelled.
    for i, want in ((1, "door_call error: Interrupted system call"), (2, "door_call error: Interrupted system call"),
                    (3, "calling door_call\ncalling door_call\nresult: 1089")):
        pid, out = server(top, "serverintr%d" % i, door)
        text = client(top, "clientintr%d" % i, door, "33")
        assert text.startswith(want), text
        if i == 3:
            until("both calls to end", 10, lambda: out().count("returning") == 2)
            assert out().count("called") == 2, out()
        stop(pid)
    pid, out = server(top, "serverintr4", door)
    client(top, "clientintr4", door, "44")
    until("the cancellation", 10, lambda: re.match(r"servproc cancelled, thread id \d+\n", out()))
    stop(pid)


def test_row_17_unreferenced():
    top, door = book(), DIR + "/door"
    pid, out = server(top, "serverunref1", door + "1", look=False)
    c = start([top + "/doors/clientunref1", door + "1", "44"], log="c.out")
    until("the call", 10, lambda: "arg = 44" in out())
    os.kill(c, signal.SIGKILL)
    time.sleep(1)
    assert "unreferenced" not in out(), "while the call is active"
    until("the delivery", 15, lambda: re.fullmatch(r"thread id \d+, arg = 44\ndoor unreferenced\n", out()))
    stop(pid)
    pid, out = server(top, "serverunref2", door + "2", look=False)
    assert client(top, "clientunref2", door + "2", "55") == "result: 3025\n"
    until("the delivery", 10, lambda: re.fullmatch(r"thread id (\d+), arg = 55\nthread id \1 returning\ndoor unreferenced\n", out()))
    stop(pid)


def test_row_17_freebsd():
    if not FREEBSD:
        raise Skip("FREEBSD_DOORS is not set")
    need("gcc")
    mounts()
    top = os.path.join(DIR, "freebsd")
    shutil.copytree(FREEBSD, top)
    inc = os.path.join(top, "inc")
    os.mkdir(inc)
    pathlib.Path(inc, "door.h").write_text(FREEBSD_H)
    shell("mount", "-t", "tmpfs", "tmpfs", "/home")
    os.mkdir("/home/bojan")
    pathlib.Path(inc, "longlong.h").write_text("#define HAVE_64BIT_LONG_LONG\n")  # what its make finds out
    fnv = [str(p) for p in pathlib.Path(top, "fnv").glob("hash_*.c")]
    for name in ("door_basic_test", "door_parallel_test"):
        shell("gcc", "-w", "-D_GNU_SOURCE", *SAN, "-I" + inc, "-I" + HEADERS, name + ".c", "door_helper.c", *fnv, LIB, "-pthread", "-o", name, cwd=top)
        # Servers and client begin at the same time, and the client does not wait.
        until(name + " to find its servers", 60, lambda: run_freebsd(top, name))


def run_freebsd(top, name):
    log = os.path.join(DIR, name + ".out")
    for door in os.listdir("/home/bojan"):
        subprocess.run(["umount", "/home/bojan/" + door], capture_output=True)
    with open(log, "w") as out:
        p = subprocess.Popen(["stdbuf", "-o0", "./" + name], cwd=top, stdout=out, stderr=out, start_new_session=True)
        status = p.wait(timeout=60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(p.pid, signal.SIGKILL)
    text = pathlib.Path(log).read_text()
    if "open door" in text or "Bad file descriptor" in text:
        return False
    assert status == 0 and "Assertion" not in text, text
    assert name != "door_basic_test" or "All done!" in text, text
    return True


main()
