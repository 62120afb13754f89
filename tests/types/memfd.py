# memfds: name, content, position, seals, two descriptions of one file.
import fcntl
import mmap
import os

from common import check, done, ready

ADD, GET, SHRINK, GROW, SEAL = 1033, 1034, 2, 4, 1
a = os.memfd_create("name with space", os.MFD_ALLOW_SEALING)
os.write(a, b"content" * 10000)
os.pwrite(a, b"far", 5 << 20)
fcntl.fcntl(a, ADD, SHRINK | GROW | SEAL)
b = os.open(f"/proc/self/fd/{a}", os.O_RDONLY)
m = mmap.mmap(a, 8192, mmap.MAP_SHARED)
m[0:4] = b"CONT"
link, st = os.readlink(f"/proc/self/fd/{a}"), os.fstat(a)
ready()
check("name", os.readlink(f"/proc/self/fd/{a}"), link)
check("seals", fcntl.fcntl(a, GET), SHRINK | GROW | SEAL)
check("size", os.fstat(a).st_size, st.st_size)
check("mode", os.fstat(a).st_mode, st.st_mode)
check("position", os.lseek(a, 0, os.SEEK_CUR), 70000)
check("content", os.pread(b, 14, 0), b"CONTentcontent")
check("far", os.pread(b, 3, 5 << 20), b"far")
m[0:4] = b"maps"
check("mapping", os.pread(b, 4, 0), b"maps")
done()
