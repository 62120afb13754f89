#!/usr/bin/python3
"""Who may do what by the service: a caller can dump what it could trace, and restore with credentials that it has."""
import shutil
from rpclib import *

OTHER = 65533
TYPES = {"DUMP": rpc.DUMP, "PRE_DUMP": rpc.PRE_DUMP, "SINGLE_PRE_DUMP": rpc.SINGLE_PRE_DUMP}
WITHOUT_PROCESS = [rpc.EMPTY, rpc.NOTIFY, rpc.PAGE_SERVER, rpc.PAGE_SERVER_CHLD, rpc.WAIT_PID]


def open_dir(uid, name="img"):
    os.chmod(DIR, 0o755)
    d = images(name)
    os.chown(d, uid, uid)
    return d


def asks(uid, kind, path, **opts):
    """(success, errmsg, restored pid) of a request by that user."""
    def f():
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with Client(connected(SOCK)) as c:
            got = c.ask(request(kind, fd, **opts))
            return [got.success, got.cr_errmsg, got.restore.pid]
    return as_user(uid, f)


def sleeper_of(uid):
    """Of that user and group alone, and of nobody else's session."""
    with open(os.path.join(DIR, "out"), "ab") as f:
        os.fchmod(f.fileno(), 0o666)
    return sleeper(user=uid, group=uid, extra_groups=[])


def own_process():
    """A dump and a restore of the caller's own process; Skip where the kernel lets no such user do it."""
    d, pid = open_dir(NOBODY), sleeper_of(NOBODY)
    ok, why, _ = asks(NOBODY, rpc.DUMP, d, pid=pid)
    assert ok, why
    assert not alive(pid)
    return d, pid


def test_own_process():
    with Service():
        d, pid = own_process()
        assert {os.stat(os.path.join(d, f)).st_uid for f in os.listdir(d)} == {NOBODY}, "images of another user"
        ok, why, got = asks(NOBODY, rpc.RESTORE, d)
        assert ok and got == pid, why
        st = open("/proc/%d/status" % pid).read()
        assert "Uid:\t65534\t65534\t65534\t65534" in st and re.search(r"CapPrm:\t0+\n", st) and re.search(r"CapEff:\t0+\n", st), st
        cl("diff", d, pid)


def test_other_users_process():
    """Refused for each type of request, with the process and the user named; it runs on."""
    with Service():
        d = open_dir(NOBODY)
        for owner in (0, OTHER):
            pid = sleeper_of(owner)
            for name, kind in TYPES.items():
                ok, why, _ = asks(NOBODY, kind, d, pid=pid)
                assert not ok and re.search(r"pid %d belongs to user %d: user 65534 may not trace it.*\[rpc-denied\]" % (pid, owner), why), (name, why)
                assert alive(pid) and stat(pid)["state"] == "S"
            for kind in WITHOUT_PROCESS:
                ok, why, _ = asks(NOBODY, kind, d, pid=pid)
                assert not ok and why, kind
                assert alive(pid)
        assert not [f for f in os.listdir(d) if f.endswith(".img")], os.listdir(d)


def test_tree_with_another_users_process():
    """The root is the caller's own, a child is not: all of it is refused."""
    with Service():
        d = open_dir(NOBODY)
        code = ("import os,time\nif os.fork()==0:\n os.setgroups([])\n os.setgid(%d)\n os.setuid(%d)\n time.sleep(1000)\n"
                "os.setgroups([])\nos.setgid(%d)\nos.setuid(%d)\ntime.sleep(1000)" % (OTHER, OTHER, NOBODY, NOBODY))
        root = start([sys.executable, "-c", code])
        until("both users", 10, lambda: len(tree(root)) == 2 and {os.stat("/proc/%d" % p).st_uid for p in tree(root)} == {NOBODY, OTHER})
        ok, why, _ = asks(NOBODY, rpc.DUMP, d, pid=root)
        assert not ok and "[ptrace-denied]" in why or "[rpc-denied]" in why, why
        assert all(alive(p) for p in tree(root))


