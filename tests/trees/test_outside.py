#!/usr/bin/python3
"""Files that the caller of a restore brings: --inherit-fd, --external, --map; and what has to be refused of them."""
from cl import *
import fcntl, pty, termios

PROG = os.path.join(DIR, "prog.py")
TEXT = '''
import os, signal, sys
def say(*_):
    for fd in map(int, sys.argv[1:]):
        try:
            os.write(fd, b"%d said\\n" % fd)
        except OSError as e:
            print("E", fd, e, flush=True)
signal.signal(signal.SIGUSR1, say)
print("READY", flush=True)
while True:
    signal.pause()
'''


def speaker(*fds, log="out", wrap=None, **kw):
    """A program that writes to these descriptors at SIGUSR1."""
    with open(PROG, "w") as f:
        f.write(TEXT)
    out = os.path.join(DIR, log)
    if os.path.exists(out):
        os.unlink(out)
    pid = start(["/usr/bin/python3", "-S", PROG] + [str(f) for f in fds], log=log, pass_fds=fds, **kw)
    until("READY", 10, lambda: "READY" in open(out).read())
    return pid


def gone(pid, d, *more):
    dump(pid, d, *more)
    until("the dumped task to go", 5, lambda: not alive(pid))


def back(d, *more, fds=(), ok=True):
    p = subprocess.run([CL, "restore", "-D", d, "-o", "restore.log", "-v4", "-d", *map(str, more)], capture_output=True,
                       text=True, stdin=subprocess.DEVNULL, pass_fds=fds, timeout=60)
    assert (p.returncode == 0) == ok, "%s: %s%s" % (more, p.stderr, logs(("-D", d)))
    return p


def refused(d, pid, error, *more, fds=()):
    p = back(d, *more, fds=fds, ok=False)
    assert "[%s]" % error in p.stderr + p.stdout, "%s: %s" % (error, p.stderr)
    assert not stat(pid), "left behind"


def said(pid, fd, n):
    os.kill(pid, signal.SIGUSR1)
    got = b""
    while len(got) < n:
        more = os.read(fd, n - len(got))
        assert more, "the end of the file after %r" % got
        got += more
    return got


def mount_id(fd):
    return int(re.search(r"mnt_id:\t(\d+)", open("/proc/self/fdinfo/%d" % fd).read())[1])


def test_pipe():
    """Standard output is a pipe to somebody outside; after the restore it leads to another."""
    r, w = os.pipe()
    pid = speaker(w)
    key = os.readlink("/proc/%d/fd/%d" % (pid, w))
    d = images()
    gone(pid, d)
    os.close(w)
    assert os.read(r, 10) == b""
    r2, w2 = os.pipe()
    spelled = key.replace(":[", "[")
    refused(d, pid, "inherit-unmatched", "--inherit-fd", "fd[%d]:pipe:[1]" % w2, fds=(w2,))
    refused(d, pid, "inherit-mode", "--inherit-fd", "fd[%d]:%s" % (r2, key), fds=(r2,))
    refused(d, pid, "inherit-closed", "--inherit-fd", "fd[77]:%s" % key)
    refused(d, pid, "option-value", "--inherit-fd", "77:%s" % key)
    back(d, "--verify", "--inherit-fd", "fd[%d]:%s" % (w2, spelled), fds=(w2,))
    os.close(w2)
    assert said(pid, r2, len("%d said\n" % w)) == b"%d said\n" % w
    os.kill(pid, signal.SIGKILL)
    assert os.read(r2, 10) == b"", "somebody still has the pipe"


def test_both_ends():
    """The tree has both ends: one that we bring stands for the pipe."""
    r, w = os.pipe()
    pid = speaker(w, log="both", stdin=r)
    os.close(r)
    os.close(w)
    key = os.readlink("/proc/%d/fd/0" % pid)
    d = images()
    gone(pid, d)
    r2, w2 = os.pipe()
    back(d, "--inherit-fd", "fd[%d]:%s" % (w2, key), fds=(w2,))
    assert said(pid, r2, len("%d said\n" % w)) == b"%d said\n" % w
    a, b = os.stat("/proc/%d/fd/0" % pid), os.fstat(r2)
    assert (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino), "the read end is of another pipe"


def test_path():
    """A file by its path, with and without the slash; the mode must do."""
    log = os.path.join(DIR, "old.log")
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    pid = speaker(fd)
    os.close(fd)
    d = images()
    gone(pid, d)
    r, w = os.pipe()
    refused(d, pid, "inherit-mode", "--inherit-fd", "fd[%d]:%s" % (r, log), fds=(r,))
    back(d, "--verify", "--inherit-fd", "fd[%d]:%s" % (w, log[1:]), fds=(w,))
    assert said(pid, r, len("%d said\n" % fd)) == b"%d said\n" % fd
    assert os.path.getsize(log) == 0


