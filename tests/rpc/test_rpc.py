#!/usr/bin/python3
"""The RPC by the service's socket and by swrk: every type of request, notifications, descriptors, configuration."""
from rpclib import *

ALL = [rpc.EMPTY, rpc.DUMP, rpc.RESTORE, rpc.CHECK, rpc.PRE_DUMP, rpc.PAGE_SERVER, rpc.NOTIFY, rpc.CPUINFO_DUMP, rpc.CPUINFO_CHECK,
       rpc.FEATURE_CHECK, rpc.VERSION, rpc.WAIT_PID, rpc.PAGE_SERVER_CHLD, rpc.SINGLE_PRE_DUMP]


@contextlib.contextmanager
def service_and_swrk():
    with Service() as s:
        yield [s.connect, swrk]


def round_trip(connect, sibling=False):
    pid, fd = sleeper(), images_fd()
    with connect() as c:
        good(c.ask(request(rpc.DUMP, fd, pid=pid, notify_scripts=True)), fd)
        assert [n for n, _ in c.notes] == ["pre-dump", "post-dump"], c.notes
    until("the dumped process to go", 5, lambda: not alive(pid))
    with connect() as c:
        got = good(c.ask(request(rpc.RESTORE, fd, notify_scripts=True, rst_sibling=sibling)), fd)
        assert got.restore.pid == pid, got
        assert ("post-restore", pid) in c.notes and ("pre-resume", pid) in c.notes, c.notes
    assert alive(pid)
    cl("diff", DIR + "/img", pid)
    os.close(fd)
    return pid


def test_dump_and_restore():
    with service_and_swrk() as ways:
        for connect in ways:
            round_trip(connect)


def test_restored_child():
    pid = round_trip(swrk, sibling=True)
    assert stat(pid)["ppid"] == os.getpid(), "it is no child of ours"
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[0] == pid
    with Service() as s, s.connect() as c:
        fd = images_fd()
        bad(c.ask(request(rpc.RESTORE, fd, rst_sibling=True)), "rst_sibling")


def test_child_of_the_caller():
    """Who waits for the answer cannot take note of its child's end meanwhile, and is not waited for."""
    with Service() as s:
        fd = images_fd()
        client = os.fork()
        if not client:
            try:
                quiet = {n: subprocess.DEVNULL for n in ("stdin", "stdout", "stderr")}
                child = subprocess.Popen(["sleep", "1000"], start_new_session=True, **quiet)
                with s.connect() as c:
                    got = c.ask(request(rpc.DUMP, fd, pid=child.pid, log_level=4, log_file="log"))
                os._exit(not got.success)
            finally:
                os._exit(2)
        assert os.waitpid(client, 0)[1] == 0
        log = log_of(fd, "log")
        assert "finished successfully" in log and "still hold their pids" not in log, log


HOLDER = r"""
import os, signal, socket, sys
d = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(40)]
for i, s in enumerate(d):
    s.bind("\0held.%d" % i)
    for j in range(8):
        d[i - 1].sendto(b"x" * 100, s.getsockname()) if j else s.sendto(b"own", s.getsockname())
l = socket.create_server(("127.0.0.1", 0))
pairs = [(socket.create_connection(l.getsockname()), l.accept()[0]) for _ in range(40)]
l.close()
for a, b in pairs:
    a.send(b"queued")
print(*(a.getsockname()[1] for a, _ in pairs), flush=True)
signal.pause()
"""


def test_names_and_ports_are_free_when_the_answer_is_there():
    """Whoever restores at once, here or on behalf of another, finds nothing of the tree's sockets."""
    with service_and_swrk() as ways:
        for connect in ways:
            for _ in range(5):
                out = os.path.join(DIR, "ports")
                p = subprocess.Popen(["/usr/bin/python3", "-c", HOLDER], stdin=subprocess.DEVNULL, stdout=open(out, "w"), stderr=subprocess.DEVNULL, start_new_session=True)
                until("the ports", 10, lambda: "\n" in open(out).read())
                fd = images_fd()
                with connect() as c:
                    good(c.ask(request(rpc.DUMP, fd, pid=p.pid, tcp_established=True)), fd)
                    held = []
                    for i in range(40):
                        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                            held += [i] if s.connect_ex("\0held.%d" % i) == 0 else []
                    for port in map(int, open(out).read().split()):
                        with socket.socket() as s:
                            try:
                                s.bind(("127.0.0.1", port))
                            except OSError as e:
                                held.append((port, e.errno))
                    assert not held, held
                p.wait()
                with connect() as c:
                    got = good(c.ask(request(rpc.RESTORE, fd, tcp_established=True)), fd)
                os.kill(got.restore.pid, signal.SIGKILL)
                until("the end", 5, lambda: not alive(got.restore.pid))
                os.close(fd)


