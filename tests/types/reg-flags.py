# Regular files: every flag that stays, owners of all kinds, write hints, O_TMPFILE that gets a name.
import fcntl
import os
import struct
import threading

from common import check, done, libc, ready

F_SETOWN_EX, F_GETOWN_EX, F_GET_RW_HINT, F_SET_RW_HINT = 15, 16, 1035, 1036
TID, PID, PGRP = 0, 1, 2


def hint(fd, value=None):
    if value is None:
        return struct.unpack("Q", fcntl.fcntl(fd, F_GET_RW_HINT, bytes(8)))[0]
    return fcntl.fcntl(fd, F_SET_RW_HINT, struct.pack("Q", value))


def owner(fd):
    return struct.unpack("ii", fcntl.fcntl(fd, F_GETOWN_EX, bytes(8)))


def set_owner(fd, kind, pid):
    fcntl.fcntl(fd, F_SETOWN_EX, struct.pack("ii", kind, pid))


def link(fd, name):
    return libc.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, name.encode(), 0x400)


with open("data", "w") as f:
    f.write("x" * 8192)
kinds = (os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR | os.O_SYNC, os.O_RDWR | os.O_DSYNC,
         os.O_RDONLY | os.O_NOATIME | os.O_NONBLOCK, os.O_RDWR | os.O_NOFOLLOW, os.O_PATH, os.O_PATH | os.O_NOFOLLOW,
         os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_LARGEFILE, os.O_RDONLY | os.O_ASYNC, 3)
fds = [os.open("data", k & ~os.O_TRUNC) for k in kinds]
fds.append(os.open(".", os.O_PATH | os.O_DIRECTORY))
fds.append(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW))
fds.append(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_ASYNC))
try:
    fds.append(os.open("data", os.O_RDONLY | os.O_DIRECT))
except OSError:
    pass
t = os.open(".", os.O_RDWR | os.O_TMPFILE, 0o640)
os.write(t, b"to be linked")
gone = os.open("gone", os.O_RDWR | os.O_CREAT | os.O_ASYNC, 0o600)
os.unlink("gone")
named = os.open("named", os.O_RDWR | os.O_CREAT, 0o600)
for i, fd in enumerate((t, gone, named)):
    hint(fd, i + 2)
p, q = os.pipe()
set_owner(p, PGRP, os.getpgrp())
fcntl.fcntl(p, fcntl.F_SETSIG, 44)
fcntl.fcntl(p, fcntl.F_SETFL, fcntl.fcntl(p, fcntl.F_GETFL) | os.O_ASYNC)
fcntl.fcntl(fds[0], fcntl.F_SETSIG, 45)
set_owner(fds[1], PID, os.getpid())
set_owner(fds[2], TID, os.getpid())
stop = threading.Event()
tids = []
thread = threading.Thread(target=lambda: (tids.append(threading.get_native_id()), stop.wait()), daemon=True)
thread.start()
while not tids:
    pass
set_owner(fds[3], TID, tids[0])
fds += [t, gone, named, p, q]
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]
ready()
for fd, want in zip(fds, flags):
    check(f"flags of {os.readlink(f'/proc/self/fd/{fd}')}", oct(fcntl.fcntl(fd, fcntl.F_GETFL)), oct(want))
check("hints", [hint(fd) for fd in (t, gone, named)], [2, 3, 4])
check("owners", [owner(fd) for fd in (p, *fds[1:4])],
      [(PGRP, os.getpgrp()), (PID, os.getpid()), (TID, os.getpid()), (TID, tids[0])])
check("signals", [fcntl.fcntl(fd, fcntl.F_GETSIG) for fd in (p, fds[0])], [44, 45])
check("link", link(t, "linked"), 0)
with open("linked") as f:
    check("linked", f.read(), "to be linked")
stop.set()
thread.join()
done()
