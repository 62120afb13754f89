#!/usr/bin/python3
"""A postgres session in the middle of a transaction, its client outside the tree, commits after restore."""
from peer import *

CYCLES = count("SESSION_CYCLES", 3, 10)


def pg(name):
    for d in sorted(os.listdir("/usr/lib/postgresql"), reverse=True) if os.path.isdir("/usr/lib/postgresql") else []:
        p = "/usr/lib/postgresql/%s/bin/%s" % (d, name)
        if os.path.exists(p):
            return p
    raise Skip("needs the program " + name)


def test_postgres_transaction():
    initdb, postgres = pg("initdb"), pg("postgres")
    need("psql", "setpriv")
    peer, data = Peer(), os.path.join(DIR, "pg")
    os.chmod(DIR, 0o755)
    os.mkdir(data)
    shutil.chown(data, "postgres", "postgres")
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    subprocess.run(as_user + [initdb, "-D", data, "-A", "trust", "-N"], check=True, stdout=subprocess.DEVNULL, cwd=data)
    with open(data + "/pg_hba.conf", "a") as f:
        f.write("host all all 10.99.0.0/24 trust\n")
    pid = start(as_user + [postgres, "-D", data, "-h", OURS, "-p", "5499", "-k", data, "-c", "fsync=off"], log="postgres")
    until("postgres", 20, lambda: "ready to accept" in open(DIR + "/postgres").read())
    r, w = os.pipe()
    peer.start(["psql", "-h", OURS, "-p", "5499", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-A", "-t", "postgres"], stdin=r, log="psql")
    answers = os.path.join(DIR, "psql")

    def say(sql, answer):
        os.write(w, sql.encode() + b"\n")
        until("%s after %s: %s" % (answer, sql, open(answers).read()), 20, lambda: answer in open(answers).read())

    say("create table t(i int); begin; insert into t values (41); select 'begun', count(*) from t;", "begun|1")
    for i in range(CYCLES):
        cycle(pid, "--tcp-established", verify=False)
        say("insert into t values (%d); select 'round%d', count(*) from t;" % (i, i), "round%d|%d" % (i, i + 2))
    say("commit; select 'done', count(*) from t;", "done|%d" % (CYCLES + 1))
    got = peer.run("psql", "-h", OURS, "-p", "5499", "-U", "postgres", "-A", "-t", "-c", "select count(*) from t", "postgres").strip()
    assert got == str(CYCLES + 1), got
    assert not [e for e in peer.endings(5499) if "RST" in e], peer.endings(5499)


main()
