#!/usr/bin/python3
"""What a call of a door costs, beside a bare futex ping-pong, a SEQPACKET socket, memcpy(), D-Bus and gRPC
(row 34 of docs/DOORS.md). Prints medians and says which bar was missed; $DOOR_CALLS calls are counted for growth."""
import os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD", os.path.join(HERE, "../../build"))
DOORS = os.path.abspath(os.path.join(BUILD, "tests/bench/doors"))
# A line of the output, the figure in it, and the most that it may be.
BARS = (("one processor", r"([\d.]+) of the futex", 2), ("one processor", r"([\d.]+) of SEQPACKET", 1),
        ("two processors", r"([\d.]+) of the futex", 2), ("two processors", r"([\d.]+) of SEQPACKET", 1),
        ("1 MiB of arguments", r"([\d.]+) of one memcpy", 2.5), ("1 MiB there and back", r"([\d.]+) of one memcpy", 2.5))


def run(*argv):
    """In a mount namespace of its own, where nobody else has doors."""
    inner = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && exec \"$@\""
    p = subprocess.run(["unshare", "-m", "sh", "-c", inner, "sh", *argv], capture_output=True, text=True)
    print(p.stdout + ("" if p.returncode == 0 else "%s: %s" % (argv[0], p.stderr)), end="", flush=True)
    return p.stdout


def build_sdbus(d):
    subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-o", d + "/sdbus", HERE + "/sdbus.c", "-lsystemd"], check=True)
    return ["dbus-run-session", "--", d + "/sdbus"]


def build_grpc(d):
    plugin = "--plugin=protoc-gen-grpc=" + shutil.which("grpc_cpp_plugin")
    subprocess.run(["protoc", "-I" + HERE, "--cpp_out=" + d, "--grpc_out=" + d, plugin, HERE + "/grpc.proto"], check=True)
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"], capture_output=True, text=True, check=True).stdout.split()
    sources = [HERE + "/grpc.cc", d + "/grpc.pb.cc", d + "/grpc.grpc.pb.cc"]
    subprocess.run(["g++", "-O2", "-I" + d, "-o", d + "/grpc", *sources, *flags], check=True)
    return [d + "/grpc"]


# What is compared where it is installed: name, what it needs (a program, a pkg-config module, packages), how to build it.
PEERS = (("D-Bus", "dbus-run-session", "libsystemd", "dbus-daemon libsystemd-dev", build_sdbus),
         ("gRPC", "grpc_cpp_plugin", "grpc++", "g++ libgrpc++-dev protobuf-compiler-grpc", build_grpc))


def peer(name, argv, floor):
    """Times of a door and a bare futex ping-pong are in @floor, by the number of processors. Returns how many bars were missed."""
    missed = 0
    for i, where in enumerate(("one processor", "two processors")):
        pinned = argv if i else ["taskset", "-c", "0", *argv]
        got = re.search(r"p50 ([\d.]+)", run(*pinned, str(i)))
        if not got:
            return missed + 1
        futex, door = (float(got.group(1)) / t for t in floor[where])
        print("%s, %s: %.1f times a door, %.1f times a bare futex ping-pong" % (name, where, door, futex))
        if door < 8:
            print("missed: %s, %s, at least 8 times a door" % (name, where))
            missed += 1
    return missed


def main():
    text = "".join(run(DOORS, what) for what in ("latency", "throughput", "callers", "growth"))
    missed = 0
    for line, figure, most in BARS:
        got = [re.search(figure, l) for l in text.splitlines() if line in l]
        if not got or not got[0] or float(got[0].group(1)) > most:
            print("missed: %s, %s, at most %g" % (line, figure, most))
            missed += 1
    floor = {w: (float(f), float(d)) for w, f, d in re.findall(r"bytes, (\w+ processors?): futex ([\d.]+) us.* door ([\d.]+) us", text)}
    for name, program, module, packages, build in PEERS:
        if not shutil.which(program) or subprocess.run(["pkg-config", "--exists", module]).returncode:
            print("%s: not compared, needs %s" % (name, packages))
            continue
        with tempfile.TemporaryDirectory() as d:
            missed += peer(name, build(d), floor)
    sys.exit(1 if missed else 0)


main()
