#!/usr/bin/python3
"""The service is followed by a new one: under load, without a request lost; and what happens if the new one is no good.
Ends, sockets that a manager has opened, and sd_notify, too."""
import socket, threading
from rpclib import *

PIDFILE = os.path.join(DIR, "service.pid")
TOOL = os.path.join(DIR, "criu-lite")


def pid_now():
    try:
        return int(open(PIDFILE).read() or 0)
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def upgradable(*args):
    """A service that runs from a file of its own, so that the file can be replaced."""
    shutil.copy(CL, TOOL)
    with open(DIR + "/service.log", "w"):
        pass
    s = Service("--pidfile", PIDFILE, *args, tool=TOOL)
    try:
        until("the pidfile", 10, lambda: pid_now() == s.pid)
        yield s
    finally:
        last = pid_now() or s.pid
        os.kill(last, signal.SIGTERM)
        s.p.wait(30)
        until("the last service to end", 30, lambda: not alive(last))
    assert not os.path.exists(SOCK) and not os.path.exists(PIDFILE)


def log():
    return open(DIR + "/service.log").read()


class Load(threading.Thread):
    """A client that asks until it is told to end. Every request must be answered, and rightly."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.end, self.done, self.error = work, False, 0, None
        self.start()

    def run(self):
        try:
            while not self.end:
                self.work()
                self.done += 1
        except BaseException:
            self.error = traceback.format_exc()


def ask_once():
    with Client(connected(SOCK)) as c:
        assert good(c.ask(rpc.criu_req(type=rpc.VERSION))).version.major_number == 4


def ask_often():
    with Client(connected(SOCK)) as c:
        for _ in range(100):
            r = rpc.criu_req(type=rpc.FEATURE_CHECK, keep_open=True)
            r.features.mem_track = True
            good(c.ask(r))
            good(c.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))


def cycle_of_own(n):
    pid, fd = sleeper(log="out%d" % n), images_fd("img%d" % n)

    def work():
        with Client(connected(SOCK)) as c:
            r = request(rpc.DUMP, fd, pid=pid)
            r.keep_open = True
            good(c.ask(r), fd)
            assert good(c.ask(request(rpc.RESTORE, fd)), fd).restore.pid == pid
    return work


def follow(old, seconds=60):
    os.kill(old, signal.SIGUSR2)
    return until("the successor of %d; %s" % (old, log()[-500:]), seconds, lambda: pid_now() not in (0, old) and pid_now())


def test_upgrade_under_load():
    rounds = count("UPGRADES", 12, 50)
    with upgradable() as s:
        load = [Load(ask_once), Load(ask_often), Load(ask_often), Load(cycle_of_own(1)), Load(cycle_of_own(2))]
        pid, old = s.pid, [s.pid]
        for _ in range(rounds):
            pid = follow(pid)
            old.append(pid)
            before = [l.done for l in load]
            until("requests after the upgrade", 30, lambda: any(l.error for l in load) or
                  all(l.done > b for i, (l, b) in enumerate(zip(load, before)) if i not in (1, 2)))
        for l in load:
            l.end = True
        for l in load:
            l.join(60)
            assert not l.error and not l.is_alive(), l.error
        # Whoever was followed has finished and gone.
        until("the old ones to end", 30, lambda: not [p for p in old[:-1] if alive(p)])
        print("# %d upgrades, requests: %s" % (rounds, [l.done for l in load]))


def test_idle_connections_go_along():
    with upgradable() as s:
        cs = [s.connect() for _ in range(50)]
        for c in cs:
            good(c.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))
        pid = follow(s.pid)
        until("the old one to end", 10, lambda: s.p.poll() is not None)
        assert s.p.returncode == 0
        for c in cs:
            good(c.ask(rpc.criu_req(type=rpc.VERSION)))
        assert os.path.exists(SOCK) and alive(pid)


def test_relative_paths():
    """They mean the same to the successor, and to its own."""
    os.mkdir(DIR + "/sub")
    p = subprocess.Popen([CL, "service", "-W", "sub", "--address", "sock", "--pidfile", "pid", "-o", "log"], cwd=DIR)

    def now():
        with contextlib.suppress(OSError, ValueError):
            return int(open(DIR + "/sub/pid").read())
        return 0
    pid = until("the pidfile", 10, now)
    assert pid == p.pid
    for _ in range(2):
        old = pid
        os.kill(old, signal.SIGUSR2)
        pid = until("the successor", 20, lambda: now() not in (0, old) and now())
        with Client(connected(DIR + "/sub/sock")) as c:
            good(c.ask(rpc.criu_req(type=rpc.VERSION)))
    os.kill(pid, signal.SIGTERM)
    until("its end", 10, lambda: not alive(pid))
    p.wait(10)
    assert os.listdir(DIR + "/sub") == ["log"], os.listdir(DIR + "/sub")


def test_request_at_work_is_finished():
    """A dump waits for the consent of its caller while the service is followed twice."""
    with upgradable() as s:
        fd, pid = images_fd(), sleeper()
        c = s.connect()
        r = request(rpc.DUMP, fd, pid=pid, notify_scripts=True)
        r.keep_open = True
        c.send(r)
        assert c.recv().notify.script == "pre-dump"
        follow(follow(s.pid))
        assert s.p.poll() is None
        c.s.send(rpc.criu_req(type=rpc.NOTIFY, notify_success=True).SerializeToString())
        assert c.recv().notify.script == "post-dump"
        c.s.send(rpc.criu_req(type=rpc.NOTIFY, notify_success=True).SerializeToString())
        good(c.recv(), fd)
        # The connection is still good for more, whoever serves it.
        assert good(c.ask(request(rpc.RESTORE, fd)), fd).restore.pid == pid
        c.close()
        assert s.p.wait(10) == 0


def replace_by(text):
    with open(TOOL + ".new", "w") as f:
        f.write("#!/bin/sh\n" + text)
    os.chmod(TOOL + ".new", 0o755)
    os.rename(TOOL + ".new", TOOL)


def test_bad_successors():
    with upgradable() as s:
        c = s.connect()
        good(c.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))
        for text in ("exit 3\n", "exit 0\n", "kill -SEGV $$\n") + (("exec sleep 1000\n",) if FULL else ()):
            replace_by(text)
            refused(s, c)
        os.unlink(TOOL)
        refused(s, c)
        shutil.copy(CL, TOOL)
        assert follow(s.pid) != s.pid
        good(c.ask(rpc.criu_req(type=rpc.VERSION)))


def refused(s, c):
    at = len(log())
    os.kill(s.pid, signal.SIGUSR2)
    until("the refusal", 30, lambda: "not upgraded" in log()[at:])
    good(c.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))
    ask_once()
    assert pid_now() == s.pid
    assert len(tree(s.pid)) == 1, "the bad one is left"


def test_end_finishes_requests():
    s = Service()
    fd, pid = images_fd(), sleeper()
    idle, c = s.connect(), s.connect()
    good(idle.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))
    c.send(request(rpc.DUMP, fd, pid=pid, notify_scripts=True))
    assert c.recv().notify.script == "pre-dump"
    s.p.terminate()
    assert idle.recv() is None
    until("the socket to go", 10, lambda: not os.path.exists(SOCK))
    for _ in range(2):
        c.s.send(rpc.criu_req(type=rpc.NOTIFY, notify_success=True).SerializeToString())
        got = c.recv()
    good(got, fd)
    assert s.p.wait(10) == 0
    # And at once, if told twice.
    s = Service()
    pid = sleeper()
    c = s.connect()
    c.send(request(rpc.DUMP, images_fd(), pid=pid, notify_scripts=True))
    assert c.recv().notify.script == "pre-dump"
    s.p.terminate()
    until("the first to be taken", 10, lambda: not os.path.exists(SOCK))
    s.p.terminate()
    assert "told to end at once" in c.recv().cr_errmsg
    assert s.p.wait(10) == 0 and alive(pid)


def test_socket_activation():
    """As under systemd: the manager's listener, READY=1 and STOPPING=1; the socket outlives the service."""
    path = os.path.join(DIR, "activated.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as l, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n:
        l.bind(path)
        l.listen()
        n.bind(DIR + "/notify")
        n.settimeout(60)
        # A client is there before the service is.
        c = Client(connected(path))
        c.send(rpc.criu_req(type=rpc.VERSION, keep_open=True))
        env = dict(os.environ, LISTEN_FDS="1", NOTIFY_SOCKET=DIR + "/notify")
        code = "import os,sys;os.environ['LISTEN_PID']=str(os.getpid());os.dup2(int(sys.argv[1]),3);os.execv(sys.argv[2],sys.argv[2:])"
        p = subprocess.Popen([sys.executable, "-c", code, str(l.fileno()), CL, "service", "--pidfile", PIDFILE], env=env, pass_fds=[l.fileno()])
        assert n.recv(4096) == b"READY=1"
        good(c.recv())
        # Its successor is the main process then.
        new = follow(p.pid)
        assert n.recv(4096) == b"MAINPID=%d" % new
        assert p.wait(60) == 0
        good(c.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))
        os.kill(new, signal.SIGTERM)
        assert n.recv(4096) == b"STOPPING=1"
        until("the service to end", 60, lambda: not alive(new))
        assert c.recv() is None and os.path.exists(path)


def test_background_and_address():
    sock = os.path.join(DIR, "bg.sock")
    cl("service", "-d", "--address", sock, "--pidfile", PIDFILE, "-o", "bg.log", "-W", DIR)
    pid = until("the pidfile", 10, pid_now)
    c = Client(connected(sock))
    good(c.ask(rpc.criu_req(type=rpc.VERSION)))
    assert "service-address" in cl("service", "--address", sock, ok=False).stderr
    os.kill(pid, signal.SIGKILL)
    until("its end", 10, lambda: not alive(pid))
    # What a killed one has left is taken over.
    with Service(sock=sock):
        pass
    with Service(sock="@criu-lite test") as s:
        good(s.connect().ask(rpc.criu_req(type=rpc.VERSION)))
        assert "service-address" in cl("service", "--address", s.sock, ok=False).stderr
        s.stop = lambda: (s.p.terminate(), s.p.wait(10))


main()
