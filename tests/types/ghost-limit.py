# A deleted file over the limit is refused, with the option that is needed.
# refused: ghost-limit
import os

from common import check, done, ready

g = os.open("gone", os.O_RDWR | os.O_CREAT)
os.write(g, b"x" * (2 << 20))
os.unlink("gone")
ready()
check("still there", os.fstat(g).st_size, 2 << 20)
done()
