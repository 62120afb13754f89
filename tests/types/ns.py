# Descriptors of the namespaces that the task is in.
import os

from common import check, done, ready

KINDS = ("pid", "net", "mnt", "user", "ipc", "uts", "cgroup", "time")
fds = [os.open(f"/proc/self/ns/{k}", os.O_RDONLY) for k in KINDS]
before = [(os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_ino) for fd in fds]
ready()
check("links", [(os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd).st_ino) for fd in fds], before)
done()
