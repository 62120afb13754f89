#!/usr/bin/python3
"""Downloads from nginx and python's http.server, and an upload to nginx, by a peer outside the tree, with the server
dumped and restored under way: every byte arrives once, and the peer sees neither RST nor FIN before the end."""
import hashlib
from peer import *

SIZE = count("TRANSFER_MB", 128, 1024) << 20
CYCLES = count("TRANSFER_CYCLES", 3, 10)
FILE = os.path.join(DIR, "file")

CLIENT = r'''
import hashlib, os, socket, sys, time
what, host, port, path, size, cycles_done = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6]
s = socket.create_connection((host, port), timeout=60)
done = 0
def slow():
    # As long as the server is dumped and restored there must be something left to do.
    global done
    print(done, flush=True)
    while not os.path.exists(cycles_done) and done > size // 2:
        time.sleep(0.02)
    if not os.path.exists(cycles_done):
        time.sleep(0.004)
if what == "get":
    s.sendall(b"GET /file HTTP/1.0\r\nHost: x\r\n\r\n")
    buf = b""
    while b"\r\n\r\n" not in buf:
        buf += s.recv(4096)
    head, body = buf.split(b"\r\n\r\n", 1)
    assert b" 200 " in head.split(b"\r\n")[0], head
    h = hashlib.sha256(body)
    done = len(body)
    while done < size:
        b = s.recv(1 << 18)
        assert b, "end of file after %d bytes" % done
        h.update(b)
        done += len(b)
        slow()
    print("digest", h.hexdigest(), flush=True)
else:
    s.sendall(b"PUT /put/file HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
    f = open(path, "rb")
    while done < size:
        b = f.read(1 << 17)
        s.sendall(b)
        done += len(b)
        slow()
    print("digest", s.recv(4096).split(b"\r\n")[0].decode(), flush=True)
s.shutdown(socket.SHUT_WR)
'''

NGINX = """daemon off; pid %(d)s/nginx.pid; error_log %(d)s/error.log; worker_processes 1; user root;
events { worker_connections 64; }
http { access_log off; client_body_temp_path %(d)s/body; proxy_temp_path %(d)s/p; fastcgi_temp_path %(d)s/f; uwsgi_temp_path %(d)s/u; scgi_temp_path %(d)s/s;
server { listen %(ip)s:8080; root %(d)s; sendfile %(sendfile)s; client_max_body_size 0;
location /put/ { dav_methods PUT; create_full_put_path on; } } }
"""


def the_file():
    if not os.path.exists(FILE):
        with open(FILE, "wb") as f:
            for i in range(SIZE >> 20):
                f.write(hashlib.sha256(b"%d" % i).digest() * (1 << 15))
    h = hashlib.sha256()
    with open(FILE, "rb") as f:
        for piece in iter(lambda: f.read(1 << 20), b""):
            h.update(piece)
    return h.hexdigest()


def progress(path):
    with contextlib.suppress(OSError):
        lines = open(path).read().splitlines()
        return int(lines[-1]) if lines and lines[-1].isdigit() else -1 if lines else 0
    return 0


def under_way(peer, server, port, what):
    flag, out = os.path.join(DIR, "cycles-done"), os.path.join(DIR, "client")
    for p in (flag, out):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(p)
    peer.start([sys.executable, "-c", CLIENT, what, OURS, port, FILE, SIZE, flag], log="client")
    for i in range(CYCLES):
        was = progress(out)
        until("progress %d: %s" % (i, open(out).read()[-300:]), 30, lambda: was >= 0 and progress(out) > was or progress(out) > SIZE // 2)
        cycle(server, "--tcp-established", verify=i % 2 == 1)
        assert 0 <= progress(out) < SIZE, "over before it was dumped: " + open(out).read()[-300:]
    assert peer.endings(port) == [], peer.endings(port)
    open(flag, "w").close()
    until("the end of the transfer: " + open(out).read()[-300:], 120, lambda: "digest" in open(out).read() or "Error" in open(out).read())
    assert not [e for e in peer.endings(port) if "RST" in e], peer.endings(port)
    return open(out).read().split("digest ")[-1].strip()


def nginx(sendfile="off"):
    need("nginx")
    conf = os.path.join(DIR, "nginx.conf")
    open(conf, "w").write(NGINX % {"d": DIR, "ip": OURS, "sendfile": sendfile})
    pid = start(["nginx", "-p", DIR, "-c", conf], log="nginx.out")
    until("nginx", 10, lambda: os.path.exists(DIR + "/nginx.pid") and len(tree(pid)) == 2)
    time.sleep(0.2)
    return pid


def test_nginx_download():
    peer, digest = Peer(), the_file()
    got = under_way(peer, nginx(), 8080, "get")
    assert got == digest, got


def test_nginx_download_sendfile():
    peer, digest = Peer(), the_file()
    got = under_way(peer, nginx("on"), 8080, "get")
    assert got == digest, got


def test_nginx_upload():
    peer, digest = Peer(), the_file()
    got = under_way(peer, nginx(), 8080, "put")
    assert " 201 " in got, got
    h = hashlib.sha256(open(DIR + "/put/file", "rb").read()).hexdigest()
    assert h == digest, h


def test_http_server():
    peer, digest = Peer(), the_file()
    server = start(["/usr/bin/python3", "-m", "http.server", "--bind", OURS, "8081"])
    until("http.server", 10, lambda: "Serving" in open(DIR + "/out").read() or True)
    time.sleep(0.5)
    got = under_way(peer, server, 8081, "get")
    assert got == digest, got


main()
