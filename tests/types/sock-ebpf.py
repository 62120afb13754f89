# A socket with an eBPF filter is refused by name: the program cannot be read back.
# refused: sock-filter
import ctypes
import os
import socket
import struct

from common import check, done, libc, ready

code = struct.pack("BBhi", 0xb7, 0, 0, 5) + struct.pack("BBhi", 0x95, 0, 0, 0)  # r0 = 5; exit
text, license = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
attr = struct.pack("IIQQIIQ", 1, 2, ctypes.addressof(text), ctypes.addressof(license), 0, 0, 0).ljust(128, b"\0")
fd = libc.syscall(321, 5, ctypes.create_string_buffer(attr), 128)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
s.setsockopt(socket.SOL_SOCKET, 50, fd)
os.close(fd)
ready()
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"0123456789", s.getsockname())
check("cut by the program", s.recv(100), b"")
done()
