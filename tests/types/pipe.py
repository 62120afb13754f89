# Pipes: data, capacity, packets, flags, ends in several tasks, ends closed for good.
import fcntl
import os
import select
import signal

from common import check, done, ready

r, w = os.pipe()
os.write(w, b"hello")
fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, 1 << 17)
fr, fw = os.pipe()
os.set_blocking(fw, False)
full = 0
try:
    while True:
        full += os.write(fw, b"x" * 4096)
except BlockingIOError:
    pass
pr, pw = os.pipe2(os.O_DIRECT)
for p in (b"one", b"two two", b"x" * 4000):
    os.write(pw, p)
er, ew = os.pipe()
os.write(ew, b"last words")
os.close(ew)
br, bw = os.pipe()
os.close(br)
rw = os.open(f"/proc/self/fd/{r}", os.O_RDWR)
r2 = os.open(f"/proc/self/fd/{r}", os.O_RDONLY | os.O_NONBLOCK)
# As `tee >(cat)` of a shell: the end that was opened has the lower number of the two.
lr, lw = os.pipe()
lmade = fcntl.fcntl(lw, fcntl.F_DUPFD, 40)
lopened = os.open(f"/proc/self/fd/{lmade}", os.O_WRONLY)
os.dup2(lopened, lw)
os.close(lopened)
cr, cw = os.pipe()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
child = os.fork()
if not child:
    for fd in (r, w, fr, fw, pr, pw, er, bw, rw, r2, lr, lw, lmade, cr):
        os.close(fd)
    signal.signal(signal.SIGUSR2, lambda *_: os.write(cw, b"from the child"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
    while True:
        signal.pause()
os.close(cw)
fds = (r, w, fr, fw, pr, pw, er, bw, rw, r2, lr, lw, lmade, cr)
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
ready()
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds], flags)
check("capacity", fcntl.fcntl(r, fcntl.F_GETPIPE_SZ), 1 << 17)
check("data", os.read(r2, 3), b"hel")
check("rest", os.read(r, 100), b"lo")
os.write(rw, b"both ways")
check("read and write", os.read(rw, 100), b"both ways")
got = 0
os.set_blocking(fr, False)
try:
    while True:
        got += len(os.read(fr, 1 << 16))
except BlockingIOError:
    pass
check("full pipe", got, full)
check("packets", [os.read(pr, 8192) for _ in range(3)], [b"one", b"two two", b"x" * 4000])
check("closed writer", os.read(er, 100) + os.read(er, 100), b"last words")
poll = select.poll()
poll.register(bw, select.POLLOUT)
check("closed reader", poll.poll(0)[0][1] & select.POLLERR, select.POLLERR)
poll = select.poll()
poll.register(cr, select.POLLIN)
check("writer is in the child", poll.poll(0), [])
os.kill(child, signal.SIGUSR2)
check("from child", os.read(cr, 100), b"from the child")
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
check("end of file", os.read(cr, 100), b"")
done()
