# Files of /proc of a process that is gone; one is the working directory.
import os
import signal

from common import check, done, ready

pid = os.fork()
if not pid:
    signal.pause()
d = os.open(f"/proc/{pid}", os.O_RDONLY)
s = os.open(f"/proc/{pid}/status", os.O_RDONLY)
back = os.open(".", os.O_RDONLY)
os.chdir(f"/proc/{pid}")
os.kill(pid, signal.SIGKILL)
os.waitpid(pid, 0)
links = [os.readlink(f"/proc/self/{x}") for x in (f"fd/{d}", f"fd/{s}", "cwd")]
ready()
check("links", [os.readlink(f"/proc/self/{x}") for x in (f"fd/{d}", f"fd/{s}", "cwd")], links)
for what, act in (("read", lambda: os.read(s, 100)), ("cwd", os.getcwd)):
    try:
        act()
        check(what, "works", "fails")
    except OSError:
        pass
os.fchdir(back)
done()
