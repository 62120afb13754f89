"""Which descriptors of a tree lead to one open file description, seen from outside with kcmp(2)."""
import ctypes, functools, os

libc = ctypes.CDLL(None, use_errno=True)
KCMP, KCMP_FILE, KCMP_FILES = 312, 0, 2


def kcmp(a, b, what, x=0, y=0):
    got = libc.syscall(KCMP, a, b, what, x, y)
    if got < 0:
        raise OSError(ctypes.get_errno(), "kcmp(%d, %d, %d, %d, %d)" % (a, b, what, x, y))
    return got


def sorted_groups(items, order):
    """The partition of the items into those that are equal by kcmp, whose answer is an order."""
    items = sorted(items, key=functools.cmp_to_key(lambda a, b: {0: 0, 1: -1, 2: 1}[order(a, b)]))
    out = []
    for i in items:
        if out and order(out[-1][-1], i) == 0:
            out[-1].append(i)
        else:
            out.append([i])
    return {frozenset(g) for g in out}


def groups(pids):
    """Sets of (pid, descriptor) that are one description."""
    every = [(p, int(f)) for p in pids for f in os.listdir("/proc/%d/fd" % p)]
    return sorted_groups(every, lambda a, b: kcmp(a[0], b[0], KCMP_FILE, a[1], b[1]))


def tables(pids):
    """Sets of pids with one table."""
    return sorted_groups(pids, lambda a, b: kcmp(a, b, KCMP_FILES))


def cloexec(pids):
    """The numbers that are close-on-exec."""
    out = set()
    for p in pids:
        for f in os.listdir("/proc/%d/fdinfo" % p):
            text = open("/proc/%d/fdinfo/%s" % (p, f)).read()
            if int(text.split("flags:")[1].split()[0], 8) & os.O_CLOEXEC:
                out.add((p, int(f)))
    return out
