# A namespace that only its descriptor keeps.
# refused: ns-outside
# says: net:\[[0-9]+\], and it is mounted nowhere; --external net\[[0-9]+\]:KEY
import os

from common import done, ready, sys_call

pid = os.fork()
if not pid:
    sys_call("unshare", 0x40000000)
    os.execvp("sleep", ["sleep", "1000"])
while os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
    pass
fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
os.kill(pid, 9)
os.waitpid(pid, 0)
ready()
done()
