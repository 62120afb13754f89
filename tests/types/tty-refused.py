# Without --shell-job a terminal from outside is refused.
# tty
# refused: tty-outside
import os

from common import check, done, ready

ready()
check("terminal", os.isatty(0), True)
done()
