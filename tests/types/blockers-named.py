# What cannot be dumped is called by its name, each.
# refused: file-kind
# says: perf_event_open
# says: an io_uring
# says: POSIX message queue
# says: fsopen
# says: Landlock
import ctypes
import os

from common import done, libc, ready

perf = ctypes.create_string_buffer(128)
perf[0:8] = (1).to_bytes(4, "little") + (112).to_bytes(4, "little")
libc.syscall(298, perf, 0, -1, -1, 0)
libc.syscall(425, 8, ctypes.create_string_buffer(120))
libc.mq_open(b"/blockers", os.O_CREAT | os.O_RDWR, 0o600, None)
libc.syscall(430, b"tmpfs", 0)
libc.syscall(444, (ctypes.c_uint64 * 1)(1), 8, 0)
ready()
done()
