#!/usr/bin/python3
"""Many clients at once, limits, and messages that make no sense: all are answered, and the service stays as it was."""
import threading
import shutil
from rpclib import *

BUILD = os.environ.get("BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../build"))
TREE = "fork; fork if $$ % 2; sleep"  # of two or three processes


def memory(pid):
    """Own memory in KiB, and how many descriptors."""
    text = open("/proc/%d/smaps_rollup" % pid).read()
    own = sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", text, re.M)))
    return own, len(os.listdir("/proc/%d/fd" % pid))


def children(s):
    """Children of the service: those at work, and the one that is ready for the next request."""
    kids = [p for p in tree(s.pid) if p != s.pid and (stat(p) or {}).get("ppid") == s.pid]
    ready = [p for p in kids if stat(p) and stat(p)["comm"] == "criu-lite-ready"]
    return [p for p in kids if p not in ready], ready


def at_rest(s, ready=2):
    """Once a request has needed a worker two are ready for the next ones."""
    until("the service to be at rest", 20, lambda: tuple(map(len, children(s))) == (0, ready))
    return memory(s.pid)


def trees(n):
    """n trees at rest: each process of them in pause()."""
    roots = [start([shutil.which("perl"), "-e", TREE], log="out%d" % i) for i in range(n)]

    def paused(p):
        try:
            return open("/proc/%d/syscall" % p).read().startswith("34 ")
        except OSError:
            return False
    for r in roots:
        until("a tree at rest", 30, lambda: len(tree(r)) > 1 and all(map(paused, tree(r))))
    time.sleep(0.1)
    return {r: sorted(tree(r)) for r in roots}


def round_of(all_trees, errors, n_done):
    """Each tree by a client of its own, all at once."""
    def work(i, root, pids):
        try:
            fd = images_fd("img%d" % i)
            with Client(connected(SOCK)) as c:
                good(c.ask(request(rpc.DUMP, fd, pid=root)), fd)
            assert not any(alive(p) for p in pids), "dumped and alive"
            with Client(connected(SOCK)) as c:
                assert good(c.ask(request(rpc.RESTORE, fd)), fd).restore.pid == root
            assert sorted(tree(root)) == pids, (sorted(tree(root)), pids)
            os.close(fd)
            n_done.append(root)
        except BaseException:
            errors.append(traceback.format_exc())
    threads = [threading.Thread(target=work, args=(i, r, p)) for i, (r, p) in enumerate(all_trees.items())]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def test_many_trees():
    n, rounds = count("RPC_CLIENTS", 40, 200), count("RPC_ROUNDS", 2, 5)
    with Service("-v2") as s:
        all_trees = trees(n)
        sizes = []
        for _ in range(rounds):
            errors, done = [], []
            round_of(all_trees, errors, done)
            assert not errors, "%d failed: %s" % (len(errors), errors[0])
            assert len(done) == n
            sizes.append(at_rest(s))
        for i, (r, pids) in enumerate(all_trees.items()):
            cl("diff", "%s/img%d" % (DIR, i), r)
        print("# %d trees, %d rounds; own memory in KiB and descriptors of the service after each: %s" % (n, rounds, sizes))
        # malloc() keeps some of what a burst has taken.
        assert (SANITIZED or max(m for m, _ in sizes) <= sizes[0][0] + 1024) and sizes[-1][1] <= sizes[0][1], sizes


def test_many_connections():
    """At the limit one more is told so; the others are served on."""
    with Service("--max-clients", 20) as s:
        before = at_rest(s, 0)
        cs = [s.connect() for _ in range(20)]
        for c in cs:
            good(c.ask(rpc.criu_req(type=rpc.VERSION, keep_open=True)))
        bad(s.connect().recv(), "20 connections", r"\[rpc-busy\]")
        for _ in range(50):  # the refusal arrives, whatever has been asked already
            with contextlib.suppress(BrokenPipeError):
                bad(s.connect().ask(rpc.criu_req(type=rpc.VERSION)), r"\[rpc-busy\]")
        cs.pop().close()
        until("room again", 10, lambda: s.connect().ask(rpc.criu_req(type=rpc.VERSION)).success)
        for c in cs:
            c.close()
        until("the descriptors to go", 10, lambda: at_rest(s, 0)[1] <= before[1])

        # One user, not root, gets half.
        os.chmod(DIR, 0o755)

        def hold():
            mine = [Client(connected(SOCK)) for _ in range(14)]
            out = []
            for c in mine:
                with contextlib.suppress(OSError):
                    c.send(rpc.criu_req(type=rpc.VERSION, keep_open=True))
                out.append(c.recv().success)
            return out
        got = as_user(NOBODY, hold)
        assert got.count(True) == 10 and got[:10] == [True] * 10, got


def test_requests_wait_for_their_turn():
    """Two at work at once; a third waits, answers on the spot do not."""
    with Service("--max-requests", 2) as s:
        held = []
        for i in range(3):
            c = s.connect()
            c.send(request(rpc.DUMP, images_fd("img%d" % i), pid=sleeper(), notify_scripts=True, leave_running=True))
            held.append(c)
        for c in held[:2]:
            assert c.recv().notify.script == "pre-dump"
        held[2].s.settimeout(0.3)
        try:
            held[2].recv()
            assert False, "three are at work"
        except TimeoutError:
            pass
        good(s.connect().ask(rpc.criu_req(type=rpc.VERSION)))
        held[2].s.settimeout(60)

        def finish(c):
            c.s.send(rpc.criu_req(type=rpc.NOTIFY, notify_success=True).SerializeToString())
            got = c.recv()
            return got if got.type != rpc.NOTIFY else finish(c)
        good(finish(held[0]))
        assert held[2].recv().notify.script == "pre-dump"
        good(finish(held[1]))
        good(finish(held[2]))


