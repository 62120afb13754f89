# Files without a name: content, holes, sharing, O_TMPFILE, directories, FIFOs, a replaced name.
import mmap
import os
import stat

from common import check, done, ready

g = os.open("gone", os.O_RDWR | os.O_CREAT, 0o640)
os.write(g, b"start")
os.pwrite(g, b"end", 10 << 20)
g2 = os.open("gone", os.O_RDONLY)
os.unlink("gone")
os.utime(g, (1000, 2000))
t = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o600)
os.write(t, b"tmpfile")
os.mkdir("dir")
d = os.open("dir", os.O_RDONLY)
os.rmdir("dir")
os.mkdir("up")
u = os.open("up/file", os.O_RDWR | os.O_CREAT)
os.write(u, b"parent gone")
os.unlink("up/file")
os.rmdir("up")
os.mkfifo("ff")
ff = os.open("ff", os.O_RDWR)
os.unlink("ff")
os.write(ff, b"fifo")
old = os.open("name", os.O_RDWR | os.O_CREAT)
os.write(old, b"old")
with open("other", "w") as f:
    f.write("new")
os.rename("other", "name")
os.mkdir("taken")
td = os.open("taken", os.O_RDONLY)
os.rmdir("taken")
os.symlink("name", "taken")
tl = os.open("taken", os.O_PATH | os.O_NOFOLLOW)
os.unlink("taken")
os.mkfifo("taken")
tf = os.open("taken", os.O_RDWR)
os.unlink("taken")
os.write(tf, b"fifo")
with open("taken", "w") as f:
    f.write("taken")
mapped = mmap.mmap(old, 0)
taken = (old, td, tl, tf)
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (g, g2, d, u, ff, *taken)]


def in_maps():
    with open("/proc/self/maps") as f:
        return [line.split(maxsplit=5)[5] for line in f if "/name (deleted)" in line]


maps = in_maps()
ready()
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in (g, g2, d, u, ff, *taken)], links)
check("maps", in_maps(), maps)
check("mapped", mapped[:3], b"old")
check("taken", (os.listdir(td), os.readlink("", dir_fd=tl), os.read(tf, 9)), ([], "name", b"fifo"))
with open("taken") as f:
    check("taken since", f.read(), "taken")
st = os.fstat(g)
check("mode", oct(st.st_mode), oct(stat.S_IFREG | 0o640))
check("nlink", st.st_nlink, 0)
check("mtime", st.st_mtime, 2000)
check("size", st.st_size, (10 << 20) + 3)
check("sparse", st.st_blocks * 512 < 1 << 20, True)
check("head", os.pread(g, 5, 0), b"start")
check("tail", os.pread(g, 3, 10 << 20), b"end")
check("hole", os.pread(g, 4, 5 << 20), b"\0\0\0\0")
os.pwrite(g, b"START", 0)
check("one inode", os.pread(g2, 5, 0), b"START")
check("position", os.lseek(g, 0, os.SEEK_CUR), 5)
check("tmpfile", os.pread(t, 10, 0), b"tmpfile")
check("dir", (os.fstat(d).st_nlink, os.listdir(d)), (0, []))
check("parent", os.pread(u, 20, 0), b"parent gone")
check("fifo", os.read(ff, 10), b"fifo")
check("replaced", os.pread(old, 10, 0), b"old")
with open("name") as f:
    check("replacement", f.read(), "new")
own = ("after", "before", "images")
check("nothing left", sorted(x for x in os.listdir(".") if not x.startswith(own)), ["name", "out", "taken"])
done()
