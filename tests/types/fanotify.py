# fanotify: marks of files, directories and mounts, ignored masks, a deleted file, an empty queue.
import os

from common import check, done, fdinfo, libc, ready, sys_call

AT_FDCWD, ADD, MOUNT, IGNORED, SURVIVES = -100, 1, 0x10, 0x20, 0x40
ACCESS, MODIFY, OPEN, ONDIR, ON_CHILD = 1, 2, 0x20, 0x40000000, 0x08000000


def mark(fd, flags, mask, path):
    import ctypes
    sys_call("fanotify_mark", fd, flags, ctypes.c_uint64(mask), AT_FDCWD, path.encode())


os.mkdir("dir")
open("file", "w").close()
gone = os.open("gone", os.O_RDWR | os.O_CREAT)
fd = sys_call("fanotify_init", 2, os.O_RDONLY | os.O_LARGEFILE)
mark(fd, ADD, OPEN | MODIFY, "file")
mark(fd, ADD, OPEN | ONDIR | ON_CHILD, "dir")
mark(fd, ADD, MODIFY, "gone")
mark(fd, ADD | MOUNT | IGNORED | SURVIVES, ACCESS, "/proc")
os.unlink("gone")


def lines():
    return sorted(" ".join(w for w in x.split() if not w.startswith(("ino:", "f_handle:")))
                  for x in fdinfo(fd).splitlines() if x.startswith("fanotify"))


before = lines()
ready()
check("marks", lines(), before)
try:
    check("queue", os.read(fd, 4096), "nothing")
except BlockingIOError:
    pass
open("dir/new", "w").close()
check("event", int.from_bytes(os.read(fd, 4096)[8:16], "little") & OPEN, OPEN)
os.write(gone, b"x")
check("deleted", int.from_bytes(os.read(fd, 4096)[8:16], "little") & MODIFY, MODIFY)
done()
