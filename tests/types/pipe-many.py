# Two thousand pipes with data, in two processes.
import os
import resource
import signal

from common import check, done, ready

N = 2000
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * N + 100,) * 2)
pipes = [os.pipe() for _ in range(N)]
for i, (r, w) in enumerate(pipes):
    os.write(w, b"pipe %d" % i)
child = os.fork()
if not child:
    for r, w in pipes:
        os.close(r)
    while True:
        signal.pause()
for r, w in pipes:
    os.close(w)
ready()
check("data", [os.read(r, 100) for r, w in pipes], [b"pipe %d" % i for i in range(N)])
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
check("ends", {os.read(r, 1) for r, w in pipes}, {b""})
done()
