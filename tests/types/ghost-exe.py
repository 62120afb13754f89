# A program that was replaced while it ran, as by an upgrade: its mappings, /proc/PID/exe, and running it again.
# dump: --ghost-limit 64M
import os
import shutil
import subprocess
import sys

from common import check, done, ready

EXE = "/proc/self/exe"
if not os.path.exists("prog"):
    shutil.copy(EXE, "prog")
    os.execv("./prog", ["./prog", *sys.argv])
shutil.copy("/bin/true", "new")
os.rename("new", "prog")


def seen():
    with open("/proc/self/maps") as f:
        maps = {line.split(maxsplit=5)[5] for line in f if "/prog" in line}
    return os.readlink(EXE), os.stat(EXE).st_nlink, maps


def runs():
    return subprocess.run([EXE, "-c", "print(6 * 7)"], capture_output=True, check=False).stdout


before = seen()
check("deleted", before[0].endswith("/prog (deleted)"), True)
ready()
check("program", seen(), before)
check("runs", runs(), b"42\n")
check("the new one", subprocess.run(["./prog"], check=False).returncode, 0)
done()
