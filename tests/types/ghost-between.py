# Deleted files as both tools know them: content, one inode open twice, a directory, a FIFO.
import os

from common import check, done, ready

g = os.open("gone", os.O_RDWR | os.O_CREAT, 0o640)
os.write(g, b"start")
os.pwrite(g, b"end", 100000)
g2 = os.open("gone", os.O_RDONLY)
os.unlink("gone")
os.mkdir("dir")
d = os.open("dir", os.O_RDONLY)
os.rmdir("dir")
os.mkfifo("ff")
ff = os.open("ff", os.O_RDWR)
os.unlink("ff")
os.write(ff, b"fifo")
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (g, g2, d, ff)]
ready()
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in (g, g2, d, ff)], links)
check("content", (os.pread(g, 5, 0), os.pread(g, 3, 100000)), (b"start", b"end"))
os.pwrite(g, b"START", 0)
check("one inode", os.pread(g2, 5, 0), b"START")
check("gone", [os.fstat(fd).st_nlink for fd in (g, d)], [0, 0])
check("fifo", os.read(ff, 10), b"fifo")
check("nothing left", [x for x in os.listdir(".") if x.startswith(("gone", "dir", "ff"))], [])
done()
