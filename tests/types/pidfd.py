# pidfds of a child and of the task itself.
import os
import signal

from common import check, done, ready

child = os.fork()
if not child:
    signal.pause()
me = os.pidfd_open(os.getpid())
fd = os.pidfd_open(child)
ready()
signal.pidfd_send_signal(me, 0)
signal.pidfd_send_signal(fd, signal.SIGKILL)
check("child", os.WTERMSIG(os.waitpid(child, 0)[1]), signal.SIGKILL)
done()
