"""A server that echoes lines under the name of its version, on two listening sockets. Version one opens them itself; any
other is given them, and connections, as LISTEN_FDS by names that begin with their kind. NOTIFY_SOCKET is told when it serves.

lineserver.py VERSION FIRST-PORT SECOND-PORT [ACTION]"""
import os, selectors, socket, sys

version, ports, action = sys.argv[1], list(map(int, sys.argv[2:4])), sys.argv[4:]
sel = selectors.DefaultSelector()
pending = {}


def serve(s):
    s.setblocking(False)
    pending[s] = b""
    sel.register(s, selectors.EVENT_READ, answer)


def accept(s):
    serve(s.accept()[0])


def answer(s):
    got = s.recv(4096)
    if not got:
        sel.unregister(s)
        s.close()
        return
    lines = (pending[s] + got).split(b"\n")
    pending[s] = lines.pop()
    for l in lines:
        s.sendall(version.encode() + b" " + l + b"\n")


def given():
    assert int(os.environ["LISTEN_PID"]) == os.getpid()
    names = os.environ["LISTEN_FDNAMES"].split(":")
    assert int(os.environ["LISTEN_FDS"]) == len(names)
    for i, name in enumerate(names):
        s = socket.socket(fileno=3 + i)
        if name.startswith("listener"):
            assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            sel.register(s, selectors.EVENT_READ, accept)
        else:
            serve(s)


if version == "one":
    for p in ports:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", p))
        s.listen(128)
        sel.register(s, selectors.EVENT_READ, accept)
else:
    given()
if "crash" in action:
    os.abort()
if "hang" in action:
    import time
    time.sleep(1000)
if os.environ.get("NOTIFY_SOCKET"):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n:
        n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))
print("serving", version, flush=True)
while True:
    for key, _ in sel.select():
        key.data(key.fileobj)
