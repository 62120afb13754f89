# inotify: watches under their numbers, masks.
import ctypes
import os
import struct

from common import check, done, fdinfo, ready, sys_call

CREATE, DELETE, MODIFY, ONLYDIR = 0x100, 0x200, 2, 0x1000000
fd = sys_call("inotify_init1", 0o4000)
os.mkdir("one")
os.mkdir("two")
open("three", "w").close()
gone = sys_call("inotify_add_watch", fd, b"one", CREATE)
two = sys_call("inotify_add_watch", fd, b"two", CREATE | DELETE | ONLYDIR)
three = sys_call("inotify_add_watch", fd, b"three", MODIFY)
sys_call("inotify_rm_watch", fd, gone)
os.read(fd, 4096)
before = sorted(fdinfo(fd).splitlines()[4:])
ready()
check("watches", sorted(fdinfo(fd).splitlines()[4:]), before)
open("two/new", "w").close()
wd, mask = struct.unpack("iI", os.read(fd, 4096)[:8])
check("event", (wd, mask), (two, CREATE))
with open("three", "w") as f:
    f.write("x")
check("other", struct.unpack("iI", os.read(fd, 4096)[:8]), (three, MODIFY))
done()
