# A pidfd of a process that is not in the tree.
# refused: pidfd-outside
import os

from common import check, done, ready

fd = os.pidfd_open(1)
ready()
done()
