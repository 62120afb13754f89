# inotify: a watched file that was deleted, one that was renamed, one with a second name; nothing
# of the restore in the queue.
import ctypes
import os
import struct

from common import check, done, fdinfo, ready, sys_call

MODIFY, ALL = 2, 0xfff
os.mkdir("watched")
os.chdir("watched")
fd = sys_call("inotify_init1", 0o4000)
here = sys_call("inotify_add_watch", fd, b".", ALL)
gone = os.open("gone", os.O_RDWR | os.O_CREAT)
w = {}
for name in ("gone", "moved", "two"):
    open(name, "a").close()
    w[name] = sys_call("inotify_add_watch", fd, name.encode(), MODIFY)
os.rename("moved", "elsewhere")
os.link("two", "names")
os.unlink("two")
os.unlink("gone")
os.read(fd, 65536)
ready()
try:
    check("queue", os.read(fd, 65536), "nothing")
except BlockingIOError:
    pass
check("watches", fdinfo(fd).count("inotify wd"), 4)


def event(what, name):
    wds = set()
    data = os.read(fd, 65536)
    while data:
        wd, mask, cookie, n = struct.unpack("iIII", data[:16])
        if mask & MODIFY:
            wds.add(wd)
        data = data[16 + n:]
    check(what, w[name] in wds, True)


os.write(gone, b"x")
event("deleted", "gone")
with open("elsewhere", "w") as f:
    f.write("x")
event("renamed", "moved")
with open("names", "w") as f:
    f.write("x")
event("linked", "two")
done()
