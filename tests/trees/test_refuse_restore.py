#!/usr/bin/python3
"""Restores that have to be refused: status 1, one line for each cause, nothing left behind, the image untouched,
and once the cause is gone the image restores."""
from busylib import *

WORK = os.path.join(DIR, "work")
PROG = os.path.join(DIR, "prog")
DATA = os.path.join(DIR, "data")
NOT_COVERED = re.compile(r"\.log$|^stats-|^\.")


class Image:
    """A dumped small tree (two processes, a zombie, a stopped one), and how it has to be refused."""

    def __init__(self, name="img", **kw):
        os.makedirs(WORK, exist_ok=True)
        if not os.path.exists(PROG):
            shutil.copy(BUSY, PROG)
        with open(DATA, "wb") as f:
            f.write(b"data " * 1000)
        self.b = Busy(3, 3, files=[DATA], name=name + ".report", prog=PROG, **kw)
        self.d = images(name)
        dump(self.b.pid, self.d)
        until("the dumped tree to go", 5, self.b.gone)
        self.quiet, self.was, self.around = everybody(), contents(self.d), mounts()

    def files(self):
        return [f for f in sorted(os.listdir(self.d)) if not NOT_COVERED.search(f)]

    def refused(self, says, d=None, lines=1, tool=None, changed=False):
        p = refused("restore", "-d", "-D", d or self.d, "-W", WORK, "-o", "restore.log", says=says, lines=lines, tool=tool)
        end = time.monotonic() + 2
        while everybody() - self.quiet and time.monotonic() < end:
            time.sleep(0.005)
        left = everybody() - self.quiet
        assert not left, "left behind: %s" % {p: stat(p) for p in left}
        assert mounts() == self.around, "mounts have changed"
        assert changed or contents(self.d) == self.was, "the image has changed"
        return p

    def refused_altered(self, name, how):
        """With one file altered, named on the line; the whole directory stays as it is, but for that."""
        before = contents(self.d)
        try:
            self.refused(re.escape(name), changed=True)
        except AssertionError as e:
            raise AssertionError("%s %s: %s" % (name, how, e)) from None
        assert contents(self.d) == before, "%s %s: the refusal has changed the image" % (name, how)

    def restores(self):
        assert contents(self.d) == self.was
        restore(self.d, "-W", WORK)
        self.b.unharmed("restored after a refusal")
        self.b.kill()


@contextlib.contextmanager
def moved_away(path):
    os.rename(path, path + ".away")
    try:
        yield
    finally:
        os.rename(path + ".away", path)


def taken(pid):
    """A process with this very pid."""
    for _ in range(50):
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write("%d" % (pid - 1))
        p = subprocess.Popen(["sleep", "100"])
        if p.pid == pid:
            # What is started next gets none of the pids that follow.
            with open("/proc/sys/kernel/ns_last_pid", "w") as f:
                f.write("%d" % (pid + 5000))
            return p
        p.kill()
        p.wait()
    raise Skip("pids cannot be chosen here")


def test_pid_taken():
    i = Image()
    p = taken(i.b.pids[-1])
    i.quiet = everybody()
    i.refused([r"\b%d\b" % p.pid, "sleep"])
    assert p.poll() is None, "the holder of the pid has been ended"
    p.kill()
    p.wait()
    i.quiet = everybody()
    i.restores()


def test_files():
    i = Image()
    with moved_away(DATA):
        i.refused(re.escape(DATA))
    i.restores()
    with open(DATA, "ab") as f:
        f.write(b"more")
    i.refused([re.escape(DATA), "size|bytes"])
    os.truncate(DATA, 10)
    i.refused([re.escape(DATA), "size|bytes"])
    with open(DATA, "wb") as f:
        f.write(b"data " * 1000)
    i.restores()
    with moved_away(DATA):
        os.mkdir(DATA)
        i.refused(re.escape(DATA))
        os.rmdir(DATA)
    i.restores()


def test_executable():
    i = Image()
    with moved_away(PROG):
        i.refused(re.escape(PROG))
    with moved_away(PROG):
        shutil.copy(shutil.which("true"), PROG)
        i.refused(re.escape(PROG))
        os.unlink(PROG)
    # Of the same size, and another build: the build id alone tells.
    data = open(PROG, "rb").read()
    at = data.find(b"GNU\0", data.find(b"\x14\0\0\0\x03\0\0\0GNU\0"))
    if at > 0:
        with moved_away(PROG):
            with open(PROG, "wb") as f:
                f.write(data[:at + 4] + bytes([data[at + 4] ^ 1]) + data[at + 5:])
            os.chmod(PROG, 0o755)
            i.refused([re.escape(PROG), "[Bb]uild.?id"])
            os.unlink(PROG)
    i.restores()


def test_all_at_once():
    i = Image()
    p = taken(i.b.pids[0])
    i.quiet = everybody()
    with moved_away(DATA), moved_away(i.b.path):
        i.refused([r"\b%d\b" % p.pid, re.escape(DATA), re.escape(i.b.path)], lines=3)
    p.kill()
    p.wait()
    i.quiet = everybody()
    i.restores()


def altered(path, data):
    with open(path, "r+b") as f:
        f.truncate(0)
        f.write(data)


