# Pseudoterminals of the tree: data both ways, settings, modes, hung up slaves, sessions.
import errno
import fcntl
import os
import select
import signal
import struct
import termios
import tty

from common import check, done, ready, same_file

TIOCSPTLCK, TIOCGPTLCK, TIOCPKT, TIOCGPKT = 0x40045431, 0x80045439, 0x5420, 0x80045438
TIOCGEXCL, TIOCGLCKTRMIOS, TIOCSLCKTRMIOS, TIOCGPTPEER = 0x80045440, 0x5456, 0x5457, 0x5441


def get(fd, req):
    return struct.unpack("i", fcntl.ioctl(fd, req, struct.pack("i", 0)))[0]


def read_now(fd, n=65536):
    os.set_blocking(fd, False)
    try:
        return os.read(fd, n)
    except OSError as e:
        return errno.errorcode[e.errno]


signal.signal(signal.SIGHUP, signal.SIG_IGN)

# Lines, an end of file, a line being typed, output, in canonical mode with echo.
m, s = os.openpty()
os.write(m, b"one\ntwo\nend\x04\x04typ")
os.write(s, b"printed\n")
attr = termios.tcgetattr(s)
attr[6][termios.VINTR] = b"\x07"
attr[3] &= ~termios.ECHOE
termios.tcsetattr(s, termios.TCSANOW, attr)
attr = termios.tcgetattr(s)
fcntl.ioctl(m, termios.TIOCSWINSZ, struct.pack("4H", 33, 44, 5, 6))
lock = struct.pack("4IB19s", 0, 0, 0, termios.ECHO, 0, bytes(19)).ljust(60, b"\0")
fcntl.ioctl(s, TIOCSLCKTRMIOS, lock)
os.fchown(s, 12, 34)
os.fchmod(s, 0o604)
s2 = os.open(os.ttyname(s), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
s3 = os.dup(s2)
# Raw, packet mode, exclusive; a full queue of output.
pm, ps = os.openpty()
tty.setraw(ps)
os.write(pm, bytes(range(256)))
os.set_blocking(ps, False)
full = 0
try:
    while True:
        full += os.write(ps, b"0123456789abcdef" * 16)
except BlockingIOError:
    os.set_blocking(ps, True)
fcntl.ioctl(pm, TIOCPKT, struct.pack("i", 1))
fcntl.ioctl(ps, termios.TIOCEXCL)
# Never opened and locked; slave closed; hung up.
lm = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
cm, cs = os.openpty()
os.write(cs, b"last")
os.close(cs)
hm, hs = os.openpty()
hs2 = os.open(os.ttyname(hs), os.O_RDWR | os.O_NOCTTY)
os.close(hm)
# A session with the terminal, which only its leader had open, and the group in front.
jm, js = os.openpty()
r, w = os.pipe()
leader = os.fork()
if not leader:
    os.setsid()
    fcntl.ioctl(js, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if not job:
        os.setpgid(0, 0)
        os.tcsetpgrp(js, os.getpid())
        mine = os.open("/dev/tty", os.O_RDWR)
        os.close(js)

        def answer(*_):
            again = os.open("/dev/tty", os.O_RDWR)
            ok = os.tcgetpgrp(mine) == os.getpid() == os.tcgetpgrp(again)
            ok &= os.readlink(f"/proc/self/fd/{mine}") == "/dev/tty"
            os.write(mine, b"front\n" if ok else b"wrong\n")

        signal.signal(signal.SIGUSR2, answer)
        os.write(w, struct.pack("i", os.getpid()))
        while True:
            signal.pause()
    os.close(js)
    while True:
        signal.pause()
os.close(js)
job = struct.unpack("i", os.read(r, 4))[0]
fds = (m, s, s2, pm, ps, lm, cm, hs, hs2, jm)
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds]
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
ready()
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in fds], flags)
check("links", [os.readlink(f"/proc/self/fd/{fd}") for fd in fds], links)
check("settings", termios.tcgetattr(s), attr)
check("locked", fcntl.ioctl(s, TIOCGLCKTRMIOS, bytes(60))[:17], lock[:17])
check("window", struct.unpack("4H", fcntl.ioctl(s, termios.TIOCGWINSZ, bytes(8))), (33, 44, 5, 6))
st = os.fstat(s)
check("node", (st.st_uid, st.st_gid, st.st_mode & 0o777), (12, 34, 0o604))
check("dup", same_file(os.getpid(), s2, os.getpid(), s3), True)
check("lines", [read_now(s) for _ in range(4)], [b"one\n", b"two\n", b"end", b""])
check("no whole line", read_now(s), "EAGAIN")
os.write(m, b"ed\n")
check("typed line", read_now(s), b"typed\n")
out = read_now(m)
check("printed", (b"printed\r\n" in out, out[-4:]), (True, b"ed\r\n"))
check("raw input", read_now(ps), bytes(range(256)))
check("packet", (get(pm, TIOCGPKT), get(ps, TIOCGEXCL), get(pm, TIOCGEXCL)), (1, 1, 0))
got = b""
while select.select([pm], [], [], 0.2)[0]:
    got += os.read(pm, 8192)[1:]
check("full output", (len(got), got == b"0123456789abcdef" * (full // 16)), (full, True))
check("lock", (get(lm, TIOCGPTLCK), get(m, TIOCGPTLCK)), (1, 0))
check("never opened", read_now(lm), "EAGAIN")
check("slave closed", [read_now(cm), read_now(cm)], [b"last", "EIO"])
check("hung up", [read_now(hs), read_now(hs2)], [b"", b""])
check("session", (get(jm, termios.TIOCGPGRP), get(jm, 0x5429)), (job, leader))
os.kill(job, signal.SIGUSR2)
got = b""
while b"\n" not in got and select.select([jm], [], [], 5)[0]:
    got += os.read(jm, 64)
check("job in front", got, b"front\r\n")
os.kill(job, signal.SIGKILL)
os.kill(leader, signal.SIGKILL)
os.waitpid(leader, 0)
done()
