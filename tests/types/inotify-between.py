# A watched file that was deleted, as both tools can have it in an image: where handles of files last, which is not on tmpfs.
import os
import shutil
import struct
import tempfile

from common import check, done, fdinfo, ready, sys_call

MODIFY = 2
there = tempfile.mkdtemp(dir="/var/tmp")
name = os.path.join(there, "gone")
fd = sys_call("inotify_init1", 0o4000)
gone = os.open(name, os.O_RDWR | os.O_CREAT)
w = sys_call("inotify_add_watch", fd, name.encode(), MODIFY)
os.unlink(name)
ready()
check("watches", fdinfo(fd).count("inotify wd"), 1)
os.write(gone, b"x")
check("event", os.read(fd, 1000)[:8], struct.pack("iI", w, MODIFY))
shutil.rmtree(there)
done()
