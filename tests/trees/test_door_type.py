#!/usr/bin/python3
"""Doors as a file type: the server alone, a client alone, both; doors of every kind, as seen by others and by the
server; tickets that are there, gone, or replaced by a stranger's file; calls under way; doors that died meanwhile."""
import glob
from cl import *

SET = os.path.join(os.environ.get("BUILD", os.path.dirname(CL)), "tests/trees/doorset")
STORE = "/run/door"
NAMES = ["a", "a2", "p", "u"]


class Place:
    """A server, and who looks at it, in a directory of their own; the store is empty in the beginning."""

    def __init__(self):
        if not os.path.ismount("/run"):
            p = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], capture_output=True, text=True)
            if p.returncode:
                raise Skip("no mounts: " + p.stderr.strip())
        self.dir = tempfile.mkdtemp(dir=DIR)
        self.server = self.begin("server")

    def begin(self, *argv):
        log = "log-%d" % len(os.listdir(self.dir))
        pid = start([SET, *argv], cwd=self.dir, log=os.path.join(self.dir, log))
        until("READY", 10, lambda: "READY" in open(os.path.join(self.dir, log)).read())
        return pid

    def path(self, name):
        return os.path.join(self.dir, name)

    def ask(self, pid, name):
        """What a program says that was told to report."""
        f = self.path(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f)
        os.kill(pid, signal.SIGUSR1)
        until("the report of %d" % pid, 10, os.path.exists, f)
        return open(f).read()

    def inside(self):
        return self.ask(self.server, "server")

    def held(self, pid):
        return self.ask(pid, "hold.%d" % pid)

    def call(self, name):
        p = subprocess.run([SET, "call", name], cwd=self.dir, capture_output=True, text=True, timeout=20)
        return p.stdout.split("\n")[1]

    def outside(self):
        """Every path as somebody else sees it."""
        out = {}
        for n in NAMES:
            st = os.stat(self.path(n))
            p = subprocess.run([CL, "door", "info", self.path(n)], capture_output=True, text=True)
            out[n] = (self.call(n), p.stdout.split(":", 1)[-1], oct(st.st_mode), st.st_uid, st.st_gid)
        return out

    def end(self):
        for n in NAMES:
            while subprocess.run(["umount", "-l", self.path(n)], capture_output=True).returncode == 0:
                pass


def good(place):
    seen = place.outside()
    assert [seen[n][0] for n in NAMES] == ["answer a", "answer a", "answer p", "answer u"], seen
    return seen


def entries(d):
    """The doors of an image, as `state` shows them."""
    s = json.loads(cl("state", d, "--json").stdout)
    return [f for t in s["tasks"].values() for f in t.get("fds", {}).values() if f["kind"] == "door"]


def empty_store(place):
    """As after a boot: neither mounts of tickets nor the store are there."""
    place.end()
    subprocess.run(["umount", "-l", STORE], check=True)
    for n in NAMES:
        assert os.stat(place.path(n)).st_size == 0 and not os.path.ismount(place.path(n))


def store_files():
    return sorted(os.path.join(d, f) for d, _, fs in os.walk(STORE) for f in fs)


def test_server_alone():
    place = Place()
    before, inside = good(place), place.inside()
    holder = place.begin("hold", "a", "p")
    held = place.held(holder)
    d = images()
    dump(place.server, d)
    assert "EBADF" in place.held(holder), place.held(holder)
    restore(d)
    assert place.inside() == inside, (place.inside(), inside)
    assert good(place) == before, (good(place), before)
    assert place.held(holder) == held, (place.held(holder), held)


def test_client_alone():
    place = Place()
    holder = place.begin("hold", "a", "a2", "p")
    before, link = place.held(holder), os.readlink("/proc/%d/fd/3" % holder)
    for _ in range(2):
        d = images()
        dump(holder, d)
        restore(d)
        assert place.held(holder) == before, (place.held(holder), before)
        assert os.readlink("/proc/%d/fd/3" % holder) == link
    kinds = entries(d)
    assert len(kinds) == 3 and all("listener" not in f["file"]["ticket"] for f in kinds), kinds


