"""What the tests of the RPC share: requests by the stock protobuf bindings, over the service's socket and swrk."""
import socket
from cl import *

sys.path.insert(0, DIR)
SOCK = os.path.join(DIR, "service.sock")
NOBODY = 65534
# Freed memory is kept back, and a library cannot be loaded into a program without the sanitizer.
SANITIZED = b"__asan_init" in open(CL, "rb").read()


def _bindings():
    try:
        import google.protobuf  # noqa: F401
    except ImportError:
        raise Skip("needs python3-protobuf")
    proto = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../proto")
    if not os.path.exists(DIR + "/rpc_pb2.py"):
        subprocess.run(["protoc", "-I" + proto, "--python_out=" + DIR, "rpc.proto"], check=True)
    import rpc_pb2
    return rpc_pb2


rpc = _bindings()


class Service:
    def __init__(self, *args, sock=SOCK, tool=None, log="service.log"):
        r, w = os.pipe()
        self.sock, self.log = sock, os.path.join(DIR, log)
        with open(self.log, "ab") as out:
            self.p = subprocess.Popen([tool or CL, "service", "--address", sock, "--status-fd", str(w), "-v4"] + list(map(str, args)),
                                      pass_fds=[w], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=DIR)
        os.close(w)
        got = os.read(r, 1)
        os.close(r)
        assert got == b"\0", "the service did not start: " + open(self.log).read()
        self.pid = self.p.pid

    def connect(self):
        return Client(connected(self.sock))

    def stop(self, status=0):
        self.p.terminate()
        got = self.p.wait(30)
        assert got == status, "the service ended with %d: %s" % (got, open(self.log).read()[-2000:])
        assert not os.path.exists(self.sock), "the socket is left"

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is None:
            self.stop()
        else:
            self.p.kill()
            self.p.wait()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.sock)


def connected(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.settimeout(60)
    s.connect("\0" + path[1:] if path.startswith("@") else path)
    return s


class Client:
    """One connection. What was notified of is in .notes; .on_notify decides, True if it is None."""

    def __init__(self, sock, proc=None):
        self.s, self.p = sock, proc
        self.notes, self.on_notify = [], None

    def send(self, req, fds=()):
        data = req if isinstance(req, bytes) else req.SerializeToString()
        socket.send_fds(self.s, [data], list(fds)) if fds else self.s.send(data)

    def recv(self):
        data = self.s.recv(1 << 18)
        if not data:
            return None
        m = rpc.criu_resp()
        m.ParseFromString(data)
        return m

    def ask(self, req, fds=()):
        self.send(req, fds)
        while True:
            m = self.recv()
            if m is None or m.type != rpc.NOTIFY:
                return m
            self.notes.append((m.notify.script, m.notify.pid))
            yes = self.on_notify(m.notify.script, m.notify.pid) if self.on_notify else True
            self.s.send(rpc.criu_req(type=rpc.NOTIFY, notify_success=yes).SerializeToString())

    def close(self):
        self.s.close()
        if self.p:
            assert self.p.wait(30) == 0, "swrk ended with %d" % self.p.returncode

    def __enter__(self):
        return self

    def __exit__(self, *a):
        self.close()


def swrk(tool=None, **kw):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    a.settimeout(60)
    p = subprocess.Popen([tool or CL, "swrk", str(b.fileno())], pass_fds=[b.fileno()] + kw.pop("pass_fds", []), **kw)
    b.close()
    return Client(a, p)


def request(kind, dirfd=None, **opts):
    r = rpc.criu_req(type=kind)
    if dirfd is not None:
        r.opts.images_dir_fd = dirfd
        r.opts.log_level = 4
    for k, v in opts.items():
        if isinstance(v, (list, tuple)):
            getattr(r.opts, k).extend(v)
        else:
            setattr(r.opts, k, v)
    return r


def images_fd(name="img"):
    return os.open(images(name), os.O_RDONLY | os.O_DIRECTORY)


def log_of(fd, name="criu.log"):
    try:
        return open("/proc/self/fd/%d/%s" % (fd, name), errors="replace").read()
    except OSError as e:
        return str(e)


def good(resp, dirfd=None):
    assert resp is not None and resp.success, "%s\n%s" % (resp, log_of(dirfd) if dirfd is not None else "")
    return resp


def bad(resp, *words):
    assert resp is not None and not resp.success, resp
    for w in words:
        assert re.search(w, resp.cr_errmsg), "%r does not say %s" % (resp.cr_errmsg, w)
    return resp


def sleeper(**kw):
    """In pause(2), so that nothing of it changes."""
    pid = start([shutil.which("perl"), "-e", "sleep"], **kw)
    until("pause()", 10, lambda: open("/proc/%d/syscall" % pid).read().startswith("34 "))
    return pid


def as_user(uid, f):
    """f() in a child with these credentials and nothing else; what it returns must be JSON."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            out = {"ok": f()}
        except BaseException:
            out = {"error": traceback.format_exc()}
        os.write(w, json.dumps(out).encode())
        os._exit(0)
    os.close(w)
    data = b""
    while True:
        got = os.read(r, 65536)
        if not got:
            break
        data += got
    os.close(r)
    os.waitpid(pid, 0)
    out = json.loads(data)
    if "error" in out:
        raise AssertionError(out["error"])
    return out["ok"]
