# inotify: events that nobody has read.
import ctypes
import os

from common import check, done, fdinfo, ready, sys_call

fd = sys_call("inotify_init1", 0o4000)
os.mkdir("dir")
wd = sys_call("inotify_add_watch", fd, b"dir", 0x300)
open("dir/new", "w").close()
ready()
check("watch", fdinfo(fd).count("inotify wd"), 1)
try:
    os.read(fd, 4096)
except BlockingIOError:
    pass
open("dir/newer", "w").close()
check("usable", b"newer" in os.read(fd, 4096), True)
done()
