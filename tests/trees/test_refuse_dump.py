#!/usr/bin/python3
"""Dumps that have to be refused or fail: status 1, a line for each cause, no image, and the target is unharmed."""
import ctypes, socket
from busylib import *

libc = ctypes.CDLL(None, use_errno=True)
IMG = os.path.join(DIR, "img")
WORK = os.path.join(DIR, "work")


def no_dump(target, says, d=None, lines=1, more=(), **kw):
    os.makedirs(WORK, exist_ok=True)
    pid = target.pid if isinstance(target, Busy) else target
    p = refused("dump", "-t", pid, "-D", d or images(), "-W", WORK, "-o", "dump.log", *more, says=says, lines=lines, **kw)
    assert not os.path.exists(os.path.join(d or IMG, "inventory.img")), "an inventory was written"
    if isinstance(target, Busy):
        target.unharmed("after the refusal")
    return p


def mount(kind, where, data="", flags=0):
    os.makedirs(where, exist_ok=True)
    if libc.mount(kind.encode(), where.encode(), kind.encode(), flags, data.encode()):
        raise Skip("cannot mount a %s: %s" % (kind, os.strerror(ctypes.get_errno())))


def umount(where):
    libc.umount2(where.encode(), 2)


def test_disk_full():
    b, full = Busy(8, 3), os.path.join(DIR, "full")
    for size in ("4k", "16k", "64k", "256k"):
        mount("tmpfs", full, "size=" + size)
        no_dump(b, ["No space", "full|img|manifest|pages"], d=full)
        no_dump(b, ["No space"], d=full, more=["-R"])
        umount(full)
    cycle(b.pid)
    b.unharmed("after dump and restore")


def test_no_directory():
    b = Busy(2)
    no_dump(b, re.escape(DIR + "/nowhere"), d=DIR + "/nowhere")
    no_dump(b, re.escape(b.path), d=b.path)
    readonly = os.path.join(DIR, "readonly")
    mount("tmpfs", readonly, "", 1)
    no_dump(b, ["Read-only"], d=readonly)
    umount(readonly)
    gone = images("gone")
    fd = os.open(gone, os.O_RDONLY)
    os.rmdir(gone)
    # A directory that is held open, and deleted.
    os.set_inheritable(fd, True)
    p = subprocess.run([CL, "dump", "-t", str(b.pid), "-D", "/proc/self/fd/%d" % fd, "-W", WORK, "-o", "dump.log"],
                       capture_output=True, text=True, timeout=30, close_fds=False)
    os.close(fd)
    assert p.returncode == 1 and len(causes(p)) == 1, (p.returncode, p.stderr)
    b.unharmed("after the refusal")


def test_no_permission():
    need("setpriv")
    os.chmod(DIR, 0o711)
    home = os.path.join(DIR, "home")
    os.makedirs(home, exist_ok=True)
    os.chmod(home, 0o777)
    user = ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups"]
    tool, prog = home + "/tool", home + "/prog"
    shutil.copy(CL, tool)
    shutil.copy(BUSY, prog)
    wrapped = os.path.join(home, "as-user")
    with open(wrapped, "w") as f:
        f.write("#!/bin/sh\nexec %s %s \"$@\"\n" % (" ".join(user), tool))
    os.chmod(wrapped, 0o755)
    b = Busy(2, 0, name="home/report", prog=prog)
    d = images()
    refused("dump", "-t", b.pid, "-D", d, "-W", home, "-o", "dump.log", says="Permission denied", tool=wrapped)
    os.chmod(d, 0o755)
    refused("dump", "-t", b.pid, "-D", d, "-W", home, "-o", "dump.log", says=r"\b%d\b|[Pp]ermi" % b.pid, lines=None, tool=wrapped)
    assert not os.listdir(d), os.listdir(d)
    b.unharmed("after the refusal")


def test_no_process():
    no_dump(4194000, "4194000")
    no_dump(1, r"\b1\b")
    no_dump(os.getpid(), r"\b%d\b" % os.getpid())


