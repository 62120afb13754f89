# Pipes as both tools know them: data, capacity, flags, an end in a child, ends that are closed.
import fcntl
import os
import signal

from common import check, done, ready

r, w = os.pipe()
os.write(w, b"hello")
fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 1 << 17)
er, ew = os.pipe()
os.write(ew, b"last words")
os.close(ew)
cr, cw = os.pipe()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
child = os.fork()
if not child:
    for fd in (r, w, er, cr):
        os.close(fd)
    signal.signal(signal.SIGUSR2, lambda *_: os.write(cw, b"from the child"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
    while True:
        signal.pause()
os.close(cw)
ready()
check("capacity", fcntl.fcntl(r, fcntl.F_GETPIPE_SZ), 1 << 17)
check("data", os.read(r, 100), b"hello")
check("closed writer", os.read(er, 100) + os.read(er, 100), b"last words")
os.kill(child, signal.SIGUSR2)
check("from child", os.read(cr, 100), b"from the child")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
check("end of file", os.read(cr, 100), b"")
done()
