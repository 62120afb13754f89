# Interfaces that go with their descriptors: all that they had, their addresses, routes and bridge come back.
import ctypes
import fcntl
import json
import os
import pwd
import socket
import struct
import subprocess

from common import check, done, ready, skip

SETIFF, GETIFF, SETOWNER, SETOFFLOAD, SETQUEUE = 0x400454ca, 0x800454d2, 0x400454cc, 0x400454d0, 0x400454d9
SETSNDBUF, GETSNDBUF, SETHDR, GETHDR = 0x400454d4, 0x800454d3, 0x400454d8, 0x800454d7
SETCARRIER = 0x400454e2
TUN, TAP, NO_PI, MULTI, VNET_HDR, DETACH = 1, 2, 0x1000, 0x100, 0x4000, 0x400
CSUM, TSO4, TSO6 = 1, 2, 4
SIOCETHTOOL, GTXCSUM, GTSO, GSG = 0x8946, 0x16, 0x1e, 0x18


def ip(*words, check=True):
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True).stdout


def request(name="", flags=0):
    return struct.pack("16sH22x", name.encode(), flags)


def made(name, flags):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, SETIFF, request(name, flags))
    return fd


def number(fd, what):
    return struct.unpack("i", fcntl.ioctl(fd, what, bytes(4)))[0]


def feature(name, what):
    value = ctypes.create_string_buffer(struct.pack("II", what, 0), 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sQ16x", name.encode(), ctypes.addressof(value)))
    return struct.unpack("II", value)[1]


def seen(name):
    links = json.loads(ip("-j", "-d", "addr", "show", "dev", name))
    for a in links[0]["addr_info"]:
        a.pop("nodad", None)
        a.pop("stable-privacy", None)
    links[0]["addr_info"].sort(key=lambda a: a["local"])
    for x in ("stats64", "inet6_addr_gen_mode"):
        links[0].pop(x, None)
    features = [feature(name, x) for x in (GTXCSUM, GTSO, GSG)]
    routes = [sorted(ip(family, "route", "show", "table", "all", "dev", name).splitlines()) for family in ("-4", "-6")]
    with open(f"/proc/sys/net/ipv6/conf/{name}/addr_gen_mode") as f:
        return links, routes, features, f.read()


if os.geteuid():
    skip("needs root")
tun = made("tunD", TUN | NO_PI | VNET_HDR)
fcntl.ioctl(tun, SETOWNER, pwd.getpwnam("nobody").pw_uid)
fcntl.ioctl(tun, SETHDR, struct.pack("i", 12))
fcntl.ioctl(tun, SETOFFLOAD, CSUM | TSO4 | TSO6)
ip("link", "set", "tunD", "mtu", "1280", "txqueuelen", "77", "alias", "a tunnel", "up")
ip("addr", "add", "10.9.0.1", "peer", "10.9.0.2", "dev", "tunD")
ip("addr", "add", "10.9.1.1/24", "dev", "tunD", "scope", "link")
ip("addr", "add", "fd00:9::1/64", "dev", "tunD", "nodad")
ip("route", "add", "10.77.0.0/16", "via", "10.9.0.2", "metric", "5", "mtu", "1200")
ip("route", "add", "192.0.2.0/24", "via", "10.77.0.9", "dev", "tunD", "onlink", "table", "99")
ip("route", "add", "fd00:77::/32", "via", "fd00:9::2", "dev", "tunD")
ip("link", "add", "brD", "type", "bridge")
queues = [made("tapE", TAP | MULTI), made("tapE", TAP | MULTI)]
fcntl.ioctl(queues[1], SETQUEUE, request(flags=DETACH))
fcntl.ioctl(queues[0], SETSNDBUF, struct.pack("i", 100000))
ip("link", "set", "tapE", "addrgenmode", "none")
ip("link", "set", "tapE", "address", "02:00:00:00:00:77", "master", "brD", "up")
fcntl.ioctl(queues[0], SETCARRIER, struct.pack("i", 0))
down = made("tunF", TUN)
ip("link", "set", "tunF", "multicast", "off")
fds, names = (tun, *queues, down), ("tunD", "tapE", "tunF")
iffs = [fcntl.ioctl(fd, GETIFF, request()) for fd in fds]
before = [seen(n) for n in names]
ready()
for name, now, then in zip(names, (seen(n) for n in names), before):
    for what, x, y in zip(("link and addresses", "routes", "features", "addresses of its own"), now, then):
        check(f"{name}: {what}", x, y)
check("attached", [fcntl.ioctl(fd, GETIFF, request()) for fd in fds], iffs)
check("head", number(tun, GETHDR), 12)
check("buffer", number(queues[0], GETSNDBUF), 100000)
# What goes out is there to be read.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.sendto(b"out", ("10.77.3.4", 9))
packets = []
try:
    while True:
        packets.append(os.read(tun, 2000)[12:])
except BlockingIOError:
    pass
check("a packet", [p[28:] for p in packets if p[16:20] == bytes((10, 77, 3, 4))], [b"out"])
ip("link", "del", "brD")
for fd in fds:
    os.close(fd)
check("gone again", [n for n in names if os.path.exists(f"/sys/class/net/{n}")], [])
done()