def test_own_ancestor():
    """Who has started the tool, however long ago and through however many others, is not dumped by it."""
    os.makedirs(WORK, exist_ok=True)
    deep = os.path.join(DIR, "deep")
    with open(deep, "w") as f:
        f.write('[ $1 -gt 0 ] && { sh %s $(($1 - 1)) $2; exit $?; }\n%s dump -t $2 -D %s -W %s -o dump.log; exit $?\n' % (deep, CL, images(), WORK))
    for age in (0, 0.05):
        for between in range(3):
            p = subprocess.run(["sh", "-c", "sleep %g; sh %s %d $$; exit $?" % (age, deep, between)], capture_output=True, text=True, timeout=30)
            assert p.returncode == 1 and "[target-self]" in p.stderr and len(causes(p)) == 1, (age, between, p)
            assert not os.path.exists(os.path.join(IMG, "inventory.img")), (age, between)


def test_traced():
    b = Busy(4)
    if libc.ptrace(0x4206, b.pid, None, None):  # PTRACE_SEIZE
        raise Skip("ptrace is not permitted")
    try:
        b.look = b.outside()  # with us as the tracer
        p = refused("dump", "-t", b.pid, "-D", images(), "-o", "dump.log", says=[r"\b%d\b" % b.pid, r"\b%d\b" % os.getpid(), "trace"])
        assert not os.path.exists(IMG + "/inventory.img")
        b.runs("after the refusal")
        assert b.outside() == b.look
    finally:
        libc.kill(b.pid, 0)
    # The tracer goes: fork()ed tracers end with themselves, this one detaches by stopping the thread first.
    libc.ptrace(0x4207, b.pid, None, None)  # PTRACE_INTERRUPT
    os.waitpid(b.pid, 0x40000000)
    libc.ptrace(17, b.pid, None, None)  # PTRACE_DETACH
    b.look = b.outside()
    cycle(b.pid)
    b.unharmed("after dump and restore")


KINDS = r'''
import ctypes, os, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
fds = []
def add(name, fd):
    if fd >= 0:
        fds.append((fd, name))
params = ctypes.create_string_buffer(200)
add("io_uring", libc.syscall(425, 4, params))
add("landlock", libc.syscall(444, (ctypes.c_uint64 * 1)(1), 8, 0))
attr = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 1) + bytes(96))  # a software clock
add("perf", libc.syscall(298, attr, 0, -1, -1, 0))
for dev in ("/dev/fuse", "/dev/kmsg"):
    try:
        add(dev, os.open(dev, os.O_RDWR))
    except OSError:
        pass
print(" ".join("%d:%s" % f for f in fds), flush=True)
n = 0
while True:
    n += 1
    time.sleep(0.01)
    print(n, flush=True)
'''


def test_unsupported_kinds():
    """All that cannot be dumped is reported in one go."""
    pid, out = start(["/usr/bin/python3", "-c", KINDS], log="kinds"), os.path.join(DIR, "kinds")
    until("the descriptors", 10, lambda: len(text(out).splitlines()) > 1)
    fds = dict(f.split(":") for f in text(out).splitlines()[0].split())
    if len(fds) < 2:
        raise Skip("the kernel gives us none of these descriptors")
    before = look(pid)
    p = no_dump(pid, [r"\b(fd|descriptor) %s\b" % fd for fd in fds], lines=None)
    assert len(causes(p)) >= len(fds)
    left = [f for f in os.listdir(IMG) if f.endswith(".img")]
    assert not left, "files were written before the refusal: %s" % left
    grows(out)
    assert look(pid) == before


RING = r'''
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype, libc.mmap.argtypes = ctypes.c_void_p, [ctypes.c_size_t] * 6
ring = libc.syscall(425, 4, ctypes.create_string_buffer(200))
maps = [libc.mmap(0, 4096, 3, 1, ring, at) for at in (0, 0x10000000)]
print("no ring" if ring < 0 or -1 in maps or 2**64 - 1 in maps else "ring", flush=True)
while True:
    time.sleep(0.01)
    print(flush=True)
'''