def test_map():
    """One descriptor of one task; the other that shared the file keeps it."""
    log, new = os.path.join(DIR, "one.log"), os.path.join(DIR, "two.log")
    one = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    two = os.dup(one)
    pid = speaker(one, two)
    d = images()
    gone(pid, d)
    r, w = os.pipe()
    refused(d, pid, "map-unmatched", "--map", "%d:99=/dev/null" % pid)
    refused(d, pid, "map-unmatched", "--map", "%d:%d=/dev/null" % (pid + 1, one))
    refused(d, pid, "option-value", "--map", "%d:%d=relative" % (pid, one))
    refused(d, pid, "file-reg", "--map", "%d:%d=%s" % (pid, two, new))
    refused(d, pid, "inherit-mode", "--map", "%d:%d=fd[%d]" % (pid, two, r), fds=(r,))
    open(new, "w").close()
    back(d, "--verify", "--map", "%d:%d=%s" % (pid, two, new))
    os.kill(pid, signal.SIGUSR1)
    until("both files", 5, lambda: open(log).read() and open(new).read())
    assert open(log).read() == "%d said\n" % one and open(new).read() == "%d said\n" % two
    d = images()
    gone(pid, d)
    back(d, "--verify", "--map", "%d:%d=fd[%d]" % (pid, one, w), fds=(w,))
    assert said(pid, r, len("%d said\n" % one)) == b"%d said\n" % one


def test_external_file():
    """A file whose mount is gone for us, by its mount and inode."""
    there = os.path.join(DIR, "there")
    os.mkdir(there)
    subprocess.run(["mount", "-t", "tmpfs", "x", there], check=True)
    fd = os.open(os.path.join(there, "file"), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    subprocess.run(["umount", "-l", there], check=True)
    pid = speaker(fd)
    key = "file[%x:%x]" % (mount_id(fd), os.fstat(fd).st_ino)
    d = images()
    p = dump(pid, d, "--external", key, "--external", "file[1:1]", ok=False)
    assert p.returncode and "[external-unmatched]" in p.stderr, p.stderr
    p = dump(pid, d, "--external", "mnt[/x]:y", ok=False)
    assert p.returncode and "[external-type]" in p.stderr, p.stderr
    os.kill(pid, 0)
    d = images()
    gone(pid, d, "--external", key)
    refused(d, pid, "file-reg")
    refused(d, pid, "external-unmatched", "--external", "file[1:1]:/dev/null")
    back(d, "--verify", "--inherit-fd", "fd[%d]:%s" % (fd, key), fds=(fd,))
    os.lseek(fd, 0, os.SEEK_SET)
    until("the file", 5, lambda: os.pread(fd, 100, 0) if not os.kill(pid, signal.SIGUSR1) else 0)


def test_external_device():
    """A device that is in no table, by a name of our own, and another one in its place."""
    node = os.path.join(DIR, "device")
    os.mknod(node, 0o600 | 0o020000, os.makedev(10, 235))
    try:
        fd = os.open(node, os.O_RDONLY)
    except OSError as e:
        raise Skip("no autofs device: %s" % e)
    pid = speaker(fd)
    os.close(fd)
    d = images()
    p = dump(pid, d, ok=False)
    assert p.returncode and "[file-kind]" in p.stderr, p.stderr
    d = images()
    gone(pid, d, "--external", "dev[10/235]:MINE")
    refused(d, pid, "file-reg")
    back(d, "--verify", "--external", "dev[MINE]:/dev/zero")
    assert os.readlink("/proc/%d/fd/%d" % (pid, fd)) == "/dev/zero"


def test_external_terminal():
    """A session on a terminal from outside gets another one, with its settings, as its controlling terminal."""
    m, s = pty.openpty()
    attr = termios.tcgetattr(s)
    attr[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(s, termios.TCSANOW, attr)
    pid = speaker(s, preexec_fn=lambda: fcntl.ioctl(s, termios.TIOCSCTTY, 0))
    st = os.fstat(s)
    key = "tty[%x:%x]" % (st.st_rdev, st.st_dev)
    d = images()
    p = dump(pid, d, ok=False)
    assert p.returncode and "[tty-outside]" in p.stderr, p.stderr
    gone(pid, images(), "--external", key)
    m2, s2 = pty.openpty()
    refused(d, pid, "file-tty")
    back(d, "--verify", "--inherit-fd", "fd[%d]:%s" % (s2, key), fds=(s2,))
    assert said(pid, m2, len("%d said\r\n" % s)) == b"%d said\r\n" % s
    assert termios.tcgetattr(s2)[3] & (termios.ECHO | termios.ICANON) == 0, "settings"
    assert int(open("/proc/%d/stat" % pid).read().rsplit(")", 1)[1].split()[4]) == os.fstat(s2).st_rdev, "controlling terminal"


def test_external_namespace():
    """A network that only the task keeps: named at the dump, and brought by the caller."""
    links = []
    for _ in range(2):
        other = start(["unshare", "-n", "sleep", "100"], log="other")
        until("a network", 5, lambda: os.readlink("/proc/%d/ns/net" % other) != os.readlink("/proc/self/ns/net"))
        links.append(os.open("/proc/%d/ns/net" % other, os.O_RDONLY))
        os.kill(other, signal.SIGKILL)
        until("its end", 5, lambda: not alive(other))
    fd, fd2 = links
    pid = speaker(fd)
    name = "net[%d]" % os.fstat(fd).st_ino
    d = images()
    p = dump(pid, d, ok=False)
    assert p.returncode and "[ns-outside]" in p.stderr and name in p.stderr, p.stderr
    gone(pid, images(), "--external", name + ":backbone")
    refused(d, pid, "file-ns")
    back(d, "--verify", "--inherit-fd", "fd[%d]:backbone" % fd2, fds=(fd2,))
    assert os.stat("/proc/%d/fd/%d" % (pid, fd)).st_ino == os.fstat(fd2).st_ino


main()
