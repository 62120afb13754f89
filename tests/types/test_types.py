#!/usr/bin/python3
"""Round trip of every file type.

Starts each program of this directory (or those named) in a directory of its
own, waits for READY, dumps and restores it, compares its state before and
after, sends SIGUSR1 and reads PASS. One that prints "SKIP reason" and ends is skipped. A program may have lines of the form

    # dump: OPTIONS       more options for dump
    # restore: OPTIONS    more options for restore
    # refused: ID         dump must refuse with that error id, and do no harm
    # says: REGEX         what the refusal must say, too
    # tty                 it is a job in a session that has a terminal, its standard input

Usage: test_types.py [--bin PROGRAM] [--dumper PROGRAM] [--restorer PROGRAM] [-n CYCLES] [-v] [NAME...]
"""
import sys

# Programs of this directory are named after types, and so are modules of Python.
sys.path.pop(0)

import argparse
import ctypes
import os
import pty
import re
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT = 20  # seconds for each step
PR_SET_CHILD_SUBREAPER = 36
# Pages of zeros, and fields that the other tool's images do not have.
BETWEEN = r"\.content: |\.extra\b"


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def directives(path):
    out = {"dump": [], "restore": [], "refused": None, "tty": False, "says": []}
    with open(path) as f:
        for line in f:
            out["tty"] |= line == "# tty\n"
            m = re.match(r"(?:#|//| \*) (dump|restore|refused|says): (.*)", line)
            if m and m[1] == "refused":
                out["refused"] = m[2].strip()
            elif m and m[1] == "says":
                out["says"].append(m[2].strip())
            elif m:
                out[m[1]] += m[2].split()
    return out


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(what, cond):
    end = time.monotonic() + TIMEOUT
    while not cond():
        reap()
        if time.monotonic() > end:
            raise Failed(f"{what}: not within {TIMEOUT} s")
        time.sleep(0.005)


def tree(pid):
    """The pid and all its descendants."""
    out = [pid]
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            for child in f.read().split():
                out += tree(int(child))
    except FileNotFoundError:
        pass
    return out


def asleep(pid):
    """Does every task of the tree sleep?"""
    for p in tree(pid):
        try:
            for t in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{t}/stat") as f:
                    if f.read().rpartition(")")[2].split()[0] not in "SZT":
                        return False
        except FileNotFoundError:
            return False
    return True


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def tool(args, *words, ok=True, by=None):
    p = subprocess.run([by or args.bin, *words], capture_output=True, text=True, timeout=TIMEOUT * 2,
                       stdin=None if args.tty else subprocess.DEVNULL)
    reap()
    if (p.returncode == 0) != ok:
        text = (p.stdout + p.stderr).strip().splitlines()
        raise Failed(f"{' '.join(words[:1])} exits {p.returncode}: " + "\n    ".join(text[-12:]))
    return p.stdout + p.stderr