def test_time_limit():
    with Service("--time-limit", 1) as s:
        pid = sleeper()
        c = s.connect()
        c.send(request(rpc.DUMP, images_fd(), pid=pid, notify_scripts=True))
        assert c.recv().notify.script == "pre-dump"
        got = bad(c.recv(), "longer than the service allows", r"\[rpc-worker\]")
        assert got.type == rpc.DUMP and alive(pid)


def test_memory_limit():
    big = start([sys.executable, "-c", "import time; x = b'x' * (64 << 20); time.sleep(1000)"])
    until("its memory", 20, lambda: int(re.search(r"VmRSS:\s+(\d+)", open("/proc/%d/status" % big).read()).group(1)) > 64 << 10)
    with Service("--memory-limit", "4096") as s:
        c = s.connect()
        c.send(request(rpc.DUMP, images_fd(), pid=big, notify_scripts=True))
        got = c.recv()  # held at the first stage: every worker is over a limit of one page
        if got.type == rpc.NOTIFY:
            got = c.recv()
        bad(got, "more memory than the service allows", r"\[rpc-worker\]")
        assert alive(big)
        good(s.connect().ask(rpc.criu_req(type=rpc.VERSION)))


def test_worker_killed():
    with Service() as s:
        fd, pid = images_fd(), sleeper()
        c = s.connect()
        r = request(rpc.DUMP, fd, pid=pid, notify_scripts=True)
        r.keep_open = True
        c.send(r)
        assert c.recv().notify.script == "pre-dump"
        until("one worker", 10, lambda: len(children(s)[0]) == 1)
        worker, = children(s)[0]
        os.kill(worker, signal.SIGKILL)
        bad(c.recv(), "ended by signal 9", r"\[rpc-worker\]")
        assert alive(pid)
        good(c.ask(request(rpc.DUMP, fd, pid=pid)), fd)


def test_service_in_the_tree():
    """A dump of the tree that the service is in is refused, and changes nothing."""
    with Service() as s, s.connect() as c:
        bad(c.ask(request(rpc.DUMP, images_fd(), pid=s.pid)))
        assert alive(s.pid)
        good(s.connect().ask(rpc.criu_req(type=rpc.VERSION)))


def test_mutated_messages():
    """Requests with bits, bytes and lengths changed, by a user who may do little: each gets an answer."""
    n, jobs = count("RPC_FUZZ", 20000, 1000000), 4
    os.chmod(DIR, 0o755)
    with open(DIR + "/out", "ab") as f:
        os.fchmod(f.fileno(), 0o666)
    d = images()
    os.chown(d, NOBODY, NOBODY)
    seeds = os.path.join(DIR, "seeds")
    os.mkdir(seeds)
    with Service("-v0") as s:
        pid = sleeper(user=NOBODY, group=NOBODY, extra_groups=[])
        full = request(rpc.DUMP, 0, pid=pid, leave_running=True, shell_job=True, notify_scripts=True, log_file="x.log", external=["a", "b"],
                       ext_unix_sk=True, timeout=3, skip_mnt=["/x"], ghost_limit=9, config_file="y", work_dir_fd=0, network_lock=rpc.SKIP)
        full.opts.inherit_fd.add(key="pipe:[1]", fd=0)
        full.opts.join_ns.add(ns="net", ns_file="/x")
        full.opts.cg_root.add(path="/x")
        ask = rpc.criu_req(type=rpc.FEATURE_CHECK, keep_open=True)
        ask.features.mem_track = True
        kinds = [full, ask, request(rpc.DUMP, 0, pid=pid), request(rpc.RESTORE, 0), request(rpc.CHECK), request(rpc.PRE_DUMP, 0, pid=1),
                 request(rpc.RESTORE, 0, rst_sibling=True, notify_scripts=True), rpc.criu_req(type=rpc.VERSION, keep_open=True),
                 rpc.criu_req(type=rpc.WAIT_PID, pid=1), request(rpc.PAGE_SERVER, 0), rpc.criu_req(type=rpc.NOTIFY, notify_success=True),
                 request(rpc.CPUINFO_CHECK, 0), request(rpc.SINGLE_PRE_DUMP, 0, track_mem=True), rpc.criu_req(type=rpc.EMPTY)]
        for i, r in enumerate(kinds):
            with open("%s/%02d" % (seeds, i), "wb") as f:
                f.write(r.SerializeToString())
        # Other users may not get to where it was built.
        fuzz = [shutil.copy(os.path.join(BUILD, "tests/rpc/fuzz"), DIR), SOCK, seeds, d]
        good(s.connect().ask(rpc.criu_req(type=rpc.CHECK)))
        subprocess.run(fuzz + ["1000", "7"], check=True, user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.DEVNULL)
        before = at_rest(s)
        seed = int(os.environ.get("SEED", time.time()))
        ps = [subprocess.Popen(fuzz + [str(n // jobs), str(seed + i)], user=NOBODY, group=NOBODY, extra_groups=[], stdout=subprocess.PIPE, text=True)
              for i in range(jobs)]
        out = [p.communicate()[0].strip() for p in ps]
        assert all(p.returncode == 0 for p in ps), "SEED=%d: %s" % (seed, out)
        after = at_rest(s)
        print("# %d messages, SEED=%d: %s; memory %s to %s" % (n, seed, out, before, after))
        assert (SANITIZED or after[0] <= before[0] + 1024) and after[1] <= before[1], (before, after)
        good(s.connect().ask(rpc.criu_req(type=rpc.VERSION)))
        good(s.connect().ask(rpc.criu_req(type=rpc.CHECK)))


main()
