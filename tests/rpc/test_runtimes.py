#!/usr/bin/python3
"""Container runtimes: runc itself reaches us by swrk and gets one refusal that names the namespaces of its container;
and its requests, with a process of this host."""
from rpclib import *

INIT = "int pause(void); int main(void) { for (;;) pause(); }\n"
BIN = os.path.join(DIR, "bin")


def bundle():
    """A container of one program that does nothing; our program is `criu` in PATH."""
    need("runc", "gcc")
    os.makedirs(DIR + "/bundle/rootfs/bin")
    os.makedirs(BIN)
    os.symlink(os.path.abspath(CL), BIN + "/criu")
    with open(DIR + "/init.c", "w") as f:
        f.write(INIT)
    subprocess.run(["gcc", "-static", "-o", DIR + "/bundle/rootfs/bin/init", DIR + "/init.c"], check=True)
    for d in ("proc", "dev", "sys"):
        os.mkdir(DIR + "/bundle/rootfs/" + d)
    subprocess.run(["runc", "spec"], cwd=DIR + "/bundle", check=True)
    path = DIR + "/bundle/config.json"
    conf = json.load(open(path))
    conf["process"].update(terminal=False, args=["/bin/init"])
    conf["linux"].pop("seccomp", None)
    with open(path, "w") as f:
        json.dump(conf, f)


def runc(*args, ok=True):
    p = subprocess.run(["runc", "--debug", "--root", DIR + "/runc"] + list(args), cwd=DIR + "/bundle", capture_output=True, text=True,
                       stdin=subprocess.DEVNULL, timeout=60, env=dict(os.environ, PATH=BIN + ":" + os.environ["PATH"]))
    assert not ok or p.returncode == 0, p.stderr
    return p


def test_runc():
    bundle()
    with open(DIR + "/run.log", "w") as out:
        p = subprocess.run(["runc", "--root", DIR + "/runc", "run", "-d", "box"], cwd=DIR + "/bundle", stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    if p.returncode:
        raise Skip("runc cannot make a container here: " + open(DIR + "/run.log").read().strip())
    pid = json.loads(runc("state", "box").stdout)["pid"]
    try:
        d = images()
        p = runc("checkpoint", "--image-path", d, "--work-path", d, "box", ok=False)
        assert "Using CRIU 40200" in p.stderr and "type DUMP errno 95" in p.stderr, p.stderr
        log = open(d + "/dump.log").read()
        assert re.search(r"Error \(.*pid %d: in another namespace \(pid, net, mnt, ipc, uts.*\) .*\[task-namespace\]" % pid, log), log
        assert log.count("Error (") == 2, log  # that, and "Dumping FAILED."
        assert alive(pid) and json.loads(runc("state", "box").stdout)["status"] == "running"
        assert not [f for f in os.listdir(d) if f.endswith(".img")]
        # A pre-dump asks for memory tracking first, and is told that there is none.
        p = runc("checkpoint", "--pre-dump", "--image-path", d, "--work-path", d, "box", ok=False)
        assert p.returncode and alive(pid), p.stderr
        # So does a restore, of what is no image.
        p = runc("restore", "--image-path", d, "--work-path", d, "other", ok=False)
        assert p.returncode and "type NOTIFY" not in p.stderr, p.stderr
    finally:
        runc("delete", "-f", "box")


def common(r, dirfd, workfd, log):
    """What runc sets in every request, the empty values too."""
    o = r.opts
    o.images_dir_fd, o.work_dir_fd, o.log_level, o.log_file = dirfd, workfd, 4, log
    o.evasive_devices = o.manage_cgroups = o.notify_scripts = o.orphan_pts_master = True
    o.shell_job = o.ext_unix_sk = o.tcp_established = o.auto_dedup = o.lazy_pages = False
    o.file_locks, o.root, o.config_file = True, "/", "/etc/criu/runc.conf"
    return r


def test_requests_of_runc():
    """VERSION, FEATURE_CHECK, DUMP, RESTORE: each by a swrk of its own; standard output is a pipe of the runtime."""
    r, w = os.pipe()
    pipe = os.readlink("/proc/self/fd/%d" % w)
    p = subprocess.Popen([sys.executable, "-c", "import os,time\nn=0\nwhile True:\n os.write(1, b'%d\\n' % n); n += 1; time.sleep(0.01)"],
                         stdin=subprocess.DEVNULL, stdout=w, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/")
    os.close(w)
    started.append(p.pid)
    assert os.read(r, 100).startswith(b"0\n")
    fd, work = images_fd(), images_fd("work")
    with swrk() as c:
        v = good(c.ask(rpc.criu_req(type=rpc.VERSION))).version
        assert (v.major_number, v.minor_number) == (4, 2) and not v.HasField("gitid")
    with swrk() as c:
        q = rpc.criu_req(type=rpc.FEATURE_CHECK)
        q.features.mem_track = q.features.lazy_pages = True
        f = good(c.ask(q)).features
        assert f.HasField("mem_track") and f.HasField("lazy_pages")
    with swrk() as c:
        q = common(rpc.criu_req(type=rpc.DUMP), fd, work, "dump.log")
        q.opts.pid, q.opts.leave_running, q.opts.link_remap, q.opts.track_mem = p.pid, False, False, False
        q.opts.parent_img = q.opts.lsm_profile = ""
        good(c.ask(q), fd)
        assert ("post-dump", p.pid) in c.notes
    assert p.wait(10) == -9
    assert "Dumping finished" in log_of(work, "dump.log") and os.listdir("/proc/self/fd/%d" % work)
    r2, w2 = os.pipe()
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # As Go does it: the socket is number 3, what is inherited follows.
    os.dup2(b.fileno(), 63)
    os.dup2(w2, 64)
    s = subprocess.Popen([CL, "swrk", "63"], pass_fds=[63, 64])
    os.close(63)
    os.close(64)
    b.close()
    a.settimeout(60)
    with Client(a, s) as c:
        q = common(rpc.criu_req(type=rpc.RESTORE), fd, work, "restore.log")
        q.opts.rst_sibling = True
        q.opts.inherit_fd.add(key=pipe, fd=64)
        got = good(c.ask(q), work)
        assert got.restore.pid == p.pid and ("post-restore", p.pid) in c.notes
    os.close(w2)
    data = os.read(r2, 4096)
    assert re.match(rb"\d+\n", data), data
    assert stat(p.pid)["ppid"] == os.getpid()
    os.kill(p.pid, signal.SIGKILL)
    os.waitpid(p.pid, 0)


main()