def test_every_type_is_answered():
    with service_and_swrk() as ways:
        for connect in ways:
            for t in ALL:
                with connect() as c:
                    got = c.ask(rpc.criu_req(type=t))
                    assert got is not None, t
                    assert got.type == (rpc.EMPTY if t == rpc.NOTIFY else t), (t, got)
                    assert got.success == (t in (rpc.CHECK, rpc.VERSION)), (t, got)
                    assert got.success or got.cr_errmsg, (t, got)


def test_not_honoured():
    with service_and_swrk() as ways:
        for connect in ways:
            fd, pid = images_fd(), sleeper()
            for t, words in ((rpc.PRE_DUMP, "pre-dump"), (rpc.SINGLE_PRE_DUMP, "pre-dump"), (rpc.PAGE_SERVER, "page-server"),
                             (rpc.PAGE_SERVER_CHLD, "page-server")):
                with connect() as c:
                    bad(c.ask(request(t, fd, pid=pid)), words + " is not supported", r"\[command-unsupported\]")
            assert alive(pid)


def test_no_feature_without_its_use():
    """What a caller would ask for next is refused, so neither way of asking promises it, whatever the kernel has."""
    for name, wants in (("mem_dirty_track", "mem_track"), ("uffd-noncoop", "lazy_pages")):
        p = cl("check", "--feature", name, ok=False)
        assert p.returncode == 1 and "%s is not supported by this version [command-unsupported]" % name in p.stderr, p
        with service_and_swrk() as ways:
            for connect in ways:
                q = rpc.criu_req(type=rpc.FEATURE_CHECK)
                setattr(q.features, wants, True)
                with connect() as c:
                    got = good(c.ask(q))
                    assert got.features.HasField(wants) and not getattr(got.features, wants), got


def test_all_causes_at_once():
    fd, pid = images_fd(), sleeper()
    with swrk() as c:
        got = bad(c.ask(request(rpc.DUMP, fd, pid=pid, lsm_profile="x", empty_ns=1 << 30, cpu_cap=1)), "--empty-ns", "--cpu-cap")
        assert len(got.cr_errmsg.splitlines()) == 2, got
    assert alive(pid)
    log = log_of(fd)
    assert "Error (" in log and "--empty-ns" in log and "Dumping FAILED" in log, log


def test_not_a_request():
    with service_and_swrk() as ways:
        for connect in ways:
            for data in (b"x", b"\xff" * 100, b"\x08", bytes(range(256)), b"\0" * (1 << 17)):
                with connect() as c:
                    got = c.ask(data)
                    assert got.type == rpc.EMPTY and not got.success, got


def test_keep_open():
    with service_and_swrk() as ways:
        for connect in ways:
            fd, pid = images_fd(), sleeper()
            with connect() as c:
                for _ in range(3):
                    r = rpc.criu_req(type=rpc.VERSION, keep_open=True)
                    assert c.ask(r).version.major_number == 4
                r = request(rpc.DUMP, fd, pid=pid, leave_running=True)
                r.keep_open = True
                good(c.ask(r), fd)
                assert alive(pid)
                r = rpc.criu_req(type=rpc.FEATURE_CHECK, keep_open=True)
                r.features.mem_track = True
                good(c.ask(r))
                good(c.ask(rpc.criu_req(type=rpc.VERSION)))
                assert c.recv() is None, "it stays open"


def test_notification_refused():
    with service_and_swrk() as ways:
        for connect in ways:
            for stage in ("pre-dump", "post-dump"):
                fd, pid = images_fd(), sleeper()
                with connect() as c:
                    c.on_notify = lambda name, root: name != stage
                    bad(c.ask(request(rpc.DUMP, fd, pid=pid, notify_scripts=True)), "refused at " + stage, r"\[rpc-notify\]")
                assert alive(pid) and not os.path.exists(DIR + "/img/inventory.img")
            with connect() as c:
                good(c.ask(request(rpc.DUMP, fd, pid=pid)), fd)
            for stage in ("pre-restore", "post-restore", "pre-resume"):
                with connect() as c:
                    c.on_notify = lambda name, root: name != stage
                    bad(c.ask(request(rpc.RESTORE, fd, notify_scripts=True)), "refused at " + stage)
                until("the restored process to go", 5, lambda: not stat(pid))


