# System V shared memory: content, key and id, who made it, read-only and in part, marked to go, shared by tasks.
import ctypes
import os
import signal

from common import check, done, libc, ready

libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
libc.shmdt.argtypes = [ctypes.c_void_p]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
CREAT, RDONLY, RMID, KEY, PAGE = 0o1000, 0o10000, 0, 0x1234abcd, 4096


def attach(i, flags=0):
    at = libc.shmat(i, None, flags)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "shmat")
    return at


def rows():
    """What /proc tells of the segments, but for pids and times."""
    out = []
    with open("/proc/sysvipc/shm") as f:
        next(f)
        for line in f:
            w = line.split()
            out.append(w[:4] + w[6:11])
    return sorted(out)


os.setegid(34)
os.seteuid(12)
named = libc.shmget(KEY, 5 * PAGE - 100, CREAT | 0o640)
os.seteuid(0)
os.setegid(0)
a = attach(named)
ctypes.memmove(a, b"named segment", 13)
ctypes.memmove(a + 4 * PAGE, b"tail", 4)
ro = attach(named, RDONLY)
part = attach(named)
libc.munmap(part, PAGE)
libc.munmap(part + 3 * PAGE, 2 * PAGE)
# One attachment in three mappings and a hole.
cut = attach(named)
libc.mprotect(ctypes.c_void_p(cut + PAGE), ctypes.c_size_t(PAGE), 1)
libc.munmap(cut + 3 * PAGE, PAGE)
gone = libc.shmget(0, 2 * PAGE, CREAT | 0o600)
g = attach(gone)
ctypes.memmove(g, b"to go", 5)
libc.shmctl(gone, RMID, None)
r, w = os.pipe()
child = os.fork()
if not child:
    signal.signal(signal.SIGUSR2, lambda *_: (ctypes.memmove(g, b"child", 5), os.write(w, b"x")))
    while True:
        signal.pause()
before = rows()
ready()
check("segments", rows(), before)
check("content", [ctypes.string_at(x, n) for x, n in ((a, 13), (ro, 13), (a + 4 * PAGE, 4), (g, 5))],
      [b"named segment", b"named segment", b"tail", b"to go"])
check("in parts", [ctypes.string_at(cut, 13), ctypes.string_at(cut + 4 * PAGE, 4)], [b"named segment", b"tail"])
ctypes.memmove(a + PAGE, b"second page", 11)
check("the part that is only read", ctypes.string_at(cut + PAGE, 11), b"second page")
check("one segment", [ctypes.string_at(x + PAGE, 11) for x in (ro, part)], [b"second page"] * 2)
check("found by its key", libc.shmget(KEY, 0, 0), named)
os.kill(child, signal.SIGUSR2)
os.read(r, 1)
check("shared", ctypes.string_at(g, 5), b"child")
for at in (a, ro, part + PAGE):
    libc.shmdt(at)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
libc.shmdt(g)
left = [x[1] for x in rows()]
check("gone with its last user", str(gone) in left, False)
check("the other one stays", str(named) in left, True)
libc.shmctl(named, RMID, None)
done()
