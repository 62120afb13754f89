# inotify and fanotify: a symbolic link that is watched itself, beside the file that it leads to.
import ctypes
import os
import struct

from common import check, done, fdinfo, libc, ready, sys_call

ALL, DONT_FOLLOW = 0xfff, 0x02000000
ADD, MARK_DONT_FOLLOW, OPEN, DELETE_SELF, REPORT_FID = 1, 4, 0x20, 0x400, 0x200
os.close(os.open("file", os.O_RDWR | os.O_CREAT))
os.symlink("file", "link")
fd = sys_call("inotify_init1", 0o4000)
sys_call("inotify_add_watch", fd, b"file", ALL)
link = sys_call("inotify_add_watch", fd, b"link", ALL | DONT_FOLLOW)
fan = libc.fanotify_init(REPORT_FID | 2, os.O_RDONLY)
if fan >= 0:
    sys_call("fanotify_mark", fan, ADD | MARK_DONT_FOLLOW, ctypes.c_uint64(DELETE_SELF), -100, b"link")


def watches(of):
    return sorted(x for x in fdinfo(of).splitlines() if x.startswith(("inotify", "fanotify ino")))


before = watches(fd), watches(fan) if fan >= 0 else []
ready()
check("watches", (watches(fd), watches(fan) if fan >= 0 else []), before)
os.unlink("link")
check("event", struct.unpack("iI", os.read(fd, 1000)[:8])[0], link)
done()
