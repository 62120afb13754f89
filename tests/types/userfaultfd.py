# userfaultfd: memory whose pages another task supplies, some there and some not yet; one that is not used.
import ctypes
import fcntl
import os
import select
import struct
import threading

from common import check, done, fdinfo, libc, ready

API, REGISTER, COPY = 0xc018aa3f, 0xc020aa00, 0xc028aa03
PAGE, N = 4096, 600
libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, ctypes.c_size_t(N * PAGE), 3, 0x22, -1, 0)
fd = libc.syscall(323, 0o2004000)
fcntl.ioctl(fd, API, struct.pack("QQQ", 0xaa, 0, 0))
fcntl.ioctl(fd, REGISTER, struct.pack("QQQQ", at, N * PAGE, 1, 0))
page = ctypes.create_string_buffer(PAGE)
asked = []
stop = os.pipe()


def serve():
    """Supplies a page with the number of it, as a fault asks for it."""
    while True:
        ready_fds = select.select([fd, stop[0]], [], [])[0]
        if stop[0] in ready_fds:
            return
        try:
            msg = os.read(fd, 32)
        except BlockingIOError:
            continue
        where = struct.unpack("Q", msg[16:24])[0] & ~(PAGE - 1)
        n = (where - at) // PAGE
        asked.append(n)
        page[0:8] = struct.pack("Q", n)
        fcntl.ioctl(fd, COPY, struct.pack("QQQQq", where, ctypes.addressof(page), PAGE, 0, 0))


thread = threading.Thread(target=serve, daemon=True)
thread.start()


def read_all(numbers):
    """Reads pages through a pipe: the kernel's copy lets the serving thread run."""
    out = []
    r, w = os.pipe()
    for n in numbers:
        libc.write(w, ctypes.c_void_p(at + n * PAGE), ctypes.c_size_t(8))
        out.append(struct.unpack("Q", os.read(r, 8))[0])
    os.close(r)
    os.close(w)
    return out


check("before", read_all([0, 5, 599, 300]), [0, 5, 599, 300])
first = sorted(asked)
ctypes.memmove(at + 5 * PAGE + 100, b"written", 7)
info = [x for x in fdinfo(fd).splitlines() if x.startswith("API")]
flags = [x for x in open("/proc/self/smaps") if x.startswith("VmFlags") and " um" in x]
ready()
check("features", [x for x in fdinfo(fd).splitlines() if x.startswith("API")], info)
check("registered", [x for x in open("/proc/self/smaps") if x.startswith("VmFlags") and " um" in x], flags)
check("asked before", first, [0, 5, 300, 599])
check("there", read_all([0, 5, 300, 599]), [0, 5, 300, 599])
check("not asked again", sorted(asked), first)
check("written", ctypes.string_at(at + 5 * PAGE + 100, 7), b"written")
check("missing", read_all([1, 6, 301, 598]), [1, 6, 301, 598])
check("asked after", sorted(asked), sorted(first + [1, 6, 301, 598]))
os.write(stop[1], b"x")
thread.join()
done()
