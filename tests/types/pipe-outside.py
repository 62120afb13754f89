# A pipe whose other end is held outside of the tree only: nobody has it after the restore.
import os

from common import check, done, ready

r, w = os.pipe()
# The reader leaves the tree: its parent ends.
if not os.fork():
    if not os.fork():
        os.setsid()
        os.close(w)
        os.read(r, 1)
        os._exit(0)
    os._exit(0)
os.wait()
os.close(r)
ready()
try:
    check("write", os.write(w, b"x"), "EPIPE")
except BrokenPipeError:
    pass
done()
