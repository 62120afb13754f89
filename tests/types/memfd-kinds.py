# memfds: private mappings, one that is only mapped, executable or not for good, huge pages, sealed for writing.
import fcntl
import mmap
import os

from common import check, done, ready

ADD, GET = 1033, 1034
SEAL, SHRINK, GROW, WRITE, FUTURE, EXEC = 1, 2, 4, 8, 16, 32
NOEXEC, MEXEC = 8, 16


def make(name, flags, content, seals=0):
    fd = os.memfd_create(name, flags)
    os.write(fd, content)
    if seals:
        fcntl.fcntl(fd, ADD, seals)
    return fd


a = make("private", os.MFD_ALLOW_SEALING, b"A" * 8192)
pm = mmap.mmap(a, 8192, mmap.MAP_PRIVATE)
pm[0:1] = b"P"
os.pwrite(a, b"B", 4096)
only = make("only mapped", 0, b"O" * 4096)
om = mmap.mmap(only, 4096, mmap.MAP_SHARED)
os.close(only)
sealed = make("sealed", os.MFD_ALLOW_SEALING, b"S" * 4096, WRITE | SHRINK | GROW)
sm = mmap.mmap(sealed, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
future = make("future", os.MFD_ALLOW_SEALING, b"F" * 4096)
fm = mmap.mmap(future, 4096, mmap.MAP_SHARED)
fcntl.fcntl(future, ADD, FUTURE)
empty = os.memfd_create("", 0)
extra = []
for flags in (NOEXEC, MEXEC):
    try:
        extra.append(os.memfd_create("exec", flags | os.MFD_ALLOW_SEALING))
    except OSError:
        pass
if extra:
    os.fchmod(extra[-1], 0o755)
    try:
        fcntl.fcntl(extra[-1], ADD, EXEC)
    except OSError:
        pass
fds = [a, sealed, future, empty] + extra
before = [(os.readlink(f"/proc/self/fd/{fd}"), fcntl.fcntl(fd, GET), oct(os.fstat(fd).st_mode), os.fstat(fd).st_size)
          for fd in fds]
ready()
check("files", [(os.readlink(f"/proc/self/fd/{fd}"), fcntl.fcntl(fd, GET), oct(os.fstat(fd).st_mode),
                 os.fstat(fd).st_size) for fd in fds], before)
check("private", (pm[0:2], pm[4096:4097], os.pread(a, 1, 0), os.pread(a, 1, 4096)), (b"PA", b"B", b"A", b"B"))
os.pwrite(a, b"C", 4097)
check("not yet copied", pm[4097:4098], b"C")
check("only mapped", om[:2], b"OO")
check("sealed", sm[:2], b"SS")
fm[0:1] = b"f"
check("mapped before the seal", os.pread(future, 2, 0), b"fF")
for fd in (sealed, future):
    try:
        os.pwrite(fd, b"x", 0)
        check("seal", "written", "refused")
    except PermissionError:
        pass
done()
