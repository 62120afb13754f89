# BPF maps: a hash table, an array, a frozen one, those with a value for each processor, one open twice and once for reading only.
import ctypes
import os
import struct

from common import check, done, fdinfo, libc, ready, same_file

CREATE, LOOKUP, UPDATE, NEXT, BY_ID, FREEZE = 0, 1, 2, 4, 14, 22
RDONLY = 1 << 3


def bpf(cmd, attr):
    buf = ctypes.create_string_buffer(attr.ljust(128, b"\0"))
    ret = libc.syscall(321, cmd, buf, 128)
    if ret < 0:
        raise OSError(ctypes.get_errno(), f"bpf({cmd}): {os.strerror(ctypes.get_errno())}")
    return ret


def create(kind, key, value, entries, name, flags=0):
    return bpf(CREATE, struct.pack("5I8x16s", kind, key, value, entries, flags, name))


def element(cmd, fd, key, value):
    k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    bpf(cmd, struct.pack("I4xQQQ", fd, ctypes.addressof(k), ctypes.addressof(v), 0))
    return v.raw


def info(fd):
    return [x for x in fdinfo(fd).splitlines() if x.split(":")[0] in
            ("map_type", "key_size", "value_size", "max_entries", "map_flags", "frozen")]


table = create(1, 4, 8, 100, b"table")
for i in range(50):
    element(UPDATE, table, struct.pack("I", i * 7), struct.pack("Q", i << 33))
array = create(2, 4, 100, 20, b"array")
element(UPDATE, array, struct.pack("I", 13), b"thirteen".ljust(100))
frozen = create(2, 4, 4, 4, b"frozen")
element(UPDATE, frozen, struct.pack("I", 2), b"cold")
bpf(FREEZE, struct.pack("I", frozen))
empty = create(1, 16, 1, 5, b"", 1)
number = int(fdinfo(table).split("map_id:")[1].split()[0])
again = bpf(BY_ID, struct.pack("III", number, 0, 0))
reads = bpf(BY_ID, struct.pack("III", number, 0, RDONLY))
with open("/sys/devices/system/cpu/possible") as f:
    cpus = sum(int(x.split("-")[-1]) - int(x.split("-")[0]) + 1 for x in f.read().split(","))
per_cpu = {create(kind, 4, 12, 3, b"per_cpu"): kind for kind in (5, 6, 10)}  # hash, array, LRU hash
each = b"".join(struct.pack("QII", 1 << cpu, cpu, 0) for cpu in range(cpus))
for fd in per_cpu:
    element(UPDATE, fd, struct.pack("I", 2), each)
fds = (*per_cpu, table, array, frozen, empty, again, reads)
before = [info(fd) for fd in fds]
ready()
check("maps", [info(fd) for fd in fds], before)
check("table", [element(LOOKUP, table, struct.pack("I", i * 7), bytes(8)) for i in range(50)],
      [struct.pack("Q", i << 33) for i in range(50)])
check("array", element(LOOKUP, array, struct.pack("I", 13), bytes(100)), b"thirteen".ljust(100))
for fd, kind in per_cpu.items():
    check(f"of each processor, type {kind}", element(LOOKUP, fd, struct.pack("I", 2), bytes(16 * cpus)), each)
check("frozen", element(LOOKUP, frozen, struct.pack("I", 2), bytes(4)), b"cold")
element(UPDATE, again, struct.pack("I", 1), b"8 bytes!")
check("one map", element(LOOKUP, reads, struct.pack("I", 1), bytes(8)), b"8 bytes!")
for name, fd in (("frozen", frozen), ("only for reading", reads)):
    try:
        element(UPDATE, fd, struct.pack("I", 1), bytes(8))
        check(name, "written", "refused")
    except PermissionError:
        pass
done()
