# A file of a mount that is not there for us: of another mount namespace, or taken away.
# refused: file-unreachable
# says: --external file\[[0-9a-f]+:[0-9a-f]+\]
import os
import subprocess

from common import check, done, ready

os.mkdir("there")
subprocess.run(["mount", "-t", "tmpfs", "none", "there"], check=True)
fd = os.open("there/file", os.O_RDWR | os.O_CREAT, 0o600)
subprocess.run(["umount", "-l", "there"], check=True)
ready()
check("usable", os.write(fd, b"x"), 1)
done()
