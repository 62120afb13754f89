#!/usr/bin/python3
"""A perl prefork tree: 50 processes in three sessions, shared anonymous memory, zombies, stopped children."""
from cl import *

SCRIPT = r'''
use strict; use warnings; use POSIX; use IO::Handle;
require "syscall.ph" if 0;
$SIG{CHLD} = "DEFAULT";
# memory shared by all: MAP_SHARED|MAP_ANONYMOUS over mmap(2), read and written through unpack and syscall
my $len = 4096 * 4;
my $addr = syscall(9, 0, $len, 3, 0x21, -1, 0);
sub peek { unpack("Q", unpack("P8", pack("Q", $addr + 8 * $_[0]))) }
pipe(my $pr, my $pw);
sub poke { my $b = pack("Q", $_[1]); syscall(1, fileno($pw), $b, 8); syscall(0, fileno($pr), $addr + 8 * $_[0], 8) }
open(my $log, ">>", "out"); $log->autoflush(1);
pipe($pr, $pw);
sub worker { my $k = shift; my $n = 0;
    pipe($pr, $pw);
    while (1) { $n++; poke($k, $n); die "shared memory of $k" unless peek($k) == $n; select(undef, undef, undef, 0.02); } }
sub master { my ($from, $to) = @_;
    for my $k ($from .. $to) { my $p = fork(); if (!$p) { worker($k); exit } }
    my $z = fork(); if (!$z) { exit(7) }
    my $s = fork(); if (!$s) { sleep 1 while 1 } kill("STOP", $s);
    1 }
my $two = fork(); if (!$two) { POSIX::setsid(); master(17, 31); sleep 1 while 1 }
my $three = fork(); if (!$three) { POSIX::setsid(); master(32, 44); sleep 1 while 1 }
master(1, 16);
my $round = 0;
while (1) { select(undef, undef, undef, 0.1);
    print $log "round ", $round++, " ", join(",", map { peek($_) } 1 .. 44), "\n"; }
'''


def values(out):
    lines = [l for l in open(out) if l.startswith("round") and l.endswith("\n")]
    return list(map(int, lines[-1].split()[2].split(",")))


def test_perl_prefork():
    need("perl")
    pid = start(["perl", "-e", SCRIPT], log="err")
    out = os.path.join(DIR, "out")
    until("output", 10, lambda: os.path.exists(out) and os.path.getsize(out) > 300)
    until("50 processes", 10, lambda: len(tree(pid)) >= 50)
    states = lambda: sorted((p, stat(p)["ppid"] if p != pid else 0, stat(p)["pgid"], stat(p)["sid"], stat(p)["state"] in "ZT" and stat(p)["state"])
                            for p in tree(pid))
    before = states()
    assert sum(s[4] == "Z" for s in before) == 3 and sum(s[4] == "T" for s in before) == 3, before
    assert len({s[3] for s in before}) == 3
    for _ in range(count("CYCLES", 3, 10)):
        cycle(pid)
        # A task that was stopped stops when it comes to run.
        until("the same processes in the same states", 5, lambda: states() == before)
        was = values(out)
        until("every worker to go on", 10, lambda: all(n > w for n, w in zip(values(out), was)))
    assert not open(os.path.join(DIR, "err")).read()


main()
