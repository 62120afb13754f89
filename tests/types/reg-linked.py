# Files that have lost the name they were opened by, and have others.
# dump: --link-remap
import os

from common import check, done, ready

for name in ("a", "b", "c"):
    with open(name, "w") as f:
        f.write(name)
os.link("a", "a2")
a = os.open("a", os.O_RDWR)
a_too = os.open("a2", os.O_RDONLY)
os.unlink("a")
os.link("b", "b2")
b = os.open("b", os.O_RDONLY)
os.rename("c", "b")
os.mkdir("dir")
os.link("b2", "dir/b3")
far = os.open("dir/b3", os.O_RDONLY)
os.unlink("dir/b3")
os.rmdir("dir")
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (a, a_too, far)]
inodes = [os.fstat(fd).st_ino for fd in (a, a_too, b, far)]
counts = [os.fstat(fd).st_nlink for fd in (a, b)]


def names():
    return sorted(x for x in os.listdir(".") if x[:4] in ("a", "a2", "b", "b2", "c", "dir", "link"))


before = names()
ready()
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in (a, a_too, far)], links)
check("inodes", [os.fstat(fd).st_ino for fd in (a, a_too, b, far)], inodes)
check("content", [os.pread(fd, 9, 0) for fd in (a, b, far)], [b"a", b"b", b"b"])
check("link counts", [os.fstat(fd).st_nlink for fd in (a, b)], counts)
check("names", names(), before)
done()
