#!/usr/bin/python3
"""nginx under load is replaced by `upgrade`, generation after generation: no request fails. A new program that crashes,
hangs or refuses changes nothing: the old one serves on."""
import socket
from cl import *

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
HOME = os.path.join(DIR, "nginx")
PIDFILE = os.path.join(HOME, "nginx.pid")
ADDRESS, SECOND = ("127.0.0.1", 8081), ("127.0.0.1", 8082)

CONF = """
worker_processes 2;
daemon off;
pid %(home)s/nginx.pid;
error_log %(home)s/error.log warn;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %(home)s/t1; proxy_temp_path %(home)s/t2; fastcgi_temp_path %(home)s/t3;
  uwsgi_temp_path %(home)s/t4; scgi_temp_path %(home)s/t5;
  server { listen 127.0.0.1:8081; location / { return 200 "generation $pid\\n"; } }
  server { listen 127.0.0.1:8082; location / { return 200 "second\\n"; } }
}
"""

# Counts answers and failures; the last line is said at SIGTERM. Every request is a connection of its own.
LOAD = r'''
import signal, socket, sys, threading
stop, good, bad = threading.Event(), [0] * 4, []
def ask(i):
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", 8081), 10) as s:
                s.settimeout(10)
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                text = b""
                while True:
                    got = s.recv(4096)
                    if not got:
                        break
                    text += got
            if not text.startswith(b"HTTP/1.1 200 ") or b"generation" not in text:
                raise OSError("answer %r" % text)
            good[i] += 1
        except OSError as e:
            bad.append(repr(e))
signal.signal(signal.SIGTERM, lambda *a: stop.set())
threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
print("up", flush=True)
while not stop.wait(0.2):
    print("so far %d %d" % (sum(good), len(bad)), flush=True)
for t in threads:
    t.join()
print("total %d %d %s" % (sum(good), len(bad), bad[:3]), flush=True)
'''


def begin():
    if not os.path.exists(NGINX):
        raise Skip("needs the program nginx")
    shutil.rmtree(HOME, ignore_errors=True)
    os.mkdir(HOME)
    with open(HOME + "/nginx.conf", "w") as f:
        f.write(CONF % {"home": HOME})
    os.chmod(DIR, 0o755)
    pid = start([NGINX, "-c", HOME + "/nginx.conf", "-p", HOME], cwd=HOME)
    until("nginx to serve", 10, answers)
    return pid


def answers(address=ADDRESS):
    try:
        with socket.create_connection(address, 5) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return b"200 OK" in s.recv(4096)
    except OSError:
        return False


def load():
    pid = start([sys.executable, "-c", LOAD], log="load")
    until("the load", 10, lambda: "so far" in text("load"))
    return pid


def text(name):
    try:
        return open(os.path.join(DIR, name)).read()
    except FileNotFoundError:
        return ""


def end_load(pid):
    os.kill(pid, signal.SIGTERM)
    until("the load to end", 30, lambda: "total" in text("load"))
    last = [l for l in text("load").splitlines() if l.startswith("total")][-1].split(None, 3)
    os.remove(os.path.join(DIR, "load"))
    assert int(last[1]) > 50, "the load was no load: %s" % last
    assert int(last[2]) == 0, "requests failed: %s" % last
    return int(last[1])


def upgrade(old, *argv, ok=True, more=()):
    """Output into a file: the new program has it open for as long as it lives."""
    with open(os.path.join(DIR, "upgrade"), "wb") as out:
        p = subprocess.run([CL, "upgrade", "--pid", str(old), "--env", "NGINX=%d;", "--ready", "probe:127.0.0.1:8081",
                            "--stop", "QUIT", *more, "--", *argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=60)
    assert (p.returncode == 0) == ok and p.returncode in (0, 1), "status %d: %s" % (p.returncode, text("upgrade"))
    return text("upgrade")


def nginx():
    return [NGINX, "-c", HOME + "/nginx.conf", "-p", HOME]


def listeners(pid):
    return sorted(os.readlink("/proc/%d/fd/%s" % (pid, f)) for f in os.listdir("/proc/%d/fd" % pid)
                  if os.readlink("/proc/%d/fd/%s" % (pid, f)).startswith("socket:"))


def test_generations():
    """Every generation has the same sockets, its own processes, and no request is lost between them."""
    pid, rounds = begin(), count("NGINX_UPGRADES", 15, 100)
    client = load()
    for i in range(rounds):
        upgrade(pid, *nginx(), more=["--pidfile", PIDFILE])
        new = int(open(PIDFILE).read())
        started.append(new)
        assert new != pid and alive(new), (new, pid)
        assert not alive(pid), "the old generation is still there"
        assert os.readlink("/proc/%d/exe" % new) == os.path.realpath(NGINX)
        pid = new
    assert answers() and answers(SECOND)
    print("# %d generations, %d requests" % (rounds, end_load(client)))
    errors = [l for l in text("nginx/error.log").splitlines() if "[emerg]" in l or "[alert]" in l]
    assert not errors, errors


def test_new_one_fails():
    """It crashes, hangs, refuses, cannot be started: the old one serves every request, and nothing is left."""
    pid, client = begin(), load()
    broken = os.path.join(HOME, "broken.conf")
    with open(broken, "w") as f:
        f.write("worker_processes nonsense;\n")
    ways = [
        (["/bin/sh", "-c", "kill -SEGV $$"], "upgrade-died", "SEGV"),
        (["/bin/sleep", "1000"], "upgrade-timeout", "not ready"),
        ([NGINX, "-c", broken, "-p", HOME], "upgrade-died", "status 1"),
        (["/bin/sh", "-c", "(setsid sleep 1000 &) ; exit 3"], "upgrade-died", "status 3"),
        (["/no/such/nginx"], "upgrade-start", "No such file"),
    ]
    before = (listeners(pid), sorted(tree(pid)), open("/proc/%d/stat" % pid).read().split()[21])
    others = set(os.listdir("/proc"))
    for i in range(count("FAILED_UPGRADES", 10, 100)):
        argv, error, why = ways[i % len(ways)]
        said = upgrade(pid, *argv, ok=False, more=["--timeout", "1"])
        assert error in said and why in said and "%d serves on" % pid in said, said
        assert answers()
    assert before == (listeners(pid), sorted(tree(pid)), open("/proc/%d/stat" % pid).read().split()[21])
    end_load(client)
    left = [p for p in set(os.listdir("/proc")) - others if p.isdigit() and stat(int(p)) and stat(int(p))["comm"] in ("sleep", "nginx", "sh")]
    assert not left, "left behind: %s" % left
    upgrade(pid, *nginx(), more=["--pidfile", PIDFILE])
    started.append(int(open(PIDFILE).read()))
    assert answers()


def test_tool_killed():
    """`upgrade` is killed while the new program starts: the new one goes, the old one serves on."""
    pid = begin()
    for i in range(count("KILLED_UPGRADES", 3, 30)):
        mark = os.path.join(DIR, "mark")
        p = subprocess.Popen([CL, "upgrade", "--pid", str(pid), "--", "/bin/sh", "-c", "echo $$ > %s.x; mv %s.x %s; sleep 1000; :" % (mark, mark, mark)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("the new program", 10, os.path.exists, mark)
        new = int(open(mark).read())
        os.remove(mark)
        assert alive(new)
        p.send_signal(signal.SIGKILL if i % 2 else signal.SIGTERM)
        p.wait()
        until("the new program to go", 10, lambda: not alive(new))
        assert answers() and alive(pid)


main()
