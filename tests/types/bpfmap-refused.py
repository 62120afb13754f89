# Maps whose values are other maps, or are gone once they are read.
# refused: bpf-map
# says: type 12 \(array_of_maps\)
# says: type 22 \(queue\)
import ctypes
import struct

from common import done, libc, ready


def create(kind, key, inner=0):
    attr = struct.pack("6I", kind, key, 4, 5, 0, inner).ljust(128, b"\0")
    return libc.syscall(321, 0, ctypes.create_string_buffer(attr), 128)


plain = create(2, 4)
if min(create(12, 4, plain), create(22, 0)) < 0:
    raise OSError(ctypes.get_errno(), "bpf")
ready()
done()
