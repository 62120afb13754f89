# epoll as both tools know it: every number still leads to its file.
import os
import select

from common import check, done, ready

r, w = os.pipe()
r2, w2 = os.pipe()
ep, outer = select.epoll(), select.epoll()
ep.register(r, select.EPOLLIN)
ep.register(w2, select.EPOLLOUT | select.EPOLLET)
outer.register(ep.fileno(), select.EPOLLIN)
ready()
check("writable", ep.poll(0), [(w2, select.EPOLLOUT)])
check("edge", ep.poll(0), [])
os.write(w, b"x")
check("outer", outer.poll(0), [(ep.fileno(), select.EPOLLIN)])
check("readable", ep.poll(0), [(r, select.EPOLLIN)])
done()
