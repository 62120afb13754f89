#!/usr/bin/python3
"""Doors of a user who may not mount: the service attaches them, to what is the user's own only. They come back with
the owners that they had."""
import ctypes
import struct
from cl import *

BUILD = os.environ.get("BUILD", os.path.dirname(CL))
NOBODY = 65534
STORE = "/run/door"
ATTACHER = STORE + "/attach"
NAMES = ["a", "a2", "p", "u"]


def own_run():
    if os.path.ismount("/run"):
        return
    p = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
    if p.returncode:
        raise Skip("no mounts: " + p.stderr.strip())


def attached(path):
    return os.path.exists(path) and os.stat(path).st_mode & 0o1000


def service():
    pid = start([CL, "service", "--address", DIR + "/sock", "--attach-doors"], log="service")
    # The door of a service that has ended may still be there for a moment.
    def serves():
        said = cl("door", "info", ATTACHER, ok=False)
        return not said.returncode and "server -1" not in said.stdout
    until("the service's door", 10, lambda: attached(ATTACHER) and serves())
    return pid


def place():
    """A directory of the user's own, where programs are that it may run."""
    d = tempfile.mkdtemp(dir="/dev/shm")
    for f in (CL, BUILD + "/tests/trees/doorset"):
        shutil.copy(f, d)
        os.chmod(os.path.join(d, os.path.basename(f)), 0o755)
    os.chown(d, NOBODY, NOBODY)
    return d


def as_user(d, *argv):
    return subprocess.run([os.path.join(d, argv[0]), *argv[1:]], cwd=d, user=NOBODY, group=NOBODY, extra_groups=[],
                          capture_output=True, text=True, timeout=20)


def server(d):
    log = os.path.join(d, "log")
    pid = start([d + "/doorset", "server"], cwd=d, log="log", user=NOBODY, group=NOBODY, extra_groups=[])
    until("READY", 10, lambda: "READY" in open(log).read() or not alive(pid))
    return pid


def answers(d):
    return [as_user(d, "doorset", "call", n).stdout.split("\n")[1] for n in NAMES]


def owners():
    """Of everything in the store, by name; a ticket made anew has another link."""
    out = []
    for at, dirs, files in os.walk(STORE):
        for f in dirs + files:
            st = os.lstat(os.path.join(at, f))
            out.append(("s." if f.startswith("s.") else os.path.join(at, f), st.st_mode, st.st_uid, st.st_gid))
    return sorted(out)


def end(d):
    for n in NAMES:
        subprocess.run(["umount", "-l", os.path.join(d, n)], capture_output=True)
    shutil.rmtree(d)


def test_without_a_service():
    own_run()
    d = place()
    pid = server(d)
    until("its end", 10, lambda: not alive(pid))
    assert "a: Operation not permitted" in open(d + "/log").read()
    end(d)


def test_doors_of_a_user():
    own_run()
    svc, d = service(), place()
    pid = server(d)
    assert alive(pid), open(d + "/log").read()
    assert answers(d) == ["answer a", "answer a", "answer p", "answer u"], answers(d)
    assert os.stat(d + "/a").st_uid == NOBODY and attached(d + "/a")
    # Dumped and restored, with the store as it is and as after a boot.
    before = owners()
    assert any(o[2] == NOBODY for o in before)
    cycle(pid)
    assert (owners(), answers(d)) == (before, ["answer a", "answer a", "answer p", "answer u"])
    os.kill(svc, signal.SIGTERM)
    until("the service's end", 10, lambda: not attached(ATTACHER))
    before = [o for o in owners() if o[2] == NOBODY]
    img = images()
    dump(pid, img)
    for n in NAMES:
        subprocess.run(["umount", "-l", d + "/" + n], check=True)
    subprocess.run(["umount", "-l", STORE], check=True)
    restore(img)
    assert answers(d) == ["answer a", "answer a", "answer p", "answer u"]
    assert owners() == before, (owners(), before)
    # Taken off by their owner, with another service; the file is seen again.
    service()
    assert as_user(d, "criu-lite", "door", "detach", d + "/a").returncode == 0
    assert not attached(d + "/a") and answers(d)[:2] == ["error EBADF", "answer a"]
    end(d)


