# pidfds of processes that are gone: which lead to the same one, and how it ended.
import ctypes
import fcntl
import os
import select
import signal

from common import check, done, ready, sys_call


def child(act):
    pid = os.fork()
    if not pid:
        act()
        signal.pause()
    return pid


def end(fd):
    """PIDFD_GET_INFO, PIDFD_INFO_EXIT: Linux 6.15."""
    buf = bytearray((1 << 3).to_bytes(8, "little") + bytes(56))
    try:
        fcntl.ioctl(fd, 0xc040ff0b, buf)
    except OSError:
        return None
    return int.from_bytes(buf[60:], "little") if buf[0] & 8 else None


a, b = child(lambda: None), child(lambda: None)
fds = [os.pidfd_open(a), os.pidfd_open(a, os.O_NONBLOCK), os.pidfd_open(b)]
os.kill(a, signal.SIGKILL)
os.kill(b, signal.SIGTERM)
os.waitpid(a, 0)
os.waitpid(b, 0)
ends = [end(fd) for fd in fds]
ready()
ino = [os.fstat(fd).st_ino for fd in fds]
check("same process", ino[0] == ino[1], True)
check("another", ino[0] != ino[2], True)
check("how they ended", [end(fd) for fd in fds], ends)
for fd in fds:
    check("readable", select.select([fd], [], [], 0)[0], [fd])
    try:
        signal.pidfd_send_signal(fd, 0)
        check("gone", "there", "gone")
    except ProcessLookupError:
        pass
done()