def test_io_uring():
    """A ring is a descriptor and two mappings, and one cause."""
    pid, out = start(["/usr/bin/python3", "-c", RING], log="ring"), os.path.join(DIR, "ring")
    until("the ring", 10, lambda: "\n" in text(out))
    if text(out).startswith("no"):
        raise Skip("the kernel gives us no io_uring")
    no_dump(pid, ["io_uring", "switch"])
    grows(out)


def test_vfork():
    src, prog = os.path.join(DIR, "vf.c"), os.path.join(DIR, "vf")
    need("cc")
    with open(src, "w") as f:
        f.write("#include <unistd.h>\nint main(void) { if (vfork() == 0) for (;;) pause(); return 0; }\n")
    subprocess.run(["cc", "-w", "-o", prog, src], check=True)
    pid = start([prog])
    until("the child", 5, lambda: len(tree(pid)) == 2)
    no_dump(pid, [r"\b%d\b" % pid, "vfork"], lines=None)
    assert len(tree(pid)) == 2 and stat(pid)["state"] == "D" and stat(tree(pid)[1])["state"] == "S"


def test_timeout():
    """A task that sleeps uninterruptibly: it waits for a file system whose server never answers."""
    if not os.path.exists("/dev/fuse"):
        raise Skip("needs /dev/fuse")
    where, fd = os.path.join(DIR, "stuck"), os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    os.makedirs(where, exist_ok=True)
    if libc.mount(b"stuck", where.encode(), b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd):
        raise Skip("cannot mount: " + os.strerror(ctypes.get_errno()))
    try:
        out = os.path.join(DIR, "fuse")
        pid = start(["/usr/bin/python3", "-c", "import os, time\nn = 0\nwhile True:\n try: os.stat(%r)\n except OSError: pass\n"
                     " print(n, flush=True); n += 1; time.sleep(0.01)" % (where + "/x")], log="fuse")

        def stuck():
            # Reading from a disk it is in that state, too, for a moment.
            return not any(time.sleep(0.01) or stat(pid)["state"] != "D" for _ in range(20))
        until("the task to be stuck", 5, stuck)
        begin = time.monotonic()
        no_dump(pid, [r"\b%d\b" % pid, "uninterruptibl|stuck|time|did not stop"], more=["--timeout", "1"])
        took = time.monotonic() - begin
        assert 0.9 < took < 5, "--timeout 1 took %.1f s" % took
        assert stat(pid)["state"] == "D" and "TracerPid:\t0" in text("/proc/%d/status" % pid)
    finally:
        os.close(fd)
    # Its server gone, the call fails, and the program goes on.
    until("the program to go on", 10, lambda: len(text(out).splitlines()) > 3)
    umount(where)
    cycle(pid)
    grows(out)


def test_target_killed():
    """The target dies in the middle: a cause, no image, or all was done before."""
    rnd, limit = instants("targets killed"), 0.02
    refusals = 0
    for n in range(count("KILLED_TARGETS", 12, 200)):
        b, d = Busy(8, 3), images()
        begin, at = time.monotonic(), rnd.uniform(0, limit)
        pid = launch("dump", "-t", b.pid, "-D", d, "-W", DIR, "-o", "dump.log", "-R")
        time.sleep(at)
        os.kill(rnd.choice([b.pid, b.pid, b.proc(1)["pid"]]), signal.SIGKILL)
        status, when = wait(pid), "killed after %.2f ms" % (at * 1000)
        said = text(DIR + "/launch.out")
        limit = max(0.003, min(limit, (time.monotonic() - begin) * 1.1))
        assert status in (0, 1), "%s: status %d: %s" % (when, status, said)
        assert (status == 0) == os.path.exists(d + "/inventory.img"), "%s: status %d and the inventory: %s" % (when, status, said)
        if status:
            refusals += 1
            assert "Error:" in said, "%s: no cause" % when
        b.pids = [p for p in b.pids if alive(p)]
        kill_all(b.pids)
    print("# %d of %d dumps failed for it" % (refusals, n + 1))


main()
