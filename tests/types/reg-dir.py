# Directories: how far they were read; deleted ones, one in another, with a file; the working directory is gone.
import os

from common import check, done, libc, ready


def some(fd, size=200):
    """Names of one getdents64()."""
    buf = bytearray(size)
    import ctypes
    raw = (ctypes.c_char * size).from_buffer(buf)
    n = libc.syscall(217, fd, raw, size)
    out, at = [], 0
    while at < n:
        length = int.from_bytes(buf[at + 16:at + 18], "little")
        out.append(buf[at + 19:at + length].split(b"\0")[0].decode())
        at += length
    return out


os.mkdir("many")
for i in range(300):
    open(f"many/{i}", "w").close()
d = os.open("many", os.O_RDONLY | os.O_DIRECTORY)
seen = []
for _ in range(5):
    seen += some(d)
position = os.lseek(d, 0, os.SEEK_CUR)
os.makedirs("outer/in")
out = os.open("outer", os.O_RDONLY)
inner = os.open("outer/in", os.O_RDONLY)
f = os.open("outer/in/file", os.O_RDWR | os.O_CREAT, 0o600)
os.write(f, b"in a deleted directory")
os.unlink("outer/in/file")
back = os.open(".", os.O_RDONLY)
os.chdir("outer/in")
os.rmdir("../in")
os.rmdir("../../outer")
os.mkdir("replaced", dir_fd=back)
repl = os.open("replaced", os.O_RDONLY, dir_fd=back)
os.rmdir("replaced", dir_fd=back)
os.mkdir("replaced", 0o711, dir_fd=back)
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (out, inner, f)]
cwd = os.readlink("/proc/self/cwd")
ready()
check("position", os.lseek(d, 0, os.SEEK_CUR), position)
while True:
    more = some(d, 4096)
    if not more:
        break
    seen += more
check("names", sorted(seen), sorted([".", ".."] + [str(i) for i in range(300)]))
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in (out, inner, f)], links)
check("cwd", os.readlink("/proc/self/cwd"), cwd)
check("gone", [os.fstat(fd).st_nlink for fd in (out, inner, f, repl)], [0, 0, 0, 0])
check("content", os.pread(f, 100, 0), b"in a deleted directory")
check("same directory", os.path.samestat(os.stat("."), os.fstat(inner)), True)
check("replacement", oct(os.stat("replaced", dir_fd=back).st_mode & 0o777), "0o711")
try:
    os.open("x", os.O_CREAT | os.O_RDWR)
    check("create in it", "created", "refused")
except OSError:
    pass
os.fchdir(back)
done()
