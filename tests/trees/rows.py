"""The trees of test_engine.py: rows.py NAME sets one up, says READY, and checks itself at SIGUSR1."""
import array, ctypes, fcntl, os, resource, select, signal, socket, sys, termios, time

from common import check, done, libc, ready, same_file

CLONE_FILES = 0x400


def later_pids(first):
    """The next process gets this pid."""
    with open("/proc/sys/kernel/ns_last_pid", "w") as f:
        f.write(str(first - 1))


def born(body=None):
    """A child that runs body and then stands still; it is there when this returns."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(r)
        if body:
            body()
        os.close(w)
        while True:
            signal.pause()
    os.close(w)
    os.read(r, 1)
    os.close(r)
    return pid


def many_fds():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def eventfds(n, at):
    """n descriptions, at descriptors from at on."""
    for i in range(n):
        fd = os.eventfd(i)
        if fd != at + i:
            os.dup2(fd, at + i)
            os.close(fd)


def send_fd(sock, data, fd):
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])


def recv_fd(sock):
    data, anc, _, _ = sock.recvmsg(100, 100, socket.MSG_DONTWAIT)
    return data, array.array("i", anc[0][2])[0] if anc else -1


def row_01(pids):
    files = [os.open("file%d" % i, os.O_RDWR | os.O_CREAT) for i in range(40)]
    for fd in files:
        os.write(fd, b"0123456789")
    kids = []
    for pid in pids:
        later_pids(pid)
        kids.append(born(lambda: [os.dup2(fd, 900 - i) for i, fd in enumerate(files)]))
    check("pids", kids, pids)
    ready()
    for i, fd in enumerate(files):
        os.lseek(fd, i, os.SEEK_SET)
        for pid in kids:
            check("one description", same_file(os.getpid(), fd, pid, 900 - i), True)
            pos = int(open("/proc/%d/fdinfo/%d" % (pid, 900 - i)).read().split()[1])
            check("offset", pos, i)


def row_02(n):
    many_fds()
    eventfds(n, 100)
    born()
    ready()
    for i in range(n):
        check("counter", os.read(100 + i, 8) if i else b"\0" * 8, i.to_bytes(8, "little"))


def connections(n, name):
    """A listening socket, and both ends of connections through it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(name)
    listener.listen(n)
    ends = []
    for _ in range(n):
        c = socket.socket(socket.AF_UNIX)
        c.connect(name)
        ends.append((c, listener.accept()[0]))
    return listener, ends


def crossed(pairs, shared):
    """Each of two processes has to make sockets for the other, after files that both hold."""
    many_fds()
    eventfds(shared, 100)
    mine, ours = connections(pairs, "mine")
    its, theirs = connections(pairs, "its")
    across = [socket.socketpair() for _ in range(10)]
    for i, (a, b) in enumerate(across):
        late = os.open("late%d" % i, os.O_RDWR | os.O_CREAT)
        at = os.dup2(late, 2500 + i)
        os.close(late)
        send_fd(a, b"down%d" % i, at)
        send_fd(b, b"up%d" % i, at)

    def child():
        mine.close()
        for near, far in ours:
            far.close()
        for near, far in theirs:
            near.close()
        for a, _ in across:
            a.close()

    pid = born(child)
    its.close()
    for near, far in ours:
        near.close()
    for near, far in theirs:
        far.close()
    for _, b in across:
        b.close()
    return pid, [f for _, f in ours] + [n for n, _ in theirs], across


def row_03():
    pid, ends, _ = crossed(50, 20)
    ready()
    for i, s in enumerate(ends):
        s.setblocking(False)
        check("connected", s.send(b"over"), 4)
    check("the other is there", os.path.exists("/proc/%d" % pid), True)


def row_04():
    pid, _, across = crossed(20, 900)
    ready()
    for i, (a, _) in enumerate(across):
        data, fd = recv_fd(a)
        check("data", data, b"up%d" % i)
        check("descriptor", fd >= 0 and same_file(os.getpid(), fd, os.getpid(), 2500 + i), True)
        check("both have it", same_file(os.getpid(), 2500 + i, pid, 2500 + i), True)


def row_05():
    a, b = socket.socketpair(), socket.socketpair()
    send_fd(a[0], b"b in a", b[1].fileno())
    send_fd(b[0], b"a in b", a[1].fileno())
    outer, inner = select.epoll(), select.epoll()
    outer.register(inner.fileno(), select.EPOLLIN)
    r, w = os.pipe()
    inner.register(r, select.EPOLLIN)
    own = socket.socketpair()
    ring = select.epoll()
    ring.register(own[1].fileno(), select.EPOLLIN)
    send_fd(own[0], b"epoll in what it watches", ring.fileno())
    ready()
    for sock, other, text in ((a[1], b[1], b"b in a"), (b[1], a[1], b"a in b")):
        data, fd = recv_fd(sock)
        check("looped data", data, text)
        check("looped descriptor", same_file(os.getpid(), fd, os.getpid(), other.fileno()), True)
    check("nothing to read", outer.poll(0), [])
    os.write(w, b"x")
    check("by two epolls", outer.poll(0), [(inner.fileno(), select.EPOLLIN)])
    check("ready", ring.poll(0), [(own[1].fileno(), select.EPOLLIN)])
    data, fd = recv_fd(own[1])
    check("itself", same_file(os.getpid(), fd, os.getpid(), ring.fileno()), True)


def row_08():
    """Every low number is taken, as is the highest there can be."""
    many_fds()
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    fd = os.open("/dev/null", os.O_RDWR)
    for i in range(400):
        if not os.path.exists("/proc/self/fd/%d" % i):
            os.dup2(fd, i)
    os.dup2(fd, top)
    born()
    ready()
    missing = [i for i in [*range(400), top] if not os.path.exists("/proc/self/fd/%d" % i)]
    check("numbers", missing, [])


def row_10():
    with open("file", "w") as f:
        f.write("text")
    os.open("file", os.O_PATH)
    gone = os.open("gone", os.O_RDWR | os.O_CREAT)
    os.write(gone, b"deleted")
    os.unlink("gone")
    master, slave = os.openpty()

    def leads():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    leader = born(leads)
    r, w = os.pipe()
    shares = libc.syscall(56, CLONE_FILES | signal.SIGCHLD, 0, 0, 0, 0)
    if not shares:
        while True:
            signal.pause()
    ready()
    tty = open("/proc/%d/stat" % leader).read().rsplit(")", 1)[1].split()[4]
    check("controlling terminal", int(tty) != 0, True)
    new = os.open("/dev/null", os.O_RDWR)
    check("one table", same_file(os.getpid(), new, shares, new), True)
    os.lseek(gone, 0, os.SEEK_SET)
    check("deleted file", os.read(gone, 10), b"deleted")


ROWS = {"01-later": lambda: row_01([5000, 5001]), "01-earlier": lambda: row_01([700, 600]), "02-254": lambda: row_02(254),
        "02-1000": lambda: row_02(1000), "03": row_03, "04": row_04, "05": row_05, "08": row_08, "10": row_10}
ROWS[sys.argv[1]]()
done()
