# Shared memory of processes that are no relatives any more: /dev/zero, anonymous, a deleted file.
import ctypes
import mmap
import os
import signal

from common import check, done, libc, ready

libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
zero = os.open("/dev/zero", os.O_RDWR)
z = mmap.mmap(zero, 8192, mmap.MAP_SHARED)
os.close(zero)
anon = mmap.mmap(-1, 8192)
f = os.open("gone", os.O_RDWR | os.O_CREAT)
os.ftruncate(f, 8192)
file = mmap.mmap(f, 8192, mmap.MAP_SHARED)
os.close(f)
os.unlink("gone")
maps = (z, anon, file)
r, w = os.pipe()


def stranger(mark):
    """A process whose parent has ended, in a session of its own."""
    mid = os.fork()
    if not mid:
        os.setsid()
        pid = os.fork()
        if pid:
            os._exit(0)
        signal.signal(signal.SIGUSR2, lambda *_: ([m.__setitem__(slice(mark, mark + 1), b"%d" % mark) for m in maps],
                                                  os.write(w, b"x")))
        os.write(w, b"%8d" % os.getpid())
        while True:
            signal.pause()
    os.waitpid(mid, 0)
    return int(os.read(r, 8))


a, b = stranger(1), stranger(2)
for m in maps:
    m[0:1] = b"0"
links = [x.split(maxsplit=5)[5:] for x in open("/proc/self/maps") if "/dev/zero" in x or "gone" in x]
ready()
check("names", [x.split(maxsplit=5)[5:] for x in open("/proc/self/maps") if "/dev/zero" in x or "gone" in x], links)
for pid in (a, b):
    os.kill(pid, signal.SIGUSR2)
    os.read(r, 1)
check("shared", [m[0:3] for m in maps], [b"012"] * 3)
for pid in (a, b):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
done()
