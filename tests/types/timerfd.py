# timerfd: clocks, relative, absolute, periodic, expirations not read yet, flags.
import ctypes
import os
import re
import struct
import time

from common import check, done, fdinfo, ready, sys_call

def settime(fd, flags, value, interval):
    spec = struct.pack("qqqq", int(interval), int(interval % 1 * 1e9), int(value),
                       int(value % 1 * 1e9))
    sys_call("timerfd_settime", fd, flags, spec, None)

def left(fd):
    m = re.search(r"it_value: \((\d+), (\d+)\)", fdinfo(fd))
    return int(m[1]) + int(m[2]) / 1e9

far = sys_call("timerfd_create", 1, 0)
settime(far, 0, 1000, 500)
absolute = sys_call("timerfd_create", 0, 0o4000)
settime(absolute, 1 | 2, time.time() + 2000, 0)
ticks = sys_call("timerfd_create", 7, 0)
settime(ticks, 0, 0.001, 0)
idle = sys_call("timerfd_create", 1, 0o4000)
time.sleep(0.02)
flags = [re.search("settime flags: (.*)", fdinfo(fd))[1] for fd in (far, absolute, ticks, idle)]
ready()
check("flags", [re.search("settime flags: (.*)", fdinfo(fd))[1]
                for fd in (far, absolute, ticks, idle)], flags)
check("relative", 900 < left(far) < 1000, True)
check("absolute", 1900 < left(absolute) < 2000, True)
check("interval", "it_interval: (500, 0)" in fdinfo(far), True)
check("expired", struct.unpack("Q", os.read(ticks, 8))[0], 1)
try:
    os.read(idle, 8)
    check("idle", "read", "EAGAIN")
except BlockingIOError:
    pass
settime(idle, 0, 0.01, 0)
time.sleep(0.05)
check("usable", struct.unpack("Q", os.read(idle, 8))[0], 1)
done()