def test_image_of_another_user():
    with Service():
        for owner in (0, OTHER):
            d, pid = open_dir(NOBODY), sleeper_of(owner)
            ok, why, _ = asks(0, rpc.DUMP, d, pid=pid)
            assert ok, why
            for f in os.listdir(d):
                os.chown(os.path.join(d, f), NOBODY, NOBODY)
            ok, why, _ = asks(NOBODY, rpc.RESTORE, d)
            assert not ok and re.search(r"pid %d of the image has user ids that user 65534 has not.*\[rpc-denied\]" % pid, why), why
            assert not stat(pid)
            ok, why, _ = asks(0, rpc.RESTORE, d)
            assert ok and os.stat("/proc/%d" % pid).st_uid == owner, why


def test_image_with_capabilities():
    """An image edited to give a capability that the caller has not; the service itself has it."""
    need("crit")
    with Service():
        d, pid = own_process()
        core = os.path.join(d, "core-%d.img" % pid)
        text = subprocess.run(["crit", "decode", "-i", core], capture_output=True, text=True, check=True).stdout
        for field in ("cap_prm", "cap_eff", "cap_inh"):
            o = json.loads(text)
            o["entries"][0]["thread_core"]["creds"][field] = [0, 1 << (40 - 32)]  # CAP_CHECKPOINT_RESTORE
            with open(DIR + "/core.json", "w") as f:
                json.dump(o, f)
            subprocess.run(["crit", "encode", "-i", DIR + "/core.json", "-o", core], check=True)
            cl("seal", d)
            for f in os.listdir(d):
                os.chown(os.path.join(d, f), NOBODY, NOBODY)
            ok, why, _ = asks(NOBODY, rpc.RESTORE, d)
            assert not ok and "has capabilities that user 65534 has not" in why, why
            assert not stat(pid)


def test_directory_of_another_user():
    """Somebody else's image directory cannot be written to by way of the service."""
    with Service():
        d, pid = images("private"), sleeper_of(NOBODY)
        ok, why, _ = asks(NOBODY, rpc.DUMP, DIR, pid=pid)  # may be read, not written
        assert not ok and "Permission denied" in why, why
        assert not os.path.exists(DIR + "/inventory.img") and alive(pid)
        ok, why, _ = asks(NOBODY, rpc.CPUINFO_DUMP, DIR)
        assert not ok and "Permission denied" in why and not os.path.exists(DIR + "/cpuinfo.img"), why
        os.chown(d, NOBODY, NOBODY)
        target = os.path.join(DIR, "precious")
        with open(target, "w") as f:
            f.write("x")
        os.chmod(target, 0o600)
        os.symlink(target, d + "/criu.log")
        asks(NOBODY, rpc.DUMP, d, pid=pid)
        assert open(target).read() == "x"


def test_capabilities_of_root():
    """A root that has lost its capabilities is no more than its capabilities."""
    with Service():
        d, pid = images(), sleeper_of(OTHER)
        code = "import sys; sys.path.insert(0,%r); sys.path.insert(0,%r)\nfrom rpclib import *\nfd=os.open(%r,os.O_RDONLY)\n" \
               "g=Client(connected(%r)).ask(request(rpc.DUMP,fd,pid=%d))\nprint(g.success, g.cr_errmsg)" % (
                   os.path.dirname(os.path.abspath(__file__)), os.path.dirname(os.path.dirname(os.path.abspath(__file__))), d, SOCK, pid)
        need("setpriv")
        env = dict(os.environ, TEST_DIR=DIR)
        p = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert p.stdout.startswith("False") and "rpc-denied" in p.stdout, p
        assert alive(pid)


def for_all():
    """Other users run the program."""
    path = os.path.abspath(CL)
    while path != "/":
        if not os.stat(path).st_mode & 1:
            raise Skip("other users may not enter " + path)
        path = os.path.dirname(path)


