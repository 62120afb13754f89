# /dev/net/tun: without an interface, on a persistent one, one of several queues that is detached.
import fcntl
import json
import os
import struct
import subprocess

from common import check, done, ready

SETIFF, SETPERSIST, GETIFF, SETQUEUE = 0x400454ca, 0x400454cb, 0x800454d2, 0x400454d9
TUN, TAP, NO_PI, MULTI, DETACH = 1, 2, 0x1000, 0x100, 0x400


def request(name="", flags=0):
    return struct.pack("16sH22x", name.encode(), flags)


def made(name, flags, detach=False):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, SETIFF, request(name, flags))
    fcntl.ioctl(fd, SETPERSIST, 1)
    if detach:
        fcntl.ioctl(fd, SETQUEUE, request(flags=DETACH))
    return fd


def look(fd):
    return struct.unpack("16sH22x", fcntl.ioctl(fd, GETIFF, request()))


plain = os.open("/dev/net/tun", os.O_RDWR)
t = made("tunA", TUN | NO_PI)
queues = [made("tapB", TAP | MULTI), made("tapB", TAP | MULTI, True)]


def packet_info():
    """TUNGETIFF does not tell: IFF_NO_PI and IFF_NOFILTER are one bit."""
    out = subprocess.run(["ip", "-j", "-d", "link"], capture_output=True, text=True, check=True).stdout
    return {x["ifname"]: x["linkinfo"]["info_data"]["pi"] for x in json.loads(out) if x["ifname"] in ("tunA", "tapB")}


pi = packet_info()
before = [look(fd) for fd in [t] + queues]
flags = [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in [plain, t] + queues]
ready()
check("packet information", (pi, packet_info()), ({"tunA": False, "tapB": True},) * 2)
check("interfaces", [look(fd) for fd in [t] + queues], before)
check("flags", [fcntl.fcntl(fd, fcntl.F_GETFL) for fd in [plain, t] + queues], flags)
try:
    look(plain)
    check("without one", "has one", "none")
except OSError:
    pass
fcntl.ioctl(plain, SETIFF, request("tunC", TUN))
check("usable", look(plain)[0].rstrip(b"\0"), b"tunC")
for fd in [t] + queues:
    fcntl.ioctl(fd, SETPERSIST, 0)
done()
