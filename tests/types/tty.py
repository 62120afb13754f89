# The terminal of a shell job: settings, foreground group, usable again.
# tty
# dump: --shell-job
# restore: --shell-job
import os
import signal
import termios
import tty

from common import check, done, ready

signal.signal(signal.SIGTTOU, signal.SIG_IGN)
mine = os.open("/dev/tty", os.O_RDWR)
again = os.open(os.ttyname(0), os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
os.tcsetpgrp(0, os.getpgrp())
tty.setraw(0)
before = termios.tcgetattr(0)
ready()
check("terminals", [os.isatty(fd) for fd in (0, mine, again)], [True] * 3)
check("settings", termios.tcgetattr(0), before)
check("foreground", os.tcgetpgrp(0), os.getpgrp())
check("write", os.write(mine, b"written\r\n"), 9)
done()
