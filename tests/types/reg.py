# Regular files, directories, O_PATH, devices: flags, position, sharing, deleted content.
import fcntl
import os

from common import check, done, ready, same_file

NOATIME = os.O_NOATIME
with open("data", "w") as f:
    f.write("0123456789" * 1000)
a = os.open("data", os.O_RDWR)
os.lseek(a, 1234, os.SEEK_SET)
b = os.dup(a)
c = os.open("data", os.O_RDONLY | os.O_APPEND | NOATIME)
shared = os.open("data", os.O_RDONLY)
os.set_inheritable(shared, True)
d = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
p = os.open("data", os.O_PATH)
os.symlink("data", "link")
lnk = os.open("link", os.O_PATH | os.O_NOFOLLOW)
devs = {n: os.open("/dev/" + n, os.O_RDWR) for n in ("null", "zero", "full", "urandom")}
devs["random"] = os.open("/dev/random", os.O_RDONLY)
fcntl.fcntl(c, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(c, fcntl.F_SETSIG, 23)
own = os.open("/proc/self/status", os.O_RDONLY)
os.read(own, 100)
flags = {fd: fcntl.fcntl(fd, fcntl.F_GETFL) for fd in (a, b, c, d, p, lnk, own, *devs.values())}
child = os.fork()
if not child:
    import signal
    signal.pause()
ready()
check("position", os.lseek(a, 0, os.SEEK_CUR), 1234)
check("dup", same_file(os.getpid(), a, os.getpid(), b), True)
check("not dup", same_file(os.getpid(), a, os.getpid(), c), False)
check("shared with child", same_file(os.getpid(), shared, child, shared), True)
os.lseek(a, 4321, os.SEEK_SET)
check("shared position", os.lseek(b, 0, os.SEEK_CUR), 4321)
check("read", os.read(a, 10), b"1234567890")
for fd, fl in flags.items():
    check(f"flags of {os.readlink(f'/proc/self/fd/{fd}')}", fcntl.fcntl(fd, fcntl.F_GETFL), fl)
check("cloexec", fcntl.fcntl(a, fcntl.F_GETFD), 1)
check("no cloexec", fcntl.fcntl(shared, fcntl.F_GETFD), 0)
check("owner", fcntl.fcntl(c, fcntl.F_GETOWN), os.getpid())
check("signal", fcntl.fcntl(c, fcntl.F_GETSIG), 23)
check("directory", sorted(os.listdir(d))[:1] != [], True)
check("symlink", os.readlink("", dir_fd=lnk), "data")
check("zero", os.read(devs["zero"], 3), b"\0\0\0")
check("proc", os.lseek(own, 0, os.SEEK_CUR), 100)
os.kill(child, 9)
os.waitpid(child, 0)
done()
