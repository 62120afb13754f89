#!/usr/bin/python3
"""Unix sockets of several processes: files in flight that are opened late, and dumps killed while they look at queues."""
from cl import *
import random, socket

SO_PEEK_OFF, SO_PASSCRED = 42, 16
PROG = os.path.join(DIR, "prog.py")

# A pair across two tasks; a pipe end in its queue, opened after 900 files of another task.
FLIGHT = '''
import array, os, signal, socket, sys
a, b = socket.socketpair()
files = [os.dup(1) for _ in range(900)]
r, w = os.pipe()
a.send(b"data, ")
a.sendmsg([b"and a pipe"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [r]))])
pid = os.fork()
if pid:
    b.close()
    os.close(w)
else:
    a.close()
    for f in files:
        os.close(f)
os.close(r)
def check(*_):
    data, control, _, _ = b.recvmsg(100, 100, socket.MSG_DONTWAIT)
    fds = array.array("i", control[0][2])
    os.write(w, b"works")
    print("OK" if (data, os.read(fds[0], 10)) == (b"data, and a pipe", b"works") else "BAD", flush=True)
    b.sendmsg([b"back"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fds[0]]))])
    print("OK" if b.getsockopt(1, 17, 12)[:4] == os.getppid().to_bytes(4, "little") else "BAD", flush=True)
if not pid:
    signal.signal(signal.SIGUSR1, check)
print("READY", pid, flush=True)
while True:
    signal.pause()
'''

QUEUES = '''
import array, os, signal, socket
pairs = [socket.socketpair(socket.AF_UNIX, k) for k in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_STREAM) * 30]
for n, (a, b) in enumerate(pairs):
    for i in range(5):
        a.sendmsg([b"message %d" % i], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [n % 3]))])
def check(*_):
    for a, b in pairs:
        for i in range(5):
            got = b.recvmsg(9, 100, socket.MSG_PEEK | socket.MSG_DONTWAIT)[0]
            got2, control, _, _ = b.recvmsg(9, 100, socket.MSG_DONTWAIT)
            for fd in array.array("i", control[0][2]):
                os.close(fd)
            a.sendmsg([got2], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1]))])
            if got != got2 or got2 != b"message %d" % i:
                print("BAD", got, got2, flush=True)
    print("OK", flush=True)
signal.signal(signal.SIGUSR1, check)
print("READY", *(b.fileno() for a, b in pairs), flush=True)
while True:
    signal.pause()
'''


# Messages without a byte, before and behind others; the peers of some are closed.
EMPTY = '''
import signal, socket
kinds = (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET)
pairs = [socket.socketpair(socket.AF_UNIX, k) for k in kinds * 2]
sent = [b"", b"", b"one", b"", b"two", b"", b""]
for a, b in pairs:
    for m in sent:
        a.send(m)
pairs[2][0].close()
pairs[3][0].close()
def check(*_):
    for a, b in pairs:
        b.setsockopt(socket.SOL_SOCKET, 16, 1)
        got = []
        for _ in range(8):
            try:
                data, control, _, _ = b.recvmsg(100, 100, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            if control:
                got.append(data)
        print("OK" if got == sent else "BAD %s" % got, flush=True)
signal.signal(signal.SIGUSR1, check)
print("READY", flush=True)
while True:
    signal.pause()
'''


# Many processes are connected to a name that is deleted.
DELETED = '''
import os, signal, socket
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.bind(os.getcwd() + "/deleted")
for n in range(20):
    if not os.fork():
        to.close()
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.connect(os.getcwd() + "/deleted")
        signal.signal(signal.SIGUSR1, lambda *_: s.send(b"here"))
        s.send(b"ready")
        while True:
            signal.pause()
for n in range(20):
    to.recv(10)
os.unlink("deleted")
def check(*_):
    print("OK" if [to.recv(10) for n in range(20)] == [b"here"] * 20 else "BAD", flush=True)
signal.signal(signal.SIGUSR1, check)
print("READY", flush=True)
while True:
    signal.pause()
'''


def begin(text):
    with open(PROG, "w") as f:
        f.write(text)
    out = os.path.join(DIR, "out")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(out)
    pid = start(["/usr/bin/python3", "-S", PROG])
    until("READY", 20, lambda: "READY" in open(out).read())
    # A signal that comes before pause(2) would be found only when that returns.
    for _ in range(2):
        time.sleep(0.02)
        until("all to sleep", 20, lambda: all(stat(p)["state"] == "S" for p in tree(pid)))
    return pid, out


