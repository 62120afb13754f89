# What the kernel has queued to a netlink socket cannot be put back, nor the word that some of it was lost.
# refused: netlink-queue
# says: fd 103 .*--skip-in-flight loses
# says: fd 104 .*--skip-in-flight loses
import errno
import os
import socket
import struct

from common import check, done, ready


def ask(fd, times, room=None):
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    if room:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    for i in range(times):
        s.send(struct.pack("=IHHIIBxHiII", 32, 18, 0x301, i + 1, 0, 0, 0, 0, 0, 0))
    os.dup2(s.fileno(), fd)
    s.close()
    return socket.socket(fileno=fd)


waiting, lost = ask(103, 1), ask(104, 100, 2048)
ready()
check("untouched", struct.unpack_from("=IH", waiting.recv(65536))[1], 16)
try:
    lost.recv(65536)
    check("the error", "none", "ENOBUFS")
except OSError as e:
    check("the error", errno.errorcode[e.errno], "ENOBUFS")
check("what came before it", struct.unpack_from("=IH", lost.recv(65536))[1], 16)
done()
