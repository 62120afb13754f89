# Files of proc and sysfs, through a bind mount, on tmpfs and overlayfs: a lower file, one copied up, a deleted one.
import os
import subprocess

from common import check, done, ready


def mount(*args):
    return subprocess.run(["mount", *args], stderr=subprocess.DEVNULL).returncode == 0


def opened(name, flags=os.O_RDONLY):
    fds.append(os.open(name, flags | os.O_CREAT if flags & os.O_RDWR else flags, 0o600))
    return fds[-1]


fds = []
os.makedirs("src")
with open("src/file", "w") as f:
    f.write("bound")
os.mkdir("dst")
check("bind mount", mount("--bind", "src", "dst"), True)
bound = opened("dst/file")
os.mkdir("tmp")
check("tmpfs", mount("-t", "tmpfs", "none", "tmp"), True)
t = opened("tmp/file", os.O_RDWR)
os.write(t, b"tmpfs")
td = opened("tmp/gone", os.O_RDWR)
os.write(td, b"deleted on tmpfs")
os.unlink("tmp/gone")
for name in ("lower", "upper", "work", "all"):
    os.mkdir("tmp/" + name)
for name in ("low", "up", "del"):
    with open("tmp/lower/" + name, "w") as f:
        f.write(name)
over = mount("-t", "overlay", "overlay", "-o", "lowerdir=tmp/lower,upperdir=tmp/upper,workdir=tmp/work", "tmp/all")
low = up = dl = new = None
if over:
    low = opened("tmp/all/low")
    up = opened("tmp/all/up", os.O_RDWR)
    os.pwrite(up, b"UP", 0)
    dl = opened("tmp/all/del")
    os.unlink("tmp/all/del")
    new = opened("tmp/all/new", os.O_RDWR)
    os.write(new, b"new")
    os.unlink("tmp/all/new")
p = opened("/proc/self/status")
os.read(p, 10)
pd = opened("/proc/self/fd")
pg = opened("/proc/meminfo")
os.read(pg, 20)
psys = opened("/proc/sys/kernel/ostype")
s = opened("/sys/kernel/mm/transparent_hugepage/enabled")
first = os.read(s, 4)
sd = opened("/sys/kernel")
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
ready()
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in fds], links)
check("bound", os.pread(bound, 9, 0), b"bound")
os.pwrite(t, b"T", 0)
check("tmpfs", os.pread(t, 9, 0), b"Tmpfs")
check("deleted on tmpfs", os.pread(td, 99, 0), b"deleted on tmpfs")
if over:
    check("overlay", [os.pread(fd, 9, 0) for fd in (low, up, dl, new)], [b"low", b"UP", b"del", b"new"])
check("position in proc", os.lseek(p, 0, os.SEEK_CUR), 10)
check("own file of proc", b"\nPid:\t%d\n" % os.getpid() in os.pread(p, 4096, 0), True)
check("own descriptors", str(pd) in os.listdir(pd), True)
check("meminfo", os.pread(pg, 9, 0), b"MemTotal:")
check("sysctl", os.read(psys, 9), b"Linux\n")
check("sysfs", os.lseek(s, 0, os.SEEK_CUR), 4)
check("sysfs", os.pread(s, 4, 0), first)
check("directory of sysfs", "mm" in os.listdir(sd), True)
for name in ("tmp/all",) * over + ("tmp", "dst"):
    subprocess.run(["umount", "-l", name])
done()
