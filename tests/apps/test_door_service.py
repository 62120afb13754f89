#!/usr/bin/python3
"""The service through its door, from the command line and from the program in docs/: version, dump, restore, and that
it does for nobody what that user may not do; doors from the shell."""
import glob, pathlib
from cl import *

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
# Shared: it has no sanitizer.
LIB = os.path.join(os.environ.get("BUILD", os.path.dirname(CL)), "lib/libdoor.so")
DOOR = DIR + "/door"
DOORS = os.path.join(os.environ.get("BUILD", os.path.dirname(CL)), "tests/trees/doors")


def begin(tool=CL):
    if not os.path.ismount("/run") and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode:
        raise Skip("mounting is not allowed here")
    need("protoc")
    pid = start([tool, "service", "--address", DIR + "/socket", "--door", DOOR, "-v4"], log="service.log")
    until("the door", 10, lambda: re.search(r"server [1-9]", cl("door", "info", DOOR, ok=False).stdout))
    return pid


def ask(text, user=None, fds=(), prog=CL):
    """A request in protobuf's text form, by criu-lite door call; the response in the same form."""
    proto = ["protoc", "-I" + TOP + "/proto", "rpc.proto"]
    req = subprocess.run(proto + ["--encode=criu_req"], input=text.encode(), capture_output=True, check=True).stdout
    p = subprocess.run([prog, "door", "call", DOOR], input=req, capture_output=True, user=user, pass_fds=fds)
    assert p.returncode == 0, p.stderr.decode()
    return subprocess.run(proto + ["--decode=criu_resp"], input=p.stdout, capture_output=True, check=True).stdout.decode()


def test_version():
    begin()
    assert "success: true" in ask("type: VERSION")
    prog = DIR + "/door-version"
    subprocess.run(["gcc", "-I" + TOP + "/criu-lite/lib", TOP + "/docs/door-version.c", LIB, "-Wl,-rpath," + os.path.dirname(LIB), "-o", prog], check=True)
    text = subprocess.run([prog, DOOR], capture_output=True, text=True, check=True).stdout
    assert re.match(r"server \d+ answers with \d+ bytes: 08 0a 10 01", text), text


def test_dump_and_restore():
    begin()
    pid = start(["sleep", "1000"])
    img = images()
    fd = os.open(img, os.O_RDONLY)
    text = ask("type: DUMP opts { images_dir_fd: %d pid: %d log_level: 4 }" % (fd, pid), fds=[fd])
    assert "success: true" in text, text + open(img + "/criu.log").read()
    until("the target to go", 5, lambda: not alive(pid))
    text = ask("type: RESTORE opts { images_dir_fd: %d pid: 0 log_level: 4 }" % fd, fds=[fd])
    assert "success: true" in text and "pid: %d" % pid in text, text
    assert alive(pid)
    started.append(pid)


def test_somebody_else():
    begin()
    pid = start(["sleep", "1000"])
    img = images()
    os.chmod(DIR, 0o711)
    os.chmod(DOOR, 0o666)
    shutil.chown(img, 65534)
    prog = shutil.copy(CL, DIR + "/criu-lite")
    os.chmod(prog, 0o755)
    if subprocess.run([prog, "door", "info", DOOR], user=65534, capture_output=True).returncode:
        raise Skip("another user cannot run the program here")
    fd = os.open(img, os.O_RDONLY)
    text = ask("type: DUMP opts { images_dir_fd: %d pid: %d }" % (fd, pid), user=65534, fds=[fd], prog=prog)
    assert "success: false" in text and alive(pid), text


def server_of_door():
    """Its pid and the door's number."""
    found = re.search(r"server (\d+), id (\d+)", cl("door", "info", DOOR).stdout)
    return int(found.group(1)), int(found.group(2))


def follow(old, good=True):
    """SIGUSR2. Returns the door's next server and that one's service."""
    before = server_of_door()[0]
    os.kill(old, signal.SIGUSR2)
    if not good:
        until("the word of the service", 20, lambda: "not upgraded, the service goes on" in open(DIR + "/service.log").read())
        assert server_of_door()[0] == before and alive(old)
        return before, old
    door = until("the door's next server", 20, lambda: (pid := server_of_door()[0]) != before and pid)
    until("the old service and its door's process to end", 20, lambda: not alive(old) and not alive(before))
    service = stat(door)["ppid"]
    started.extend((door, service))
    return door, service


def test_row_33_upgrades():
    """8 clients that call all the time do not see that the service is followed by another, nor that one was no good."""
    tool = shutil.copy(CL, DIR + "/criu-lite")
    service = begin(tool)
    ident, path = server_of_door()[1], os.stat(DOOR)
    asking = start([DOORS, "ask", DOOR, "8"], log="asking.log")
    counts = lambda: [int(open(f).read().split()[0]) for f in glob.glob(DIR + "/clients.*") if os.path.getsize(f)]
    until("8 clients", 10, lambda: len(counts()) == 8)
    rounds = count("UPGRADES", 20, 60)
    for i in range(rounds):
        if i == rounds // 2:
            # A program that ends before it is ready.
            os.replace(shutil.copy("/bin/false", tool + ".new"), tool)
            follow(service, good=False)
            os.replace(shutil.copy(CL, tool + ".new"), tool)
        _, service = follow(service)
        before = counts()
        until("calls of everybody after upgrade %d" % i, 20, lambda: not alive(asking) or all(n > b for n, b in zip(counts(), before)))
        assert alive(asking), open(DIR + "/asking.log").read()
    after = os.stat(DOOR)
    assert server_of_door()[1] == ident and (after.st_dev, after.st_ino) == (path.st_dev, path.st_ino)
    assert len(tree(asking)) == 9 and not open(DIR + "/asking.log").read().replace("READY", "").strip(), open(DIR + "/asking.log").read()
    print("# %d upgrades, %d calls, none failed: %s" % (rounds, sum(counts()), counts()))


def test_door_process_killed():
    """Another one serves the same door; only a call that was under way is lost."""
    begin()
    door, ident = server_of_door()
    os.kill(door, signal.SIGKILL)
    until("another process", 10, lambda: server_of_door()[0] != door)
    assert server_of_door()[1] == ident
    assert "success: true" in ask("type: VERSION")


def test_shell():
    begin()
    text = cl("door", "info", DOOR).stdout
    assert re.fullmatch(r"%s: server \d+, id \d+, attributes NO_CANCEL\n" % DOOR, text), text
    assert text in cl("door", "list").stdout
    other = pathlib.Path(DIR, "other")
    other.write_text("under it")
    # The descriptor of the service itself, to a second path.
    server = int(text.split()[2].rstrip(","))
    fd = next(f for f in os.listdir("/proc/%d/fd" % server) if "/run/door/" in os.readlink("/proc/%d/fd/%s" % (server, f)))
    cl("door", "attach", "%d:%s" % (server, fd), other)
    assert cl("door", "info", other).stdout.split()[1:] == text.split()[1:]
    p = cl("door", "attach", "%d:%s" % (server, fd), other, ok=False)
    assert p.returncode == 1 and "busy" in p.stderr, p.stderr
    cl("door", "detach", other)
    assert other.read_text() == "under it"
    assert "is no door" in cl("door", "info", other, ok=False).stderr


main()