def lines(out, word):
    return open(out).read().count(word)


def poke(pid, out, ok):
    """SIGUSR1, until OK was said so often: one that comes before pause(2) goes on is found when that returns."""
    for _ in range(5):
        os.kill(pid, signal.SIGUSR1)
        with contextlib.suppress(AssertionError):
            until("an answer", 2, lambda: lines(out, "OK") >= ok or lines(out, "Trace"))
            break
    assert lines(out, "OK") == ok and not lines(out, "BAD") and not lines(out, "Trace"), open(out).read()[-2000:]


def test_files_in_flight_every_time():
    for _ in range(count("FLIGHTS", 5, 100)):
        pid, out = begin(FLIGHT)
        child = [p for p in tree(pid) if p != pid][0]
        cycle(pid)
        poke(child, out, 2)
        stop_all()


def test_deleted_name():
    pid, out = begin(DELETED)
    for n in range(count("DELETED", 3, 50)):
        cycle(pid)
        for child in tree(pid):
            if child != pid:
                os.kill(child, signal.SIGUSR1)
        until("all to sleep", 20, lambda: all(stat(p)["state"] == "S" for p in tree(pid)))
        time.sleep(0.05)
        poke(pid, out, n + 1)
    stop_all()


ACCEPTED = r'''
import os, socket, struct
at = os.getcwd() + "/accepted"
l = socket.socket(socket.AF_UNIX)
l.bind(at)
l.listen(1)
print("READY", flush=True)
s, _ = l.accept()
while True:
    s.recv(100)
    print(struct.unpack("iii", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1:], flush=True)
    s, _ = l.accept()
'''


def test_client_that_lives_on_outside():
    """It has closed its end, and its pid cannot be had again: the server goes on, and is verified."""
    pid, out = start(["/usr/bin/python3", "-c", ACCEPTED], log="served"), os.path.join(DIR, "served")
    until("the server", 10, lambda: "READY" in open(out).read())
    for n in range(1, 3):
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(os.path.join(DIR, "accepted"))
            c.send(b"x")
            until("the server to read", 10, lambda: len(open(out).readlines()) == n + 1)
        cycle(pid)
        assert open(out).readlines()[-1] == "(0, 0)\n"


def test_messages_without_a_byte():
    pid, out = begin(EMPTY)
    d = images("empty")
    dump(pid, d)
    until("the dumped task to go", 5, lambda: not alive(pid))
    restore(d)
    poke(pid, out, 4)
    os.kill(pid, signal.SIGKILL)


def test_messages_that_cannot_be_seen():
    """Once they were peeked at nobody can: refused where that can be told, and all are still there."""
    pid, out = begin(EMPTY)
    dump(pid, images("first"), "-R")
    p = dump(pid, images("second"), ok=False)
    assert "[unix-queue]" in p.stderr and "4 packets without a byte" in p.stderr, p.stderr
    poke(pid, out, 4)
    os.kill(pid, signal.SIGKILL)


def option(pidfd, fd, name):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    local = libc.syscall(438, pidfd, fd, 0)
    val, size = ctypes.c_int(99), ctypes.c_uint(4)
    libc.getsockopt(local, 1, name, ctypes.byref(val), ctypes.byref(size))
    os.close(local)
    return val.value


def test_killed_while_it_looks_at_queues():
    pid, out = begin(QUEUES)
    fds = [int(w) for w in open(out).read().split()[1:]]
    pidfd = os.pidfd_open(pid)
    took = []
    for _ in range(3):
        t = time.monotonic()
        dump(pid, images(), "-R")
        took.append(time.monotonic() - t)
    seed = int(os.environ.get("SEED", time.time()))
    print("# killed at queues: SEED=%d" % seed)
    rnd, left = random.Random(seed), lambda: [f for f in fds if option(pidfd, f, SO_PEEK_OFF) != -1 or option(pidfd, f, SO_PASSCRED)]
    for n in range(count("KILLED_DUMPS", 30, 1000)):
        p = subprocess.Popen([CL, "dump", "-t", str(pid), "-D", images(), "-o", "dump.log", "-R"], stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rnd.uniform(0, sorted(took)[1]))
        p.kill()
        p.wait()
        until("all peek offsets to be as they were, round %d" % n, 1, lambda: not left())
    poke(pid, out, lines(out, "OK") + 1)
    os.close(pidfd)


main()