def test_both():
    place = Place()
    place.end()
    os.kill(place.server, signal.SIGKILL)
    for n in NAMES:
        os.path.exists(place.path(n)) and os.unlink(place.path(n))
    both = "%s server > ready & while ! grep -q READY ready; do sleep 0.1; done; %s hold a p u & wait" % (SET, SET)
    sh = start(["/bin/sh", "-c", both], cwd=place.dir, log=place.path("log-both"))
    until("both", 10, lambda: "READY" in open(place.path("log-both")).read())
    pids = {open("/proc/%d/cmdline" % p).read().split("\0")[1]: p for p in tree(sh) if p != sh}
    place.server = pids["server"]
    before, inside, held = good(place), place.inside(), place.held(pids["hold"])
    d = images()
    dump(sh, d)
    restore(d)
    assert (good(place), place.inside(), place.held(pids["hold"])) == (before, inside, held)
    d = images()
    dump(sh, d)
    empty_store(place)
    restore(d, "--verify")
    assert (good(place), place.inside(), place.held(pids["hold"])) == (before, inside, held)


def test_store_is_gone():
    """Tickets are made anew, with the same ids, again and again; each is watched as before."""
    place = Place()
    before, inside = good(place), place.inside()
    for _ in range(3):
        d = images()
        dump(place.server, d)
        empty_store(place)
        restore(d, "--verify")
        assert place.inside() == inside, (place.inside(), inside)
        assert good(place) == before, (good(place), before)
    holder = place.begin("hold", "u")
    n = settled(place)
    os.kill(holder, signal.SIGKILL)
    until("the unreferenced door", 10, lambda: len(unrefs(place)) > n)


def unrefs(place):
    with contextlib.suppress(FileNotFoundError):
        return open(place.path("unref")).read()
    return ""


def settled(place):
    """How often the door was said to be unreferenced, when that is said no more."""
    n = -1
    while n != len(unrefs(place)):
        n = len(unrefs(place))
        time.sleep(0.6)
    return n


def test_one_ticket_is_gone():
    """A path on which the dead ticket is still mounted gets a good one."""
    place = Place()
    before, inside = good(place), place.inside()
    d = images()
    dump(place.server, d)
    for f in glob.glob(STORE + "/s.*") + glob.glob(STORE + "/*/t.*"):
        os.unlink(f)
    assert place.call("a") == "error EBADF"
    restore(d)
    assert place.inside() == inside
    assert good(place) == before


def test_a_stranger_has_the_place_of_a_ticket():
    place = Place()
    d = images()
    dump(place.server, d)
    ticket = [f["file"]["ticket"] for f in entries(d) if f["file"].get("ticket")][0]
    path = "%s/%s/t.%d" % (STORE, ticket["server"], ticket["number"])
    os.rename(path, path + ".aside")
    open(path, "w").write("not yours")
    files = store_files()
    p = cl("restore", "-d", "-D", d, ok=False)
    assert "[file-door]" in p.stdout + p.stderr + logs(["-D", d]) and path in p.stdout + p.stderr + logs(["-D", d]), p
    assert open(path).read() == "not yours"
    assert store_files() == files
    os.rename(path + ".aside", path)
    restore(d)
    good(place)


def test_a_failed_restore_leaves_nothing():
    place = Place()
    before = good(place)
    d = images()
    dump(place.server, d)
    empty_store(place)
    script = place.path("veto")
    open(script, "w").write("#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-restore ]\n")
    os.chmod(script, 0o755)
    cl("restore", "-d", "-D", d, "--action-script", script, ok=False)
    assert not os.path.ismount(STORE) and not os.path.exists(STORE + "/l")
    for n in NAMES:
        assert not os.path.ismount(place.path(n)), n
    restore(d)
    assert good(place) == before
    d = images()
    dump(place.server, d)
    files = store_files()
    cl("restore", "-d", "-D", d, "--action-script", script, ok=False)
    assert store_files() == files
    restore(d)
    assert good(place) == before


def test_a_killed_restore_leaves_nothing():
    place = Place()
    before = good(place)
    for i in range(count("DOOR_KILLS", 4, 40)):
        d = images()
        dump(place.server, d)
        if i % 2:
            empty_store(place)
        files = store_files()
        p = subprocess.Popen([CL, "restore", "-d", "-D", d], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.004 + 0.02 * (i % 7) / 7)
        p.kill()
        p.wait()
        # The guardian looks for half a second for whatever is born late.
        time.sleep(0.9)
        if not alive(place.server):
            assert os.path.ismount(STORE) == (not i % 2) and store_files() == files, (i, store_files(), files)
            assert not i % 2 or not any(os.path.ismount(place.path(n)) for n in NAMES)
            restore(d)
        assert good(place) == before


def test_the_path_is_taken():
    place = Place()
    d = images()
    dump(place.server, d)
    place.end()
    subprocess.run(["mount", "--bind", "/etc/hostname", place.path("a2")], check=True)
    p = cl("restore", "-d", "-D", d, ok=False)
    text = p.stdout + p.stderr + logs(["-D", d])
    assert "[file-door]" in text and place.path("a2") in text, text
    subprocess.run(["umount", place.path("a2")], check=True)
    restore(d)
    good(place)


