# A deleted file of 50 MB, with a limit that lets it pass.
# dump: --ghost-limit 64M
import hashlib
import os

from common import check, done, ready

g = os.open("gone", os.O_RDWR | os.O_CREAT)
h = hashlib.sha256()
for i in range(50):
    block = os.urandom(1 << 20)
    h.update(block)
    os.write(g, block)
os.unlink("gone")
want = h.hexdigest()
ready()
os.lseek(g, 0, os.SEEK_SET)
h = hashlib.sha256()
while block := os.read(g, 1 << 20):
    h.update(block)
check("content", h.hexdigest(), want)
done()
