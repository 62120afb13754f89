#!/usr/bin/python3
"""Long-lived connections of programs with peers outside the tree: redis under load, ssh."""
from peer import *

CYCLES = count("SESSION_CYCLES", 3, 10)


def test_redis_load():
    """50 clients all the time; redis-benchmark ends with an error when one of them sees one."""
    need("redis-server", "redis-benchmark")
    peer = Peer()
    pid = start(["redis-server", "--port", "6399", "--bind", OURS, "--protected-mode", "no", "--save", "", "--dir", DIR], log="redis")
    until("redis", 10, lambda: "Ready to accept" in open(DIR + "/redis").read())
    done = os.path.join(DIR, "load-status")
    script = "while [ ! -e %s/enough ]; do redis-benchmark -h %s -p 6399 -c 50 -n 20000 -t set,get,lpush -q || exit 1; done; echo 0 > %s" % (DIR, OURS, done)
    load = peer.start(["sh", "-c", script + " || echo 1 > " + done], log="load")

    def served():
        return int(re.search(r"total_commands_processed:(\d+)", peer.run("redis-cli", "-h", OURS, "-p", "6399", "info", "stats")).group(1))

    for i in range(CYCLES):
        was = served()
        until("commands, round %d" % i, 30, lambda: served() > was + 1000 or not alive(load))
        assert alive(load), open(DIR + "/load").read()[-500:]
        cycle(pid, "--tcp-established", "--skip-in-flight", verify=False)
    was = served()
    until("commands at the end", 30, lambda: served() > was + 1000)
    open(DIR + "/enough", "w").close()
    until("the load to end", 120, lambda: os.path.exists(done) or not alive(load))
    text = open(DIR + "/load").read()
    assert os.path.exists(done) and open(done).read().strip() == "0" and "rror" not in text, text[-500:]
    assert not [e for e in peer.endings(6399) if "RST" in e], peer.endings(6399)[:5]


def test_ssh():
    need("sshd", "ssh", "ssh-keygen")
    peer = Peer()
    os.chmod(DIR, 0o700)
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(DIR, name)], check=True)
    shutil.copy(DIR + "/user.pub", DIR + "/authorized")
    with open(DIR + "/sshd_config", "w") as f:
        f.write("Port 2299\nListenAddress %s\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nStrictModes no\nUsePAM no\n"
                "PidFile none\nPermitRootLogin yes\nPubkeyAuthentication yes\n" % (OURS, DIR, DIR))
    pid = start(["/usr/sbin/sshd", "-D", "-e", "-f", DIR + "/sshd_config"], log="sshd")
    until("sshd", 10, lambda: "listening" in open(DIR + "/sshd").read())
    r, w = os.pipe()
    peer.start(["ssh", "-T", "-p", "2299", "-i", DIR + "/user", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                "-o", "BatchMode=yes", "root@" + OURS, "while read l; do echo \"got $l\"; done"], stdin=r, log="ssh")
    answers = os.path.join(DIR, "ssh")

    def say(i):
        os.write(w, b"line%d\n" % i)
        until("an answer over ssh: " + open(answers).read()[-500:], 20, lambda: "got line%d\n" % i in open(answers).read())

    say(0)
    for i in range(CYCLES):
        cycle(pid, "--tcp-established", verify=False)
        say(i + 1)
    assert peer.endings(2299) == [], peer.endings(2299)


main()
