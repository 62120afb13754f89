#!/usr/bin/python3
"""System V shared memory whose segment is gone, in use, or another's at the restore."""
from cl import *

PROG = '''
import ctypes, signal
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
i = libc.shmget(0x77001, 8192, 0o1640)
at = libc.shmat(i, None, 0)
ctypes.memmove(at + 4096, b"content", 7)
signal.signal(signal.SIGUSR1, lambda *_: print("CONTENT", ctypes.string_at(at + 4096, 7).decode(), flush=True))
print("READY", flush=True)
while True:
    signal.pause()
'''


def segments():
    rows = [l.split() for l in open("/proc/sysvipc/shm").read().splitlines()[1:]]
    return {int(w[1]): (int(w[0]), int(w[3]), int(w[6])) for w in rows}


def dumped(name):
    log = os.path.join(DIR, name)
    pid = start(["/usr/bin/python3", "-S", "-c", PROG], log=name)
    until("READY", 10, lambda: "READY" in open(log).read())
    (i,) = [k for k, v in segments().items() if v[0] == 0x77001]
    d = images(name + ".img")
    dump(pid, d)
    until("the dumped task to go", 5, lambda: not alive(pid))
    assert segments()[i][2] == 0
    return pid, d, i, log


def content(pid, log, want):
    os.kill(pid, signal.SIGUSR1)
    until("its content", 5, lambda: "CONTENT " + want in open(log).read())


def remove(i):
    subprocess.run(["ipcrm", "-m", str(i)], check=True)


def test_gone():
    """Made again under its id; a restore that fails removes it."""
    pid, d, i, log = dumped("gone")
    remove(i)
    p = cl("restore", "-D", d, "-o", "restore.log", "-d", "--action-script", "/bin/false", ok=False)
    assert p.returncode and i not in segments(), segments()
    restore(d, "--verify")
    assert segments()[i] == (0x77001, 8192, 1)
    content(pid, log, "content")
    os.kill(pid, signal.SIGKILL)
    remove(i)


def test_killed():
    """The tool is killed when the segment is there already."""
    pid, d, i, log = dumped("killed")
    remove(i)
    script = os.path.join(DIR, "kill.sh")
    with open(script, "w") as f:
        f.write("#!/bin/sh\\n[ $CRTOOLS_SCRIPT_ACTION = post-restore ] && kill -9 $PPID\\nexit 0\\n".replace("\\n", "\n"))
    os.chmod(script, 0o700)
    p = subprocess.run([CL, "restore", "-D", d, "-o", "restore.log", "-d", "--action-script", script],
                       capture_output=True, stdin=subprocess.DEVNULL)
    assert p.returncode == -signal.SIGKILL, p
    until("nothing to be left", 5, lambda: i not in segments() and not alive(pid))
    restore(d, "--verify")
    content(pid, log, "content")
    os.kill(pid, signal.SIGKILL)
    remove(i)


def test_another():
    """The id or the key is somebody else's: refused, and theirs stays."""
    pid, d, i, log = dumped("another")
    remove(i)
    subprocess.run(["ipcmk", "-M", "100"], check=True, stdout=subprocess.DEVNULL)
    before = segments()
    with open("/proc/sys/kernel/shm_next_id", "w") as f:
        f.write(str(i))
    libc = __import__("ctypes").CDLL(None)
    other = libc.shmget(0x77002, 4096, 0o1600)
    assert other == i, (other, i)
    p = restore(d, ok=False)
    assert p.returncode and "[sysv-segment]" in p.stderr, p.stderr
    assert segments()[i][:2] == (0x77002, 4096)
    remove(i)
    other = libc.shmget(0x77001, 4096, 0o1600)
    p = restore(d, ok=False)
    assert p.returncode and "[sysv-segment]" in p.stderr, p.stderr
    assert i not in segments() or segments()[i][1] == 4096
    remove(other)
    assert segments() == before
    restore(d, "--verify")
    content(pid, log, "content")


def test_in_use():
    """Somebody has it attached meanwhile: what is in it is theirs, too, and stays."""
    pid, d, i, log = dumped("use")
    holder = start(["/usr/bin/python3", "-S", "-c", PROG.replace(b"content".decode(), "CHANGED")], log="holder")
    until("READY", 10, lambda: "READY" in open(os.path.join(DIR, "holder")).read())
    restore(d)
    content(pid, log, "CHANGED")
    assert segments()[i][2] == 2
    os.kill(holder, signal.SIGKILL)


main()
