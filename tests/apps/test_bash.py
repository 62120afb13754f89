#!/usr/bin/python3
"""A bash pipeline: loops over pipes, background jobs, zombies of its own now and then."""
from cl import *

SCRIPT = r'''
exec 2>&1
( i=0; while :; do echo "bg $((i++))" >> bg; sleep 0.05; done ) &
i=0
while :; do echo $((i++)); sleep 0.01; done | while read n; do echo "$n $((n * n))"; done |
while read n sq; do [ $((n * n)) = "$sq" ] || { echo BROKEN; exit 1; }; echo "line $n"; done
'''


def test_bash_pipeline():
    need("bash")
    pid = start(["bash", "-c", SCRIPT])
    out = os.path.join(DIR, "out")
    until("output", 5, lambda: os.path.getsize(out) > 50)
    for _ in range(count("CYCLES", 3, 10)):
        cycle(pid)
        grows(out)
        grows(os.path.join(DIR, "bg"))
    lines = [int(l.split()[1]) for l in open(out) if l.startswith("line ")]
    assert lines == list(range(len(lines))), "lines lost or doubled"


main()
