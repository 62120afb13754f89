# inotify: events that nobody has read are lost, and the program is told so by the kernel's own word.
import os
import struct

from common import check, done, fdinfo, ready, sys_call

Q_OVERFLOW = 0x4000
fd = sys_call("inotify_init1", 0o4000)
os.mkdir("dir")
wd = sys_call("inotify_add_watch", fd, b"dir", 0x300)
open("dir/new", "w").close()
none = sys_call("inotify_init1", 0o4000)
sys_call("inotify_add_watch", none, b"dir", 0x200)
ready()
check("watch", [fdinfo(x).count("inotify wd") for x in (fd, none)], [1, 1])
data = os.read(fd, 65536)
check("queue", (len(data), struct.unpack("iIII", data[:16])), (16, (-1, Q_OVERFLOW, 0, 0)))
try:
    check("nothing was lost here", os.read(none, 65536), "nothing")
except BlockingIOError:
    pass
open("dir/newer", "w").close()
check("usable", b"newer" in os.read(fd, 4096), True)
done()