def in_python(prefix, code):
    """A client in a program of its own, started by @prefix; what it prints."""
    here = os.path.dirname(os.path.abspath(__file__))
    # Other users may not get to where these are.
    for name in ("rpclib.py", "../cl.py"):
        shutil.copy(os.path.join(here, name), DIR)
    head = "import sys; sys.path.insert(0, %r)\nfrom rpclib import *\n" % DIR
    p = subprocess.run(prefix + [sys.executable, "-c", head + code], env=dict(os.environ, TEST_DIR=DIR), capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return p.stdout


ASK = """
fd = os.open(%r, os.O_RDONLY)
with Client(connected(%r)) as c:
    got = c.ask(request(rpc.%s, fd, pid=%d, config_file=%r))
print(got.success, got.cr_errmsg)
"""


def test_confined_callers():
    """Who is in other namespaces is turned away: its numbers and paths mean something else here."""
    need("unshare")
    with Service():
        d, pid = images(), sleeper()
        for args, word in ((["-m"], "mount"), (["-U", "-r"], "user"), (["-p", "-f"], "pid")):
            for kind in ("DUMP", "RESTORE"):
                out = in_python(["unshare"] + args, ASK % (d, SOCK, kind, pid, ""))
                assert out.startswith("False") and re.search(r"has a %s namespace.*\[rpc-namespace\]" % word, out), out
        assert alive(pid)


def test_what_a_request_executes():
    """An action script has no more than the caller: no capability by execve(2), no set-user-ID program."""
    for_all()
    need("setpriv")
    os.chmod(DIR, 0o777)
    script, conf, told = (os.path.join(DIR, n) for n in ("script", "script.conf", "told"))
    with open(script, "w") as f:
        f.write("#!/bin/sh\ngrep -E '^(Cap|NoNew|Uid)' /proc/self/status > %s\n" % told)
    os.chmod(script, 0o755)
    with open(conf, "w") as f:
        f.write("action-script %s\n" % script)
    with Service():
        for prefix, want in ((["setpriv", "--bounding-set=-all", "--inh-caps=-all"], {"CapEff": 0, "CapBnd": 0, "NoNewPrivs": 0, "Uid": 0}),
                             (["setpriv", "--no-new-privs", "--reuid=65534", "--regid=65534", "--clear-groups"],
                              {"CapEff": 0, "CapPrm": 0, "NoNewPrivs": 1, "Uid": NOBODY})):
            d = open_dir(want["Uid"])
            os.chmod(DIR, 0o777)
            with open(os.path.join(DIR, "out"), "ab") as f:
                os.fchmod(f.fileno(), 0o666)
            pid = start(prefix + [shutil.which("perl"), "-e", "sleep"])
            until("pause()", 10, lambda: open("/proc/%d/syscall" % pid).read().startswith("34 "))
            out = in_python(prefix, ASK % (d, SOCK, "DUMP", pid, conf))
            if not os.path.exists(told):
                assert False, out
            st = dict(re.findall(r"^(\w+):\t(\w+)", open(told).read(), re.M))
            for k, v in want.items():
                assert int(st[k], 16 if k.startswith("Cap") else 10) == v, (prefix, st)
            os.unlink(told)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_service_of_a_user():
    """A service that is not root serves its own user, and nobody else."""
    for_all()
    os.chmod(DIR, 0o777)
    sock = os.path.join(DIR, "user.sock")
    log = open(DIR + "/user.log", "ab")
    p = subprocess.Popen([CL, "service", "--address", sock], user=NOBODY, group=NOBODY, extra_groups=[], stdout=log, stderr=log)
    try:
        until("the socket", 10, lambda: os.path.exists(sock))
        d, pid = open_dir(OTHER), sleeper_of(OTHER)

        def ask():
            with Client(connected(sock)) as c:
                got = c.ask(request(rpc.DUMP, os.open(d, os.O_RDONLY), pid=pid))
                return [got.success, got.cr_errmsg]
        ok, why = as_user(OTHER, ask)
        assert not ok and ("[rpc-credentials]" in why or "[rpc-fd]" in why), why
        assert alive(pid)
    finally:
        p.terminate()
        p.wait()


main()