def test_the_server_has_died_meanwhile():
    place = Place()
    holder = place.begin("hold", "a", "p")
    d = images()
    dump(holder, d)
    os.kill(place.server, signal.SIGKILL)
    until("the server's end", 10, lambda: place.call("a") == "error EBADF")
    restore(d)
    assert "gone with its server" in open(d + "/restore.log").read()
    assert place.held(holder).count("error EBADF") == 2, place.held(holder)
    assert "target -1" in place.held(holder)
    d = images()
    dump(holder, d)
    empty_store(place)
    restore(d)
    assert place.held(holder).count("error EBADF") == 2, place.held(holder)
    d = images()
    dump(holder, d)
    restore(d)
    assert place.held(holder).count("error EBADF") == 2, place.held(holder)


def test_a_call_under_way():
    """The caller is outside: interrupted. In the tree: answered."""
    place = Place()
    p = subprocess.Popen([SET, "slow", "p"], cwd=place.dir, stdout=subprocess.PIPE, text=True)
    until("the call", 10, os.path.exists, place.path("begun"))
    d = images()
    dump(place.server, d)
    assert p.communicate(timeout=10)[0].split("\n")[1] == "error EINTR"
    restore(d)
    open(place.path("go"), "w")
    good(place)


def test_unreferenced_while_it_is_not_there():
    """The last reference of others goes while the server is dumped, or just before: it is told once."""
    place = Place()
    good(place)
    for _ in range(2):
        holder = place.begin("hold", "u")
        d = images()
        n = settled(place)
        dump(place.server, d)
        os.kill(holder, signal.SIGKILL)
        until("its end", 10, lambda: not alive(holder))
        restore(d)
        until("the unreferenced door", 10, lambda: len(unrefs(place)) > n)
    n = settled(place)
    cycle(place.server)
    assert settled(place) == n, "told without a cause"
    holder = place.begin("hold", "u")
    place.held(holder)
    cycle(place.server)
    assert settled(place) == n, "told while another has it"
    assert "answer u" in place.held(holder)


def test_an_event_of_closing_that_was_not_read():
    place = Place()
    good(place)
    holder = place.begin("hold", "u")
    n = settled(place)
    os.kill(place.server, signal.SIGSTOP)
    os.kill(holder, signal.SIGKILL)
    until("its end", 10, lambda: not alive(holder))
    d = images()
    dump(place.server, d)
    restore(d)
    os.kill(place.server, signal.SIGCONT)
    until("the unreferenced door", 10, lambda: len(unrefs(place)) > n)


def test_what_is_shown():
    place = Place()
    live = json.loads(cl("state", str(place.server), "--json").stdout)["tasks"][str(place.server)]["fds"]
    d = images()
    dump(place.server, d)
    found = entries(d)
    ids = {f["file"]["ticket"]["door_id"] for f in found if "ticket" in f["file"]}
    assert ids == {f["file"]["ticket"]["door_id"] for f in live.values() if "ticket" in f.get("file", {})}
    assert len(ids) == 3, ids
    attached = sorted(p for f in found for p in f["file"].get("ticket", {}).get("attached", []))
    assert sorted(set(attached)) == sorted(place.path(n) for n in NAMES), attached
    assert any("ticket" not in f["file"] for f in found), "the revoked one"
    rows = json.loads(cl("show", "doors", d, "--json").stdout)
    assert [(r.get("attributes"), sorted(os.path.basename(p) for p in r.get("paths", [])), r["server"]) for r in rows] == [
        ("NO_CANCEL", ["a", "a2"], "in the tree"), ("PRIVATE", ["p"], "in the tree"), ("UNREF_MULTI", ["u"], "in the tree"),
        (None, [], "revoked")], rows
    restore(d)
    good(place)
    again = json.loads(cl("show", "doors", place.server, "--json").stdout)
    assert again == rows, (again, rows)


def test_others_read_the_image():
    place = Place()
    d = images()
    dump(place.server, d)
    if shutil.which("crit"):
        p = subprocess.run(["crit", "decode", "-i", d + "/files.img"], capture_output=True, text=True)
        assert p.returncode == 0 and json.loads(p.stdout)["entries"], p.stderr
    if CRIU:
        p = subprocess.run([CRIU, "restore", "-d", "-D", d, "-v4", "-o", "criu.log"], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL, timeout=60)
        assert p.returncode > 0, "refused, not killed: %r" % (p,)
    restore(d)
    good(place)
    if not CRIU:
        raise Skip("CRIU is unset")


if __name__ == "__main__":
    main()
