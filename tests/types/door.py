# doors: a server in a child, descriptors of its doors here, shared and not, with flags; one that is revoked.
import ctypes
import fcntl
import os
import signal
import subprocess

from common import check, done, ready, same_file, skip

BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(os.path.dirname(__file__), "../../build")))
SERVER = os.path.join(BUILD, "tests/trees/doorset")


class Args(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t), ("desc", ctypes.c_void_p),
                ("nr", ctypes.c_uint), ("rbuf", ctypes.c_void_p), ("rsize", ctypes.c_size_t)]


class Info(ctypes.Structure):
    _pack_ = 4
    _fields_ = [("target", ctypes.c_int), ("proc", ctypes.c_uint64), ("data", ctypes.c_uint64),
                ("attributes", ctypes.c_uint), ("id", ctypes.c_uint64), ("rest", ctypes.c_int * 4)]


try:
    door = ctypes.CDLL(os.path.join(BUILD, "lib/libdoor.so"), use_errno=True)
except OSError as e:
    skip("libdoor cannot be loaded here: %s" % e)
if not os.path.ismount("/run") and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode:
    skip("no mounts")


def call(fd):
    out = ctypes.create_string_buffer(64)
    a = Args(b"who", 3, None, 0, ctypes.cast(out, ctypes.c_void_p), 64)
    return os.strerror(ctypes.get_errno()) if door.door_call(fd, ctypes.byref(a)) < 0 else out.value.decode()


def info(fd):
    i, v, out = Info(), ctypes.c_size_t(), []
    if door.door_info(fd, ctypes.byref(i)) < 0:
        return os.strerror(ctypes.get_errno())
    for p in 1, 2, 3:
        door.door_getparam(fd, p, ctypes.byref(v))
        out.append(v.value)
    return i.target, i.proc, i.data, i.attributes & ~0x20, i.id, out


def seen(fd):
    st = os.fstat(fd)
    return info(fd), oct(st.st_mode), st.st_uid, st.st_gid, fcntl.fcntl(fd, fcntl.F_GETFL), call(fd)


pid = os.posix_spawn(SERVER, [SERVER, "server"], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, "said", 0o102, 0o600)])
while not os.path.exists("said") or "READY" not in open("said").read():
    pass
fds = [os.open(p, f) for p, f in (("a", os.O_RDWR), ("a2", os.O_RDONLY), ("p", os.O_RDWR | os.O_NONBLOCK), ("u", os.O_RDWR))]
fds.append(os.dup(fds[0]))
path_only = os.open("a", os.O_PATH)
before = [seen(fd) for fd in fds]
check("answers", [b[-1] for b in before], ["a", "a", "p", "u", "a"])
# Its threads wait in calls that end with EINTR when somebody looks in, and write to their stacks then.
os.kill(pid, signal.SIGSTOP)
ready()
os.kill(pid, signal.SIGCONT)
check("doors", [seen(fd) for fd in fds], before)
check("shared", same_file(os.getpid(), fds[0], os.getpid(), fds[-1]), True)
check("not shared", same_file(os.getpid(), fds[0], os.getpid(), fds[1]), False)
check("by path", info(os.open("a2", os.O_RDWR))[4], before[0][0][4])
check("O_PATH", os.fstat(path_only).st_ino, os.stat("a").st_ino)
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
check("dead", [call(fd) for fd in fds], ["Bad file descriptor"] * 5)
done()
