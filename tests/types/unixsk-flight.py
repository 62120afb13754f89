# Descriptors in flight: of files open nowhere else, nested, in cycles, shared with a table, an epoll.
import array
import os
import select
import socket

from common import check, done, ready, same_file

SOL, RIGHTS = socket.SOL_SOCKET, socket.SCM_RIGHTS


def put(sock, data, *files):
    sock.sendmsg([data], [(SOL, RIGHTS, array.array("i", [f if isinstance(f, int) else f.fileno() for f in files]))])


def get(sock, n=1):
    data, control, _, _ = sock.recvmsg(100, socket.CMSG_SPACE(4 * 20), socket.MSG_DONTWAIT)
    fds = array.array("i")
    for _, _, text in control:
        fds.frombytes(text)
    assert len(fds) == n, (data, fds)
    return data, [os.dup(f) for f in fds]


def pair(kind=socket.SOCK_STREAM):
    return socket.socketpair(socket.AF_UNIX, kind)


# A socket in its own queue, and a file that is open here too.
a, b = pair()
keep = os.open("keep", os.O_CREAT | os.O_RDWR)
put(a, b"self", b, keep)
# Two pairs in each other's queues, both ends closed here but one.
c, d = pair(socket.SOCK_DGRAM)
e, f = pair(socket.SOCK_SEQPACKET)
put(c, b"cycle", e, f)
put(e, b"back", c, d)
e.close()
f.close()
# Three deep, with a file at the bottom that is deleted.
g, h = pair()
i, j = pair()
k, l = pair()
deep = os.open("deep", os.O_CREAT | os.O_RDWR)
os.write(deep, b"bottom")
os.unlink("deep")
put(k, b"3", deep)
put(i, b"2", k, l)
put(g, b"1", i, j)
for x in (i, j, k, l):
    x.close()
os.close(deep)
# An epoll in flight to a socket that it watches, a listening socket with a client, an eventfd.
m, n = pair(socket.SOCK_DGRAM)
ep = select.epoll()
ep.register(n.fileno(), select.EPOLLIN, )
ls = socket.socket(socket.AF_UNIX)
ls.bind(os.path.abspath("flying"))
ls.listen(3)
cl = socket.socket(socket.AF_UNIX)
cl.connect(os.path.abspath("flying"))
ev = os.eventfd(77)
put(m, b"mixed", ep, ls, ev)
ep.close()
ls.close()
os.close(ev)
# Many in one message, far above the numbers of the table.
o, p = pair()
put(o, b"many", *[keep] * 20)
ready()
data, fds = get(b, 2)
check("self", data, b"self")
check("same socket", same_file(os.getpid(), fds[0], os.getpid(), b.fileno()), True)
check("same file", same_file(os.getpid(), fds[1], os.getpid(), keep), True)
data, fds = get(d, 2)
e, f = (socket.socket(fileno=x) for x in fds)
data, fds = get(f, 2)
check("cycle", data, b"back")
check("cycle closed", same_file(os.getpid(), fds[0], os.getpid(), c.fileno()), True)
e.send(b"works")
check("pair of the cycle", f.recv(100), b"works")
data, fds = get(h, 2)
i, j = (socket.socket(fileno=x) for x in fds)
data, fds = get(j, 2)
k, l = (socket.socket(fileno=x) for x in fds)
data, fds = get(l)
check("depth", data, b"3")
check("deleted file", os.pread(fds[0], 100, 0), b"bottom")
check("position", os.lseek(fds[0], 0, os.SEEK_CUR), 6)
data, fds = get(n, 3)
ep = select.epoll.fromfd(fds[0])
m.send(b"wake")
check("epoll", [x[1] for x in ep.poll(0)], [select.EPOLLIN])
s, _ = socket.socket(fileno=fds[1]).accept()
cl.send(b"flown")
check("listening", s.recv(100), b"flown")
check("eventfd", os.eventfd_read(fds[2]), 77)
data, fds = get(p, 20)
check("many", all(same_file(os.getpid(), x, os.getpid(), keep) for x in fds), True)
done()
