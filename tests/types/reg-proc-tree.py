# Files of /proc of other tasks of the tree, of threads, of a zombie.
import os
import signal
import threading

from common import check, done, ready

child = os.fork()
if not child:
    signal.pause()
zombie = os.fork()
if not zombie:
    os._exit(3)
os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
stop, tids = threading.Event(), []
thread = threading.Thread(target=lambda: (tids.append(threading.get_native_id()), stop.wait()), daemon=True)
thread.start()
while not tids:
    pass
names = [f"/proc/{child}/status", f"/proc/{child}", f"/proc/{child}/fd", f"/proc/{zombie}/stat",
         f"/proc/{os.getpid()}/task", f"/proc/{os.getpid()}/task/{tids[0]}/comm", f"/proc/{os.getpid()}/task/{tids[0]}",
         f"/proc/{child}/ns", "/proc", f"/proc/{os.getpid()}/fdinfo/0", f"/proc/{os.getpid()}/maps"]
fds = [os.open(n, os.O_RDONLY) for n in names]
ready()
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in fds], names)
check("child", b"\nPid:\t%d\n" % child in os.read(fds[0], 4096), True)
check("zombie", os.read(fds[3], 4096).split()[2], b"Z")
check("tasks", str(tids[0]) in os.listdir(fds[4]), True)
check("thread", os.read(fds[5], 100), b"python3\n")
check("maps", b"[stack]" in os.read(fds[10], 1 << 20) + os.read(fds[10], 1 << 20), True)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
check("zombie's status", os.WEXITSTATUS(os.waitpid(zombie, 0)[1]), 3)
stop.set()
thread.join()
done()
