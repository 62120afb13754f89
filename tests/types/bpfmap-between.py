# BPF maps as both tools know them.
import ctypes
import os
import struct

from common import check, done, libc, ready


def bpf(cmd, attr):
    ret = libc.syscall(321, cmd, ctypes.create_string_buffer(attr.ljust(128, b"\0")), 128)
    if ret < 0:
        raise OSError(ctypes.get_errno(), f"bpf({cmd}): {os.strerror(ctypes.get_errno())}")
    return ret


def element(cmd, fd, key, value):
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    bpf(cmd, struct.pack("I4xQQQ", fd, ctypes.addressof(k), ctypes.addressof(v), 0))
    return v.raw


maps = [bpf(0, struct.pack("5I8x16s", kind, 4, 8, 20, 0, b"between")) for kind in (1, 2)]
for fd in maps:
    for i in range(20):
        element(2, fd, struct.pack("I", i), struct.pack("Q", i << 40))
ready()
for fd in maps:
    check("content", [element(1, fd, struct.pack("I", i), bytes(8)) for i in range(20)],
          [struct.pack("Q", i << 40) for i in range(20)])
done()
