"""A program under test that does what it is told, and who tells it.

As a program (puppet.py NAME) it takes lines of Python from the FIFO cmd.NAME and writes what each gives to res.NAME. As
a module it gives tests the class Puppet, and looks at locks from outside."""
import ctypes, errno, fcntl, mmap, os, queue, resource, select, signal, socket, struct, sys, threading, time

SETLK, SETLKW, GETLK, OFD_GETLK, OFD_SETLK, OFD_SETLKW = 6, 7, 5, 36, 37, 38
SETLEASE, GETLEASE, SETSIG, SETOWN_EX, GETOWN_EX = 1024, 1025, 10, 15, 16
R, W, U = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
libc = ctypes.CDLL(None, use_errno=True)
held = ctypes.PyDLL(None)  # keeps the interpreter's lock: for clone(2), whose child has no other thread to release it


def lock(fd, type, start=0, length=0, cmd=SETLK):
    """Takes a range: "ok", or the name of the error."""
    try:
        fcntl.fcntl(fd, cmd, struct.pack("hhqqi4x", type, 0, start, length, 0))
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]


def flock(fd, op):
    try:
        fcntl.flock(fd, op)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]


def lease(fd, type):
    try:
        fcntl.fcntl(fd, SETLEASE, type)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]


def take(kind, fd, type):
    if kind == "flock":
        return flock(fd, (fcntl.LOCK_EX if type == W else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    return lock(fd, type, 0, 10, SETLK if kind == "posix" else OFD_SETLK)


def asks(kind, fd, type, ours):
    """Would a lock be refused? "X" or "-". An own descriptor stays open: to close it would drop POSIX locks."""
    if kind == "flock":
        got = take(kind, fd, type)
        flock(fd, fcntl.LOCK_UN)
    else:
        ask = struct.pack("hhqqi4x", type, 0, 5, 1, 0)
        got = "EAGAIN" if struct.unpack("hhqqi4x", fcntl.fcntl(fd, GETLK if kind == "posix" else OFD_GETLK, ask))[0] != U else "ok"
    if ours:
        kept.append(fd)
    return "-" if got == "ok" else "X"


kept = []


def opens(path, flags):
    """A descriptor, or the name of the error."""
    try:
        return os.open(path, flags | os.O_CREAT, 0o666)
    except OSError as e:
        return errno.errorcode[e.errno]


def next_signal(*signals, timeout=0.0):
    """(signal, si_code, si_fd) of a pending one, or None. They must be blocked."""
    mask, info = (ctypes.c_ulong * 16)(), (ctypes.c_int * 32)()
    for s in signals:
        mask[0] |= 1 << (s - 1)
    got = libc.sigtimedwait(mask, info, struct.pack("qq", int(timeout), int(timeout % 1 * 1e9)))
    # struct siginfo of SIGPOLL: signo, errno, code, (gap), band, fd
    return (info[0], info[2], info[6]) if got > 0 else None


def say(name, seq, what):
    with open("res.%s.new" % name, "w") as f:
        f.write("%d %r" % (seq, what))
    os.rename("res.%s.new" % name, "res." + name)


def wait_signal(*signals):
    """As next_signal(), until there is one; sigtimedwait() ends when the task is stopped."""
    while True:
        got = next_signal(*signals, timeout=60)
        if got:
            return got


def does(code):
    """What an expression gives, None for a statement; an exception as text."""
    try:
        try:
            return eval(code, globals())
        except SyntaxError:
            return exec(code, globals())
    except Exception as e:
        return "%s: %s" % (type(e).__name__, e)


def serve(name):
    # The reader of commands must not be the last: the FIFO is open for both.
    fd, text = os.open("cmd." + name, os.O_RDWR), b""
    say(name, 0, os.getpid())
    while True:
        text += os.read(fd, 65536)
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            seq, code = line.decode().split(" ", 1)
            code = code.replace("\\n", "\n")
            say(name, int(seq), does(code))


def child(name, flags=0):
    """Another puppet below this one; with flags by clone(2)."""
    os.mkfifo("cmd." + name)
    pid = held.syscall(56, flags | signal.SIGCHLD, 0, 0, 0, 0) if flags else os.fork()
    if not pid:
        serve(name)
    return pid


background = {}


def bg(key, code):
    """Something that blocks, in a thread of its own."""
    background[key] = "blocked"
    threading.Thread(target=lambda: background.__setitem__(key, eval(code, globals())), daemon=True).start()


workers = {}


def worker(name):
    """A thread that does what on() asks for. Gives its id."""
    todo, done = queue.Queue(), queue.Queue()
    workers[name] = todo, done

    def run():
        done.put(threading.get_native_id())
        while True:
            code = todo.get()
            if code is None:
                return done.put(None)
            done.put(does(code))
    threading.Thread(target=run, daemon=True).start()
    return done.get()


def on(name, code):
    """What an expression gives in that thread; None ends it."""
    workers[name][0].put(code)
    return workers[name][1].get()


def apart():
    """The calling thread leaves the table of its process."""
    if libc.unshare(0x400):
        raise OSError(ctypes.get_errno(), "unshare(CLONE_FILES)")


def send_fd(sock, fd):
    socket.send_fds(sock, [b"x"], [fd])


def take_fd(sock):
    return socket.recv_fds(sock, 1, 1)[1][0]


# From here on: who tells it.


class Puppet:
    seq = {}

    def __init__(self, name="main", pid=None):
        import cl
        self.name, self.cl = name, cl
        if pid is None:
            for f in os.listdir(cl.DIR):
                if f.startswith(("cmd.", "res.")):
                    os.unlink(os.path.join(cl.DIR, f))
            os.mkfifo(os.path.join(cl.DIR, "cmd." + name))
            pid = cl.start([sys.executable, "-P", os.path.abspath(__file__), name])
        self.pid = pid
        Puppet.seq[name] = 0
        self.wait(0)

    def wait(self, seq, seconds=15):
        def answer():
            try:
                got = open(os.path.join(self.cl.DIR, "res." + self.name)).read().split(" ", 1)
            except FileNotFoundError:
                return None
            return got if int(got[0]) == seq else None
        return eval(self.cl.until("an answer of " + self.name, seconds, answer)[1])

    def tell(self, code):
        Puppet.seq[self.name] += 1
        fd = os.open(os.path.join(self.cl.DIR, "cmd." + self.name), os.O_WRONLY)
        os.write(fd, b"%d %s\n" % (Puppet.seq[self.name], code.replace("\n", "\\n").encode()))
        os.close(fd)
        return Puppet.seq[self.name]

    def __call__(self, code):
        """What an expression gives there."""
        return self.wait(self.tell(code))

    def child(self, name, flags=0):
        pid = self("child(%r, %d)" % (name, flags))
        return Puppet(name, pid)

    def blocked(self, key):
        return self("background[%r]" % key) == "blocked"


def kernel_locks(path):
    """What the kernel says about a file: sorted lines without their numbers; "->" stands for one who waits.

    Beyond a page /proc/locks skips lines while others change their locks: two readings have to agree.
    """
    was, now = None, read_locks(path)
    while was != now:
        was, now = now, read_locks(path)
    return now


def read_locks(path):
    st, out = os.stat(path), []
    dev = "%02x:%02x:%d" % (os.major(st.st_dev), os.minor(st.st_dev), st.st_ino)
    for line in open("/proc/locks"):
        words = line.split()[1:]
        if dev in words:
            words.remove(dev)
            out.append(" ".join(words))
    return sorted(out)


def probe(path, type, start=0, length=1):
    """Could somebody else lock this range? By a description of our own, which keeps nothing."""
    fd = os.open(path, os.O_RDWR)
    try:
        return lock(fd, type, start, length, OFD_SETLK)
    finally:
        os.close(fd)


def probe_flock(path, op):
    fd = os.open(path, os.O_RDONLY)
    try:
        return flock(fd, op | fcntl.LOCK_NB)
    finally:
        os.close(fd)


def fdinfo_locks(pid, fd):
    """Lock lines of a descriptor, without inode numbers."""
    return sorted(" ".join(l.split()[2:6] + l.split()[7:]) for l in open("/proc/%d/fdinfo/%d" % (pid, fd)) if l.startswith("lock:"))


if __name__ == "__main__":
    serve(sys.argv[1])
