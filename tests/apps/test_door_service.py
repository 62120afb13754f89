#!/usr/bin/python3
"""The service through its door, from the command line and from the program in docs/: version, dump, restore, and that
it does for nobody what that user may not do; doors from the shell."""
import pathlib
from cl import *

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
# Shared: it has no sanitizer.
LIB = os.path.join(os.environ.get("BUILD", os.path.dirname(CL)), "lib/libdoor.so")
DOOR = DIR + "/door"


def begin():
    if not os.path.ismount("/run") and subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True).returncode:
        raise Skip("mounting is not allowed here")
    need("protoc")
    pid = start([CL, "service", "--address", DIR + "/socket", "--door", DOOR, "-v4"], log="service.log")
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


def test_successor():
    """A service that is followed by a new one: the path has the door of that."""
    pid = begin()
    old = cl("door", "info", DOOR).stdout
    os.kill(pid, signal.SIGUSR2)
    until("the door of the successor", 20, lambda: re.search(r"server [1-9]", text := cl("door", "info", DOOR, ok=False).stdout) and text != old)
    assert "success: true" in ask("type: VERSION")
    until("the old service to end", 10, lambda: not alive(pid))
    assert "success: true" in ask("type: VERSION")
    started.append(int(re.search(r"server (\d+)", cl("door", "info", DOOR).stdout).group(1)))
    started.append(stat(started[-1])["ppid"])


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
