# Devices that keep nothing per descriptor, one of them by another path than it was opened by.
# dump: --evasive-devices
import fcntl
import os

from common import check, done, ready

PATHS = {"null": os.O_RDWR, "zero": os.O_RDONLY, "full": os.O_WRONLY | os.O_APPEND, "random": os.O_RDONLY,
         "urandom": os.O_RDONLY, "kmsg": os.O_WRONLY, "rtc": os.O_RDONLY, "rtc0": os.O_RDONLY, "hwrng": os.O_RDONLY,
         "hpet": os.O_RDONLY, "loop-control": os.O_RDWR}
fds = []
for name, flags in PATHS.items():
    try:
        fds.append(os.open("/dev/" + name, flags | os.O_NONBLOCK))
    except OSError:
        pass
os.mknod("mine", 0o600 | 0o020000, os.makedev(1, 5))
os.chmod("mine", 0o666)
gone = os.open("mine", os.O_RDONLY)
os.unlink("mine")
block = None
if os.path.exists("/dev/loop7"):
    block = os.open("/dev/loop7", os.O_PATH)
fds += [gone] + [block] * (block is not None)


def look():
    return [(fcntl.fcntl(fd, fcntl.F_GETFL), os.fstat(fd).st_rdev) for fd in fds]


before = look()
ready()
check("devices", look(), before)
check("read", os.read(gone, 3), b"\0\0\0")
check("another path", os.readlink(f"/proc/self/fd/{gone}"), "/dev/zero")
done()
