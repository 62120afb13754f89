#!/usr/bin/python3
"""Runs the tests and counts them.

run.py [-j N] [-v] [--full] [PATH]...

A test is a program: a built unit test (libcheck), or a script under tests/types, tests/trees,
tests/apps that prints TAP lines (ok / not ok / # SKIP reason). Each script runs in pid, mount,
network and ipc namespaces, with terminals and a directory of its own; all that is left there
goes with them.
The last line is `N passed, N failed, N skipped`."""
import argparse, concurrent.futures, ctypes, fcntl, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = {"short": 240, "full": 6 * 3600}


def as_init(argv):
    """Pid 1 of a namespace: starts the test, reaps orphans, and ends with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 0x41))  # SIOCSIFFLAGS: up, running
    # Terminals of its own, as a restore wants the numbers that the dump has seen; best effort.
    mount = ctypes.CDLL(None).mount
    mount(b"devpts", b"/dev/pts", b"devpts", 0, b"newinstance,gid=5,mode=620,ptmxmode=666")
    # Shared memory of its own, so that what a killed program leaves there ends with the namespace. The scratch directory
    # moves along; a project that is built there has to be seen.
    used = [p for p in argv + list(os.environ.values()) if p.startswith("/dev/shm/") and p != os.environ["TEST_DIR"]]
    if not used and mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"mode=1777") == 0:
        os.makedirs(os.environ["TEST_DIR"], 0o700, exist_ok=True)
        os.chdir(os.environ["TEST_DIR"])
    # And journals of its own: those of a namespace that is gone can be of one with the same number.
    os.makedirs("/run/criu-lite", 0o700, exist_ok=True)
    mount(b"tmpfs", b"/run/criu-lite", b"tmpfs", 0, b"mode=700")
    pid = os.posix_spawn(argv[0], argv, os.environ)
    while True:
        try:
            got, status = os.wait()
        except InterruptedError:
            continue
        if got == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)


def command(path, scratch):
    if path.endswith((".py", ".sh")):
        inner = [sys.executable, os.path.abspath(__file__), "--init", path]
        return ["unshare", "-p", "-m", "-n", "-i", "--fork", "--kill-child", "--mount-proc"] + inner
    return [path]


def run(path, limit, verbose):
    scratch = tempfile.mkdtemp(prefix="cl-test.", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    env = dict(os.environ, TEST_DIR=scratch, TMPDIR=scratch, PYTHONPATH=HERE, LC_ALL="C.UTF-8")
    start = time.monotonic()
    try:
        p = subprocess.Popen(command(path, scratch), cwd=scratch, env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            out, late = p.communicate(timeout=limit)[0].decode(errors="replace"), False
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, late = p.communicate()[0].decode(errors="replace"), True
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return path, judge(out, p.returncode, late), out, time.monotonic() - start


def run_twice(path, limit, verbose):
    """libcheck's message pipe is shared with the processes that a test kills: one cut short is no verdict."""
    result = run(path, limit, verbose)
    return run(path, limit, verbose) if "check_pack.c" in result[2] else result


def judge(out, status, late):
    """(passed, failed, skipped reasons)"""
    ok = bad = 0
    skipped = []
    for line in out.splitlines():
        if re.match(r"ok\b.*# *skip", line, re.I):
            skipped.append(line.split("#", 1)[1].strip())
        elif re.match(r"ok\b", line):
            ok += 1
        elif re.match(r"not ok\b", line):
            bad += 1
        m = re.match(r"\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", line)
        if m:
            n, f, e = map(int, m.groups())
            ok, bad = ok + n - f - e, bad + f + e
    if late or (status and not bad) or not (ok or bad or skipped):
        bad += 1
    return ok, bad, skipped


def collect(paths, build):
    if paths:
        return [os.path.abspath(p) for p in paths]
    found = []
    for top, want in ((os.path.join(build, "tests/unit"), lambda f: f.startswith("test_") and "." not in f),
                      (HERE + "/types", lambda f: f.startswith("test_")), (HERE + "/trees", lambda f: f.startswith("test_")),
                      (HERE + "/rpc", lambda f: f.startswith("test_")), (HERE + "/apps", lambda f: f.startswith("test_"))):
        for d, _, files in sorted(os.walk(top)):
            found += [os.path.join(d, f) for f in sorted(files) if want(f) and os.access(os.path.join(d, f), os.X_OK)]
    return found


def main():
    if sys.argv[1:2] == ["--init"]:
        as_init(sys.argv[2:])
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("-j", type=int, default=os.cpu_count())
    ap.add_argument("-v", "--verbose", action="store_true", help="print what every test prints")
    ap.add_argument("--full", action="store_true", help="the long form (make soak)")
    ap.add_argument("path", nargs="*")
    a = ap.parse_args()
    build = os.path.abspath(os.environ.get("BUILD", os.path.join(os.path.dirname(HERE), "build")))
    os.environ["BUILD"] = build
    os.environ.setdefault("CL", os.path.join(os.environ["BUILD"], "criu-lite"))
    if a.full:
        os.environ["FULL"] = "1"
    total = [0, 0, 0]
    with concurrent.futures.ThreadPoolExecutor(a.j) as pool:
        jobs = [pool.submit(run_twice, p, LIMIT["full" if a.full else "short"], a.verbose) for p in collect(a.path, build)]
        for job in concurrent.futures.as_completed(jobs):
            path, (ok, bad, skipped), out, took = job.result()
            print("%-6s %s  %d passed, %d failed, %d skipped  (%.1f s)" %
                  ("FAIL" if bad else "ok", os.path.relpath(path, os.path.dirname(HERE)), ok, bad, len(skipped), took), flush=True)
            for why in skipped:
                print("       " + why)
            if bad or a.verbose:
                print("".join("    | " + l + "\n" for l in out.splitlines()[-80:]), end="", flush=True)
            total = [t + n for t, n in zip(total, (ok, bad, len(skipped)))]
    print("%d passed, %d failed, %d skipped" % tuple(total))
    sys.exit(1 if total[1] or not total[0] else 0)


if __name__ == "__main__":
    main()
