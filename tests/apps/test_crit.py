#!/usr/bin/python3
"""crit, of the Debian package criu, reads the images of real programs and agrees with `state`."""
from programs import *

CRIT = os.environ.get("CRIT", "crit")


def crit(*args):
    p = subprocess.run([CRIT, *args], capture_output=True, text=True, timeout=120)
    assert p.returncode == 0 and "Traceback" not in p.stderr, "crit %s: %d\n%s" % (" ".join(args), p.returncode, p.stderr[-2000:])
    return p.stdout


def decodes(d):
    names = [f for f in os.listdir(d) if f.endswith(".img") and not f.startswith("pages-")]
    assert "inventory.img" in names and "pstree.img" in names and "files.img" in names
    if not FULL:
        # crit takes a while to start: three of each kind.
        kinds = {}
        for name in sorted(names):
            kinds.setdefault(re.sub(r"-?[0-9a-f]*[0-9]+[0-9a-f]*", "", name), []).append(name)
        names = [name for k in kinds.values() for name in k[:3]]
    for name in names + ["stats-dump"]:
        got = json.loads(crit("decode", "-i", os.path.join(d, name)))
        assert "magic" in got and "entries" in got, name
        if name == "pstree.img":
            assert got["magic"] == "PSTREE" and len(got["entries"]) > 0
    return len(names)


def agree_ps(d, tasks):
    seen, above = {}, []
    for line in crit("x", d, "ps").splitlines()[1:]:
        pid, pgid, sid, blanks, comm = re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\d+)   ( *)(\S.*)?", line).groups()
        t, depth = tasks[pid], len(blanks) // 4
        above[depth:] = [pid]
        assert str(t["pgid"]) in (pgid, "outside") and str(t["sid"]) in (sid, "outside"), (line, t["pgid"], t["sid"])
        assert t.get("comm") == comm, (line, t.get("comm"))
        assert str(t["ppid"]) == (above[depth - 1] if depth else "outside"), (line, t["ppid"])
        seen[pid] = True
    assert set(seen) == set(tasks), set(seen) ^ set(tasks)


def without_zombies(d, tasks):
    """crit x fds and mems end with a traceback at a zombie, which has no such images, in CRIU's directories too."""
    dead = {int(p) for p, t in tasks.items() if t["state"] == "zombie"}
    if not dead:
        return d
    new = images("living")
    for name in os.listdir(d):
        os.symlink(os.path.join(d, name), os.path.join(new, name))
    os.unlink(new + "/pstree.img")
    tree = json.loads(crit("decode", "-i", d + "/pstree.img"))
    tree["entries"] = [e for e in tree["entries"] if e["pid"] not in dead]
    with open(new + "/pstree.json", "w") as f:
        json.dump(tree, f)
    crit("encode", "-i", new + "/pstree.json", "-o", new + "/pstree.img")
    return new


def by_pid(text):
    """Indented lines under each pid."""
    out, pid = {}, None
    for line in text.splitlines():
        if line.strip().isdigit() and not line.startswith("\t"):
            pid = line.strip()
            out[pid] = []
        elif line.strip():
            out[pid].append(line.strip())
    return out


def agree_fds(d, tasks):
    found = by_pid(crit("x", d, "fds"))
    living = {p for p, t in tasks.items() if t["state"] != "zombie"}
    assert set(found) == living, set(found) ^ living
    for pid in living:
        t = tasks[pid]
        fds = tasks[str(t.get("shares", {}).get("files", pid))].get("fds", {})
        numbers = set()
        for key, path in (l.split(": ", 1) for l in found[pid]):
            if key in ("cwd", "root"):
                assert t[key] == path, (pid, key, t[key], path)
                continue
            numbers.add(key)
            fd = fds[key]
            if fd["kind"] == "reg" and "file" in fd:
                assert fd["file"]["name"] == path, (pid, key, fd, path)
            if fd["kind"] in ("pipe", "fifo"):
                assert path.lower().startswith(fd["kind"]) or path.startswith("/"), (pid, key, fd, path)
        assert numbers == set(fds), (pid, numbers ^ set(fds))


def agree_mems(d, tasks):
    for pid, lines in by_pid(crit("x", d, "mems")).items():
        vmas = [tuple(int(x, 16) for x in k.split("-")) + (v,) for k, v in tasks[pid]["vmas"].items()]
        size = 0
        for line in lines:
            if line.startswith("exe"):
                assert line.split(None, 1)[1] == tasks[pid]["exe"], line
                continue
            where, prot, what = (line.split(None, 2) + [""])[:3]
            lo, hi = (int(x, 16) for x in where.split("-"))
            if "vsyscall" in what:
                continue
            size += hi - lo
            home = [v for a, z, v in vmas if a <= lo and hi <= z]
            assert len(home) == 1 and home[0]["prot"][:3] == prot, (pid, line, home)
            path = re.sub(r"( \+ 0x[0-9a-f]+)?( \(s\))?( \*)?$", "", what)
            assert not path.startswith("/") or home[0]["kind"] != "file" or home[0]["file"] == path, (pid, line, home)
            assert ("[vdso]" in what) == (home[0]["kind"] == "vdso"), (pid, line, home)
        assert size == sum(z - a for a, z, _ in vmas), (pid, size)


def reads(name):
    need(CRIT)
    p, d = Program(name), images()
    dump(p.pid, d, "--ghost-limit", "256M")
    until("the dumped tree to go", 5, p.gone)
    print("# %s: %d images" % (name, decodes(d)), flush=True)
    tasks = state(d)["tasks"]
    agree_ps(d, tasks)
    living = without_zombies(d, tasks)
    agree_fds(living, tasks)
    agree_mems(living, tasks)
    restore(d)
    p.goes_on()


def test_bash():
    reads("bash")


def test_python():
    reads("python3")


def test_perl():
    reads("perl")


def test_redis():
    reads("redis-server")


def test_sqlite():
    reads("sqlite3")


main()
