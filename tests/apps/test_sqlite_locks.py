#!/usr/bin/python3
"""Two sqlite3 write one database, one of them is dumped and restored at any moment, locks and all.

Each moves money between accounts and logs every transfer with a number of its own. While the tree is away its locks
are, too, so the other one stands still for so long."""
from cl import *

MAKE = """
pragma journal_mode=%s;
create table account(id integer primary key, money integer);
create table log(client text, n integer, primary key(client, n));
insert into account values(1, 0), (2, 0), (3, 0);
"""
# What each client is fed for ever: a transfer, and how many it has made.
FEED = r"""
n=0
while :; do
    n=$((n + 1))
    echo "begin immediate; update account set money=money-$n where id=1+$n%%3; update account set money=money+$n where id=1+($n+1)%%3;
          insert into log values('%(name)s', $n); commit;"
done | { echo ".timeout 60000"; cat; } | exec sqlite3 -bail -batch db
"""


def client(name):
    return start(["sh", "-c", FEED % {"name": name}], log="log." + name)


def ask(sql):
    p = subprocess.run(["sqlite3", "-batch", "db", ".timeout 60000", sql], cwd=DIR, capture_output=True, text=True, timeout=90)
    assert p.returncode == 0, p.stderr
    return p.stdout.split()


def errors(name):
    return [l for l in open(os.path.join(DIR, "log." + name)) if "rror" in l]


def consistent():
    assert ask("pragma integrity_check;") == ["ok"]
    assert ask("select sum(money) from account;") == ["0"]
    for row in ask("select client || ':' || count(*) || ':' || max(n) from log group by client;"):
        client, rows, last = row.split(":")
        assert rows == last, "%s: a transfer is lost or there twice: %s" % (client, row)


def signal_tree(pid, sig):
    for p in tree(pid):
        os.kill(p, sig)


def transfers(name):
    return int(ask("select coalesce(max(n), 0) from log where client='%s';" % name)[0])


def two_clients(mode):
    need("sqlite3")
    for f in ("db", "db-wal", "db-shm", "db-journal", "log.in", "log.out"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(DIR, f))
    ask(MAKE % mode)
    inside, outside = client("in"), client("out")
    until("both to write", 30, lambda: transfers("in") > 3 and transfers("out") > 3)
    held = 0
    for _ in range(count("SQLITE_CYCLES", 10, 100)):
        before = transfers("in"), transfers("out")
        signal_tree(outside, signal.SIGSTOP)
        d = cycle(inside, "-l", verify=False)
        held += os.path.exists(os.path.join(d, "filelocks.img"))
        signal_tree(outside, signal.SIGCONT)
        until("both to go on", 60, lambda: transfers("in") > before[0] and transfers("out") > before[1])
        assert not errors("in") and not errors("out"), (errors("in"), errors("out"))
    signal_tree(inside, signal.SIGSTOP), signal_tree(outside, signal.SIGSTOP)
    signal_tree(inside, signal.SIGKILL), signal_tree(outside, signal.SIGKILL)
    until("both to end", 10, lambda: not alive(inside) and not alive(outside))
    consistent()
    print("# %s: %s transfers; locks were held at %d of the dumps" % (mode, ask("select client, count(*) from log group by client;"), held))
    return held


def test_rollback_journal():
    two_clients("delete")


def test_write_ahead_log():
    # A connection in this mode always has locks.
    assert two_clients("wal") > 0


main()
