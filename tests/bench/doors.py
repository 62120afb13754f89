#!/usr/bin/python3
"""What a call of a door costs, beside a bare futex ping-pong, a SEQPACKET socket, memcpy() and D-Bus (row 34 of
docs/DOORS.md). Prints medians and says which bar was missed; $DOOR_CALLS calls are counted for growth."""
import os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD", os.path.join(HERE, "../../build"))
DOORS = os.path.abspath(os.path.join(BUILD, "tests/bench/doors"))
# A line of the output, the figure in it, and the most that it may be.
BARS = (("one processor", r"([\d.]+) of the futex", 2), ("one processor", r"([\d.]+) of SEQPACKET", 1),
        ("two processors", r"([\d.]+) of the futex", 2), ("two processors", r"([\d.]+) of SEQPACKET", 1),
        ("1 MiB", r"([\d.]+) of one memcpy", 2.5))


def run(*argv):
    """In a mount namespace of its own, where nobody else has doors."""
    inner = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && exec \"$@\""
    p = subprocess.run(["unshare", "-m", "sh", "-c", inner, "sh", *argv], capture_output=True, text=True)
    print(p.stdout + ("" if p.returncode == 0 else "%s: %s" % (argv[0], p.stderr)), end="", flush=True)
    return p.stdout


def sdbus(doors):
    if not shutil.which("dbus-run-session") or subprocess.run(["pkg-config", "--exists", "libsystemd"]).returncode:
        print("D-Bus: needs dbus-run-session and libsystemd-dev")
        return 0
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", d + "/sdbus", HERE + "/sdbus.c", "-lsystemd"], check=True)
        got = re.search(r"p50 ([\d.]+)", run("dbus-run-session", "--", d + "/sdbus"))
    if not got:
        return 1
    ratio = float(got.group(1)) / doors
    print("D-Bus costs %.1f times a door on one processor" % ratio)
    return 0


def main():
    text = "".join(run(DOORS, what) for what in ("latency", "throughput", "callers", "growth"))
    missed = 0
    for line, figure, most in BARS:
        got = [re.search(figure, l) for l in text.splitlines() if line in l]
        if not got or not got[0] or float(got[0].group(1)) > most:
            print("missed: %s, %s, at most %g" % (line, figure, most))
            missed += 1
    one = re.search(r"one processor: .* door ([\d.]+) us", text)
    missed += sdbus(float(one.group(1))) if one else 1
    sys.exit(1 if missed else 0)


main()
