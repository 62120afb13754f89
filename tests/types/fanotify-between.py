# fanotify as both tools know it.
import ctypes
import os

from common import check, done, ready, sys_call

ADD, OPEN, MODIFY, ON_CHILD = 1, 0x20, 2, 0x08000000
os.mkdir("dir")
open("file", "w").close()
fd = sys_call("fanotify_init", 2, os.O_RDONLY | os.O_LARGEFILE)
sys_call("fanotify_mark", fd, ADD, ctypes.c_uint64(MODIFY), -100, b"file")
sys_call("fanotify_mark", fd, ADD, ctypes.c_uint64(OPEN | ON_CHILD), -100, b"dir")
ready()
try:
    check("queue", os.read(fd, 4096), "nothing")
except BlockingIOError:
    pass
open("dir/new", "w").close()
check("directory", int.from_bytes(os.read(fd, 4096)[8:16], "little") & OPEN, OPEN)
with open("file", "w") as f:
    f.write("x")
check("file", int.from_bytes(os.read(fd, 4096)[8:16], "little") & MODIFY, MODIFY)
done()