def start(args, path, work):
    cmd = [path]
    if path.endswith(".py"):
        cmd = ["/usr/bin/python3", "-P", path]
    elif path.endswith(".c"):
        exe = os.path.join(work, "program")
        subprocess.run(["cc", "-O1", "-D_GNU_SOURCE", "-pthread", "-o", exe, path], check=True)
        cmd = [exe]
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.path.join(HERE, "lib"))
    out = os.open(os.path.join(work, "out"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    p = subprocess.Popen(cmd, cwd=work, env=env, stdin=None if args.tty else subprocess.DEVNULL,
                         stdout=out, stderr=out, start_new_session=not args.tty,
                         process_group=0 if args.tty else None)
    os.close(out)
    return p.pid


def diff(args, before, after):
    try:
        tool(args, "diff", before, after)
    except Failed as e:
        if not args.between or [x for x in str(e).splitlines() if not re.search(BETWEEN, x)]:
            raise


def cycle(args, opts, pid, work, n):
    images = os.path.join(work, f"images{n}")
    os.mkdir(images, 0o700)
    before = os.path.join(work, f"before{n}.json")
    with open(before, "w") as f:
        f.write(tool(args, "state", str(pid), "--json"))
    tool(args, "dump", "-t", str(pid), "-D", images, *opts["dump"], by=args.dumper)
    wait_for("the dumped task is gone", lambda: not os.path.exists(f"/proc/{pid}"))
    tool(args, "restore", "-d", "-D", images, *opts["restore"], by=args.restorer)
    wait_for("the restored task", lambda: alive(pid))
    after = os.path.join(work, f"after{n}.json")
    with open(after, "w") as f:
        f.write(tool(args, "state", str(pid), "--json"))
    if not args.no_state:
        diff(args, before, after)


def refused(args, opts, pid, work):
    images = os.path.join(work, "images")
    os.mkdir(images, 0o700)
    text = tool(args, "dump", "-t", str(pid), "-D", images, *opts["dump"], ok=False)
    text += read(os.path.join(images, "dump.log"))
    if f"[{opts['refused']}]" not in text:
        raise Failed(f"refused, but not with {opts['refused']}: {text[-600:]}")
    for what in opts["says"]:
        if not re.search(what, text):
            raise Failed(f"refused, but without {what!r}: {text[-600:]}")
    if os.path.exists(os.path.join(images, "inventory.img")):
        raise Failed("refused, but there is an inventory")


def run_in_tty(args, path, work):
    """run() in a child that leads a session with a terminal of its own."""
    pid, master = pty.fork()
    if not pid:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        args.tty = True
        text = ""
        try:
            run(args, path, work)
        except Exception as e:
            text = ("SKIP " if isinstance(e, Skipped) else "") + (str(e) or repr(e))
        with open(os.path.join(work, "result"), "w") as f:
            f.write(text)
        os._exit(0)
    try:
        while os.read(master, 4096):
            pass
    except OSError:
        pass
    os.close(master)
    os.waitpid(pid, 0)
    text = read(os.path.join(work, "result"))
    if text.startswith("SKIP "):
        raise Skipped(text[5:])
    if text:
        raise Failed(text)


def run(args, path, work):
    opts = directives(path)
    if opts["tty"] and not args.tty:
        run_in_tty(args, path, work)
        return
    out = os.path.join(work, "out")
    pid = start(args, path, work)
    try:
        wait_for("READY", lambda: "READY" in read(out) or not alive(pid))
        if not alive(pid):
            why = re.search("^SKIP (.*)", read(out), re.M)
            raise Skipped(why[1]) if why else Failed("ended before READY: " + read(out))
        wait_for("the program is at rest", lambda: asleep(pid))
        time.sleep(0.02)
        if opts["refused"]:
            refused(args, opts, pid, work)
        else:
            for n in range(args.n):
                cycle(args, opts, pid, work, n)
        os.kill(pid, signal.SIGUSR1)
        wait_for("PASS", lambda: re.search("^(PASS|FAIL)", read(out), re.M) or not alive(pid))
        time.sleep(0.02)
        if not re.search("^PASS", read(out), re.M):
            raise Failed(read(out).replace("READY\n", "").strip() or "died after restore")
    finally:
        if alive(pid):
            wait_end = time.monotonic() + 1
            while alive(pid) and time.monotonic() < wait_end:
                reap()
                time.sleep(0.01)
        if alive(pid):
            os.killpg(os.getpgid(pid), signal.SIGKILL)
        reap()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--bin", default=os.environ.get("CL", os.path.join(HERE, "../../build/criu-lite")))
    ap.add_argument("--dumper", help="another program with the same command line dumps")
    ap.add_argument("--restorer", help="another program restores")
    ap.add_argument("-n", type=int, default=1, help="cycles for each program")
    ap.add_argument("-v", action="store_true", help="keep the directory of a failed test")
    ap.add_argument("--between", action="store_true",
                    help="do not mind what only one of two tools puts into images")
    ap.add_argument("--no-state", action="store_true",
                    help="the program itself is the judge: a restorer may lose what it has no place for")
    ap.add_argument("names", nargs="*")
    args = ap.parse_args()
    args.bin = os.path.realpath(args.bin)
    args.tty = False
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    files = sorted(f for f in os.listdir(HERE)
                   if f.endswith((".py", ".c")) and f != os.path.basename(__file__))
    bad = 0
    for f in files:
        name = f.rsplit(".", 1)[0]
        if args.names and name not in args.names:
            continue
        work = tempfile.mkdtemp(prefix=f"cl-{name}-")
        try:
            run(args, os.path.join(HERE, f), work)
            print(f"ok - types/{name}", flush=True)
        except Skipped as e:
            print(f"ok - types/{name} # SKIP {e}", flush=True)
        except (Failed, OSError, subprocess.TimeoutExpired, subprocess.CalledProcessError,
                ValueError) as e:
            bad += 1
            print(f"not ok - types/{name}: {e}" + (f"  ({work})" if args.v else ""), flush=True)
            if args.v:
                continue
        shutil.rmtree(work, ignore_errors=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
