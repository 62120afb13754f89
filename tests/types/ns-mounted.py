# Namespaces that the task is not in: mounted, as by ip netns, they come back under their own names.
import os
import signal
import socket

from common import check, done, libc, ready, skip, sys_call

FLAGS = {"net": 0x40000000, "uts": 0x04000000, "ipc": 0x08000000, "mnt": 0x00020000, "user": 0x10000000}
KINDS = [k for k in FLAGS if k != "mnt"]
MS_BIND, MNT_DETACH = 4096, 2
if os.geteuid():
    skip("needs root")


def child(flags):
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        sys_call("unshare", flags)
        if flags & FLAGS["uts"]:
            socket.sethostname("inside")
        os.write(w, b"x")
        signal.pause()
    os.read(r, 1)
    os.close(r)
    os.close(w)
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def enter(fd):
    """The host's name in the namespace, by a child that enters it."""
    r, w = os.pipe()
    pid = os.fork()
    if not pid:
        ok = libc.setns(fd, FLAGS["uts"]) == 0
        os.write(w, socket.gethostname().encode() if ok else b"?")
        os._exit(0)
    os.waitpid(pid, 0)
    name = os.read(r, 100)
    os.close(r)
    os.close(w)
    return name


other, owner = child(sum(FLAGS[k] for k in KINDS if k != "user")), child(FLAGS["user"])
fds = {}
for k in KINDS:
    name = os.path.abspath(f"a {k}")
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
    link = f"/proc/{owner if k == 'user' else other}/ns/{k}"
    sys_call("mount", link.encode(), name.encode(), b"none", MS_BIND, None)
    fds[k] = os.open(link, os.O_RDONLY)
    fds[f"{k} by its mount"] = os.open(name, os.O_RDONLY)
end(other)
end(owner)


def seen():
    return {k: (os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_ino) for k, fd in fds.items()}


before = seen()
check("foreign", [k for k in KINDS if before[k][0] == os.readlink(f"/proc/self/ns/{k}")], [])
ready()
check("links", seen(), before)
check("enter", enter(fds["uts"]), b"inside")
for k in KINDS:
    libc.umount2(f"a {k}".encode(), MNT_DETACH)
done()