def test_caller_gone_while_asked():
    with Service() as s:
        fd, pid = images_fd(), sleeper()
        c = s.connect()
        c.send(request(rpc.DUMP, fd, pid=pid, notify_scripts=True))
        assert c.recv().notify.script == "pre-dump"
        c.close()
        until("the dump to be given up", 10, lambda: "Dumping FAILED" in log_of(fd))
        assert alive(pid) and not os.path.exists(DIR + "/img/inventory.img")
        good(s.connect().ask(rpc.criu_req(type=rpc.VERSION)))


def test_descriptors_with_the_message():
    """Numbers in the request then are places in the list that came along."""
    with service_and_swrk() as ways:
        for connect in ways:
            fd, pid = images_fd(), sleeper()
            work = images_fd("work")
            with connect() as c:
                good(c.ask(request(rpc.DUMP, 1, pid=pid, work_dir_fd=0, log_file="my.log"), [work, fd]), fd)
            assert os.path.exists(DIR + "/img/inventory.img") and "Dumping finished" in log_of(work, "my.log")
            with connect() as c:
                bad(c.ask(request(rpc.RESTORE, 2), [work, fd]), r"\[rpc-fd\]")
            with connect() as c:
                good(c.ask(request(rpc.RESTORE, 0), [fd]), fd)


def test_images_dir_by_path():
    with service_and_swrk() as ways:
        for connect in ways:
            for path in (DIR + "/img", os.path.relpath(DIR + "/img")):
                images()
                pid = sleeper()
                with connect() as c:
                    good(c.ask(request(rpc.DUMP, -1, images_dir=path, pid=pid)))
                assert os.path.exists(DIR + "/img/inventory.img")
            with connect() as c:
                bad(c.ask(request(rpc.DUMP, -1, images_dir=DIR + "/none", pid=pid)), r"\[images-dir\]")
            with connect() as c:
                bad(c.ask(request(rpc.DUMP, 99, pid=os.getpid())), r"\[rpc-fd\]")


def test_configuration_file():
    """It comes last; one that is missing is none."""
    conf = os.path.join(DIR, "rpc.conf")
    with service_and_swrk() as ways:
        for connect in ways:
            fd, pid = images_fd(), sleeper()
            with open(conf, "w") as f:
                f.write("leave-running # on\nlog-file other.log\n")
            with connect() as c:
                good(c.ask(request(rpc.DUMP, fd, pid=pid, config_file=conf, log_file="mine.log")))
            assert alive(pid) and "Dumping finished" in log_of(fd, "other.log")
            with open(conf, "w") as f:
                f.write("nonsense\n")
            with connect() as c:
                bad(c.ask(request(rpc.DUMP, fd, pid=pid, config_file=conf)), "rpc.conf:1: unknown option nonsense")
            os.unlink(conf)
            with connect() as c:
                good(c.ask(request(rpc.DUMP, fd, pid=pid, config_file=conf)), fd)
            assert not alive(pid)


def test_status_fd():
    fd, pid = images_fd(), sleeper()
    r, w = os.pipe()
    with Service() as s, s.connect() as c:
        good(c.ask(request(rpc.DUMP, fd, pid=pid, status_fd=w)), fd)
    os.close(w)
    assert os.read(r, 10) == b"\0"


def test_inherited_standard_output():
    """The restored process writes where the standard output of swrk goes."""
    r, w = os.pipe()
    r2, w2 = os.pipe()
    p = subprocess.Popen([shutil.which("perl"), "-e", "$| = 1; while (1) { print 'x'; select(undef, undef, undef, 0.01) }"],
                         stdin=subprocess.DEVNULL, stdout=w, stderr=subprocess.DEVNULL, start_new_session=True)
    started.append(p.pid)
    key, fd = os.readlink("/proc/self/fd/%d" % w), images_fd()
    os.close(w)
    assert os.read(r, 1) == b"x"
    with swrk() as c:
        good(c.ask(request(rpc.DUMP, fd, pid=p.pid)), fd)
    p.wait()
    with swrk(stdout=w2) as c:
        good(c.ask(rpc.criu_req(type=rpc.CHECK, keep_open=True)))
        q = request(rpc.RESTORE, fd)
        q.opts.inherit_fd.add(key=key, fd=1)
        good(c.ask(q), fd)
    os.close(w2)
    assert set(os.read(r2, 100)) == set(b"x"), "something else was printed there"
    os.close(r2)


def test_swrk_without_socket():
    assert "swrk-socket" in cl("swrk", "77", ok=False).stderr
    assert "swrk-socket" in cl("swrk", "0", ok=False).stderr
    assert "not a descriptor" in cl("swrk", "x", ok=False).stderr


main()
