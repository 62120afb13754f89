# timerfd: each clock, cancel-on-set, expirations that were not read, periodic ones that go on.
import os
import re
import struct
import time

from common import check, done, fdinfo, ready, sys_call

ABSTIME, CANCEL = 1, 2


def settime(fd, flags, value, interval=0):
    spec = struct.pack("qqqq", int(interval), int(interval % 1 * 1e9), int(value), int(value % 1 * 1e9))
    sys_call("timerfd_settime", fd, flags, spec, None)


def info(fd):
    return {k: v for k, v in re.findall("^(clockid|ticks|settime flags|it_interval): (.*)$", fdinfo(fd), re.M)}


def left(fd):
    m = re.search(r"it_value: \((\d+), (\d+)\)", fdinfo(fd))
    return int(m[1]) + int(m[2]) / 1e9


def made(clock, flags, value, interval=0):
    fd = sys_call("timerfd_create", clock, 0o4000)
    settime(fd, flags, value, interval)
    return fd


now = {c: time.clock_gettime(c) for c in (0, 1, 7)}
clocks = [0, 1, 7]
for alarm, base in ((8, 0), (9, 7)):
    try:
        os.close(made(alarm, 0, 1))
        now[alarm] = now[base]
        clocks.append(alarm)
    except OSError:
        pass
relative = [made(c, 0, 1000, 77) for c in clocks]
absolute = [made(c, ABSTIME, now[c] + 2000, 0) for c in clocks]
cancels = made(0, ABSTIME | CANCEL, now[0] + 3000, 5)
many = made(1, 0, 0.001, 0.001)
time.sleep(0.05)
settime(many, 0, 0.001, 0.001)
time.sleep(0.02)
past = made(0, ABSTIME, now[0] - 100, 1000)
fds = relative + absolute + [cancels]
before = [info(fd) for fd in fds]
time.sleep(0.01)
ready()
check("settings", [info(fd) for fd in fds], before)
check("relative", [900 < left(fd) < 1000 for fd in relative], [True] * len(clocks))
check("absolute", [1900 < left(fd) < 2000 for fd in absolute], [True] * len(clocks))
check("cancelled by a change of the clock", 2900 < left(cancels) < 3000, True)
check("many", struct.unpack("Q", os.read(many, 8))[0] >= 15, True)
time.sleep(0.02)
check("goes on", struct.unpack("Q", os.read(many, 8))[0] >= 5, True)
check("past", struct.unpack("Q", os.read(past, 8))[0], 1)
done()