class Desc(ctypes.Structure):
    _pack_ = 4
    _fields_ = [("attributes", ctypes.c_uint), ("fd", ctypes.c_int), ("id", ctypes.c_uint64), ("rest", ctypes.c_int * 2)]


class Args(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("desc", ctypes.c_void_p),
                ("nr", ctypes.c_uint), ("rbuf", ctypes.c_void_p), ("rsize", ctypes.c_size_t)]


def errand(lib, op, *fds, magic=0x65646c63):
    """What the service says to who does not use fattach(): an errno."""
    out = ctypes.create_string_buffer(64)
    descs = (Desc * 2)(*[Desc(0x10000, fd) for fd in fds])
    a = Args(struct.pack("II", magic, op), 8, ctypes.cast(descs, ctypes.c_void_p), len(fds),
             ctypes.cast(out, ctypes.c_void_p), 64)
    fd = os.open(ATTACHER, os.O_RDWR)
    assert lib.door_call(fd, ctypes.byref(a)) == 0, os.strerror(ctypes.get_errno())
    return struct.unpack("i", out.raw[:4])[0]


def hostile(d):
    lib = ctypes.CDLL(d + "/libdoor.so", use_errno=True)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)

    def path(name):
        return os.open(name, os.O_PATH)

    open(d + "/mine", "w").close()
    open(d + "/read-only", "w").close()
    os.chmod(d + "/read-only", 0o400)
    ticket, mine = path(d + "/a2"), path(d + "/mine")
    got = {
        "root's file": errand(lib, 1, ticket, path("/etc/passwd")),
        "a directory": errand(lib, 1, ticket, path(d)),
        "no ticket": errand(lib, 1, mine, mine),
        "root's ticket": errand(lib, 1, path(ATTACHER), mine),
        "not to write to": errand(lib, 1, ticket, path(d + "/read-only")),
        "a path that has one": errand(lib, 1, ticket, path(d + "/a2")),
        "take off root's": errand(lib, 2, path(ATTACHER)),
        "take off no door": errand(lib, 2, mine),
        "take off what is not by its path": errand(lib, 2, os.open(STORE, os.O_PATH)),
        "another magic": errand(lib, 1, ticket, mine, magic=1),
        "no descriptors": errand(lib, 1),
        "another errand": errand(lib, 7, ticket, mine),
    }
    assert errand(lib, 1, ticket, mine) == 0 and attached(d + "/mine")
    assert errand(lib, 2, path(d + "/mine")) == 0 and not attached(d + "/mine")
    print(json.dumps(got))


def test_who_does_not_keep_to_the_rules():
    own_run()
    d = place()
    if os.environ.get("LD_PRELOAD") or not os.path.exists(BUILD + "/lib/libdoor.so"):
        raise Skip("no libdoor.so to load")
    shutil.copy(BUILD + "/lib/libdoor.so", d)
    service()
    server(d)
    p = subprocess.run([sys.executable, __file__, "--hostile", d], capture_output=True, text=True, timeout=30)
    if "cannot open shared object" in p.stderr or "libasan" in p.stderr:
        raise Skip(p.stderr.strip().splitlines()[-1])
    assert p.returncode == 0, p.stderr
    got = json.loads(p.stdout)
    assert got == {"root's file": 1, "a directory": 1, "no ticket": 1, "root's ticket": 1, "not to write to": 13,
                   "a path that has one": 16, "take off root's": 1, "take off no door": 22,
                   "take off what is not by its path": 22, "another magic": 1, "no descriptors": 22,
                   "another errand": 22}, got
    end(d)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hostile"]:
        hostile(sys.argv[2])
    else:
        main()
