#!/usr/bin/python3
"""python3 with 8 threads and a subprocess that answers over pipes."""
from cl import *

SCRIPT = r'''
import subprocess, sys, threading, time
child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
lock, sums = threading.Lock(), [0] * 8
def work(k):
    n = 0
    while True:
        n += 1
        s = sum(i * i for i in range(200))
        assert s == 2646700
        with lock:
            sums[k] = n
        time.sleep(0.001)
for k in range(8):
    threading.Thread(target=work, args=(k,), daemon=True).start()
n = 0
while True:
    msg = b"message %d\n" % n
    child.stdin.write(msg); child.stdin.flush()
    assert child.stdout.readline() == msg
    before = list(sums)
    time.sleep(0.05)
    if n % 4 == 0:
        print("round", n, all(b > a for a, b in zip(before, sums)), flush=True)
    n += 1
'''


def test_python_threads():
    pid = start(["/usr/bin/python3", "-c", SCRIPT])
    out = os.path.join(DIR, "out")
    until("output", 10, lambda: os.path.getsize(out) > 30)
    for _ in range(count("CYCLES", 3, 10)):
        cycle(pid)
        assert len(os.listdir("/proc/%d/task" % pid)) == 9
        grows(out)
        grows(out)
    text = open(out).read()
    assert "Error" not in text and text.count("True") > 3, text[-2000:]


main()
