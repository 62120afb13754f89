# What a thread keeps beside the format: processors, timer slack, I/O priority, speculation; no new executable memory.
import ctypes
import os
import threading

from common import check, done, libc, ready

SET_SLACK, GET_SLACK, GET_SPEC, SET_SPEC, SET_MDWE, GET_MDWE = 29, 30, 52, 53, 65, 66
SYS_ioprio_set, SYS_ioprio_get, IDLE, BEST_EFFORT = 251, 252, 3 << 13, 2 << 13
SPEC_PRCTL, SPEC_DISABLE = 1, 4

go_on, looked = threading.Event(), threading.Event()
seen = {}


def mine():
    return (sorted(os.sched_getaffinity(0)), libc.prctl(GET_SLACK, 0, 0, 0, 0), libc.syscall(SYS_ioprio_get, 1, 0),
            libc.prctl(GET_SPEC, 0, 0, 0, 0))


def second():
    cpu = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, [cpu])
    libc.prctl(SET_SLACK, 123456, 0, 0, 0)
    libc.syscall(SYS_ioprio_set, 1, 0, IDLE)
    if libc.prctl(GET_SPEC, 0, 0, 0, 0) & SPEC_PRCTL:
        libc.prctl(SET_SPEC, 0, SPEC_DISABLE, 0, 0)
    seen["before"] = mine()
    looked.set()
    go_on.wait()
    seen["after"] = mine()


libc.syscall(SYS_ioprio_set, 1, 0, BEST_EFFORT | 6)
t = threading.Thread(target=second)
t.start()
looked.wait()
mdwe = libc.prctl(SET_MDWE, 1, 0, 0, 0) == 0
before = mine()
ready()
check("first thread", mine(), before)
go_on.set()
t.join()
check("second thread", seen["after"], seen["before"])
check("MDWE", libc.prctl(GET_MDWE, 0, 0, 0, 0), 1 if mdwe else -1)
done()