def test_altered_images():
    i = Image()
    for name in i.files():
        path = os.path.join(i.d, name)
        data = open(path, "rb").read()
        if data:
            altered(path, data[:-1])
            i.refused_altered(name, "one byte shorter")
            altered(path, data[:len(data) // 2])
            i.refused_altered(name, "cut in half")
            altered(path, b"")
            i.refused_altered(name, "emptied")
        altered(path, data + b"\0")
        i.refused_altered(name, "one byte longer")
        altered(path, data)
        os.rename(path, DIR + "/away")
        i.refused_altered(name, "removed")
        os.rename(DIR + "/away", path)
    i.restores()


def test_flipped_bits():
    i, rnd = Image(), instants("flipped bits")
    sizes = {f: os.path.getsize(os.path.join(i.d, f)) for f in i.files()}
    names = [f for f in sizes if sizes[f]]
    for n in range(count("FLIPS", 30, 200)):
        # Half of them anywhere, half of them in a file by the way, as most bytes are memory.
        name = names[n // 2 % len(names)] if n % 2 else rnd.choices(names, [sizes[f] for f in names])[0]
        path, at, bit = os.path.join(i.d, name), rnd.randrange(sizes[name]), 1 << rnd.randrange(8)
        data = bytearray(open(path, "rb").read())
        data[at] ^= bit
        altered(path, data)
        i.refused_altered(name, "bit %#x of byte %d flipped" % (bit, at))
        data[at] ^= bit
        altered(path, data)
    i.restores()


def test_swapped_files():
    """Files of another run, of the same program and the same pids where possible."""
    i = Image()
    restore(i.d, "-W", WORK)
    i.b.unharmed("after restore")
    other = images("other")
    dump(i.b.pid, other)
    until("the dumped tree to go", 5, i.b.gone)
    swapped = 0
    for name in i.files():
        path = os.path.join(i.d, name)
        data, others = open(path, "rb").read(), text_of(os.path.join(other, name))
        if others is None or others == data:
            continue
        altered(path, others)
        if name == "inventory.img":
            i.refused("manifest|inventory", changed=True)
        else:
            i.refused_altered(name, "of another run")
        altered(path, data)
        swapped += 1
    assert swapped > 3
    i.restores()


def text_of(path):
    try:
        return open(path, "rb").read()
    except FileNotFoundError:
        return None


def test_unknown_version():
    i = Image()
    path = os.path.join(i.d, "inventory.img")
    data = open(path, "rb").read()
    # A magic, a length, and then field 1, the version: a varint of one byte.
    assert data[8] == 8 and data[9] == 2, data[:16]
    altered(path, data[:9] + b"\x63" + data[10:])
    i.refused(["inventory", "version 99|version|altered|bytes"], changed=True)
    if cl("seal", i.d, ok=False).returncode == 0:
        i.refused(["inventory", "version 99"], changed=True)
    shutil.rmtree(i.d)
    os.mkdir(i.d, 0o700)
    with open(path, "wb") as f:
        f.write(data[:4] + struct.pack("<I", 6) + b"\x08\x63\x10\x01\x20\x01")
    i.refused(["inventory", "version 99"], changed=True)


def test_not_an_image():
    i = Image()
    for d in (os.path.join(i.d, "inventory.img"), "/dev/null", DIR + "/nowhere"):
        i.refused(re.escape(d), d=d)
    empty = images("empty")
    i.refused("inventory", d=empty)
    assert not os.listdir(empty)
    i.restores()


def wrapper(name, *command):
    """A program that runs a command with its own arguments behind."""
    need(command[0])
    path = os.path.join(DIR, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\nexec %s \"$@\"\n" % " ".join(command))
    os.chmod(path, 0o755)
    return path


def without(*caps):
    """The tool as root without some capabilities."""
    return wrapper("without", "setpriv", "--bounding-set", ",".join("-" + c for c in caps), CL)


AS_USER = ("setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups")


def of_user():
    """A tree of an unprivileged user, and a directory of his."""
    home = os.path.join(DIR, "home")
    shutil.rmtree(home, ignore_errors=True)
    os.mkdir(home)
    for path, mode in ((DIR, 0o711), (home, 0o777)):
        os.chmod(path, mode)
    prog, out = home + "/prog", home + "/out"
    shutil.copy(BUSY, prog)
    open(out, "w").close()
    os.chmod(out, 0o666)
    return Busy(3, 3, name="home/report", prog=wrapper("home/run", *AS_USER, prog), log="home/out"), home


def test_missing_capability():
    i = Image()
    i.refused("CAP_CHECKPOINT_RESTORE", tool=without("sys_admin", "checkpoint_restore"))
    i.restores()


def test_missing_capability_other_user():
    b, home = of_user()
    d = images()
    dump(b.pid, d)
    until("the dumped tree to go", 5, b.gone)
    refused("restore", "-d", "-D", d, "-W", home, "-o", "restore.log", says="CAP_SETUID", tool=without("setuid"))
    assert b.gone()
    restore(d)
    b.unharmed("after restore")
    b.kill()


def test_few_capabilities():
    """A tree of one's own needs none that the kernel does not ask for."""
    b, home = of_user()
    tool = wrapper("few", *AS_USER, "--inh-caps=+checkpoint_restore", "--ambient-caps=+checkpoint_restore", CL)
    if not os.access(CL, os.X_OK) or subprocess.run([*AS_USER, "test", "-x", CL]).returncode:
        shutil.copy(CL, home + "/tool")
        tool = wrapper("few", *AS_USER, "--inh-caps=+checkpoint_restore", "--ambient-caps=+checkpoint_restore", home + "/tool")
    d = home + "/img"
    os.mkdir(d)
    os.chown(d, 1234, 1234)
    dump(b.pid, d, tool=tool)
    until("the dumped tree to go", 5, b.gone)
    restore(d, tool=tool)
    b.unharmed("after restore")
    b.kill()


main()
