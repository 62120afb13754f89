# Pseudoterminals as both tools know them: input, settings, one hung up, a session on one.
import fcntl
import os
import signal
import struct
import termios

from common import check, done, ready


def ptsname(m):
    return "/dev/pts/%d" % struct.unpack("i", fcntl.ioctl(m, 0x80045430, bytes(4)))


def new_pty():
    m = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(m, 0x40045431, bytes(4))
    return m, os.open(ptsname(m), os.O_RDWR | os.O_NOCTTY)


signal.signal(signal.SIGHUP, signal.SIG_IGN)
m, s = new_pty()
os.write(m, b"one\ntwo\n")
fcntl.ioctl(m, termios.TIOCSWINSZ, struct.pack("4H", 33, 44, 5, 6))
m2, s2 = new_pty()
os.close(m2)
jm, js = new_pty()
name = ptsname(jm)
os.close(js)
leader = os.fork()
if not leader:
    for fd in (m, s, s2, jm):
        os.close(fd)
    os.setsid()
    js = os.open(name, os.O_RDWR)
    signal.signal(signal.SIGUSR2, lambda *_: os.write(js, b"mine\n"))
    while True:
        signal.pause()
ready()
check("input", os.read(s, 4), b"one\n")
check("more input", os.read(s, 4), b"two\n")
check("session", fcntl.ioctl(jm, 0x5429, bytes(4)), struct.pack("i", leader))
os.kill(leader, signal.SIGUSR2)
check("session usable", os.read(jm, 100), b"mine\r\n")
check("hung up", os.read(s2, 10), b"")
os.kill(leader, signal.SIGKILL)
done()
