#!/usr/bin/python3
"""sqlite3 between transactions, with a 50 MB temporary table (5 MB in the short form) in a deleted file."""
from cl import *


def test_sqlite():
    need("sqlite3")
    fifo = os.path.join(DIR, "in")
    os.mkfifo(fifo)
    keep = os.open(fifo, os.O_RDWR)
    pid = start(["sqlite3", "-batch", "db"], stdin=keep, env=dict(os.environ, SQLITE_TMPDIR=DIR))
    out = os.path.join(DIR, "out")
    mb = count("SQLITE_MB", 5, 50)
    say = lambda sql: os.write(keep, sql.encode() + b"\n")
    n = [0]

    def answer(sql):
        n[0] += 1
        mark = "mark%d" % n[0]
        say(sql + "\nselect '" + mark + "';")
        until("answer to " + sql, 30, lambda: open(out).read().rstrip().endswith(mark))
        return open(out).read().split()[-2]

    say("pragma temp_store=file; pragma cache_size=100; create table t(a); insert into t values(0);")
    say("create temp table big as with recursive c(i) as (select 1 union all select i+1 from c where i<%d) "
        "select i, randomblob(1000) as b from c;" % (mb * 1000))
    total = answer("select sum(length(b)) from big;")
    assert int(total) == mb * 1000 * 1000
    for i in range(count("CYCLES", 3, 10)):
        cycle(pid, "--ghost-limit", "256M")
        assert answer("select sum(length(b)) from big;") == total
        assert answer("update t set a=a+1; select a from t;") == str(i + 1)
        assert answer("pragma integrity_check;") == "ok"
    os.close(keep)


main()
