#!/usr/bin/python3
"""redis-server with 200 MB (20 MB in the short form): same digest, answers a new client, BGSAVE works."""
from cl import *

SOCK = os.path.join(DIR, "redis.sock")


def ask(*args):
    p = subprocess.run(["redis-cli", "-s", SOCK] + list(map(str, args)), capture_output=True, text=True, timeout=60)
    return p.stdout.strip()


def test_redis():
    need("redis-server", "redis-cli")
    pid = start(["redis-server", "--port", "7379", "--bind", "127.0.0.1", "--unixsocket", SOCK, "--save", "", "--dir", DIR,
                 "--enable-debug-command", "yes"])
    until("redis", 10, lambda: ask("ping") == "PONG")
    mb = count("REDIS_MB", 20, 200)
    ask("debug", "populate", mb * 1000, "key", 1000)
    digest = ask("debug", "digest")
    assert re.fullmatch("[0-9a-f]{40}", digest), digest
    time.sleep(0.2)
    for i in range(count("CYCLES", 3, 10)):
        cycle(pid)
        until("an answer", 10, lambda: ask("ping") == "PONG")
        assert ask("debug", "digest") == digest
        assert ask("-p", 7379, "ping") == "PONG"
        before = ask("lastsave")
        assert "started" in ask("bgsave")
        until("BGSAVE", 60, lambda: "rdb_bgsave_in_progress:0" in ask("info", "persistence"))
        assert "rdb_last_bgsave_status:ok" in ask("info", "persistence")
        time.sleep(0.1)


main()
