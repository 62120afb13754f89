#!/usr/bin/python3
"""Programs on terminals, driven through one: each is dumped and restored, and must be usable again."""
from cl import *
import fcntl, pty, select, struct, termios

SHELL = ["/bin/bash", "--norc", "--noprofile", "-i"]


class Terminal:
    """A program on a pseudoterminal of ours, as its session's leader."""

    def __init__(self, argv, cwd=DIR, **env):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(cwd)
            os.environ.update(TERM="xterm", PS1="$ ", HISTFILE="", HOME=cwd, **env)
            os.execvp(argv[0], argv)
        os.set_inheritable(self.fd, False)
        TIOCGPTN = 0x80045430
        self.name = "/dev/pts/%d" % struct.unpack("I", fcntl.ioctl(self.fd, TIOCGPTN, bytes(4)))
        termios.tcsetwinsize(self.fd, (24, 80))
        started.append(self.pid)

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        if select.select([self.fd], [], [], seconds)[0]:
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                return False
            return True
        return False

    def expect(self, what, seconds=15):
        """Waits until the program has printed that since the last time, and forgets all before it."""
        end = time.monotonic() + seconds
        while not re.search(what, self.seen):
            assert time.monotonic() < end, "no %r on the terminal: %r" % (what, self.seen[-2000:])
            self.read(0.1)
        found = re.search(what, self.seen)
        self.seen = self.seen[found.end():]
        return found

    def run(self, command):
        self.type(command + "\n")


def child(pid, comm):
    """The child of a process that runs such a program."""
    def look():
        for p in tree(pid):
            s = stat(p)
            if p != pid and s and s["comm"] == comm and s["state"] == "S":
                return p
    return until("%s to run" % comm, 10, look)


def quiet(t):
    """Until it has nothing more to say."""
    while t.read(0.3):
        pass


def job(name, command, comm, before, after):
    """A job of an interactive shell: dumped from outside, restored by the shell, in the foreground."""
    t = Terminal(SHELL)
    t.run("echo shell'-'ready")
    t.expect("shell-ready")
    t.run(command)
    before(t)
    quiet(t)
    pid, d = child(t.pid, comm), images(name)
    dump(pid, d, "--shell-job")
    until("the dumped job to go", 5, lambda: not alive(pid))
    t.expect("Killed")
    t.run("%s restore --shell-job --verify -D %s -o restore.log; echo restored: $?" % (CL, d))
    until("the restored job", 15, lambda: t.read(0.02) and re.search(r"restored: \d", t.seen) or alive(pid))
    assert alive(pid), t.seen + logs(("-D", d))
    after(t)
    t.expect("restored: (\\d+)")
    t.run("echo shell'-'usable")
    t.expect("shell-usable")
    t.run("exit")


def links(pid):
    """What its descriptors lead to; it may close some meanwhile."""
    found = set()
    for n in os.listdir("/proc/%d/fd" % pid):
        try:
            found.add(os.readlink("/proc/%d/fd/%s" % (pid, n)))
        except FileNotFoundError:
            pass
    return found


def test_vim():
    """A text being edited: its swap file, what was typed, undo."""
    need("vim")
    path, swap = os.path.join(DIR, "text"), os.path.join(DIR, ".text.swp")
    with open(path, "w") as f:
        f.write("first line\nsecond line\n")

    def before(t):
        t.expect("second line")
        t.type("ggOtyped before\x1b")
        t.expect("typed before")
        t.type(":preserve\r")
        t.expect("File preserved|preserved")
        assert os.path.exists(swap)

    def after(t):
        t.type("\x0c:\x0d")
        t.type("Gotyped after\x1b")
        t.type(":w\r")
        until("the text to be written", 10, lambda: "typed after" in open(path).read())
        assert open(path).read() == "typed before\nfirst line\nsecond line\ntyped after\n", open(path).read()
        t.type("uu:wq\r")

    job("vim", "vim -u NONE -N -i NONE -c 'set directory=.' text", "vim", before, after)
    assert open(path).read() == "first line\nsecond line\n"
    assert not os.path.exists(swap)


def test_less():
    """What is paged comes through a FIFO whose writer stays where it is."""
    need("less")
    path = os.path.join(DIR, "fifo")
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)

    def before(t):
        os.write(writer, b"".join(b"line %d\n" % i for i in range(100)))
        t.expect("line 20")

    def after(t):
        t.type("  ")
        t.expect("line 60")
        os.write(writer, b"".join(b"more %d\n" % i for i in range(100)))
        t.type("  ")
        t.expect("line 99\r?\n[^\n]*more 0")
        t.type("g")
        t.expect(r"line 1\r?\n[^\n]*line 0\b")
        t.type("q")

    job("less", "less -f fifo", "less", before, after)
    os.close(writer)


def test_tail():
    """inotify tells it of what is appended, and of a new file under the name."""
    log, out = os.path.join(DIR, "log"), os.path.join(DIR, "tail.out")
    with open(log, "w") as f:
        f.write("old\n")
    pid = start(["tail", "-F", log], log="tail.out")
    until("what is there", 10, lambda: "old" in open(out).read())

    def append(text):
        with open(log, "a") as f:
            f.write(text + "\n")
        until(text, 10, lambda: text in open(out).read())

    append("before")
    links = [os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)]
    assert "anon_inode:inotify" in links, links
    for n in range(3):
        cycle(pid)
        append("after %d" % n)
        os.rename(log, log + ".1")
        append("rotated %d" % n)
    assert "truncated" not in open(out).read()


def test_shell_job():
    """A script with children that reads from its terminal."""
    script = "n=0; while read line; do n=$((n+1)); echo \"$n: $line\" | tr a-z A-Z; done; echo lines: $n"

    def before(t):
        t.run("one")
        t.expect("1: ONE")

    def after(t):
        t.run("two")
        t.expect("2: TWO")
        t.type("three\n\x04")
        t.expect("lines: 3")

    job("job", "bash -c '%s'" % script, "bash", before, after)


def test_tmux():
    """A server with three panes, a shell in each; clients come and go."""
    need("tmux")
    tmux = ["tmux", "-S", os.path.join(DIR, "tmux.sock"), "-f", "/dev/null"]

    def say(*words):
        return subprocess.run(tmux + list(words), check=True, capture_output=True, text=True, cwd=DIR,
                              stdin=subprocess.DEVNULL, timeout=20).stdout

    def pane(n, word):
        say("send-keys", "-t", "s:0.%d" % n, "echo pane-%d-%s" % (n, word), "Enter")
        until("%s in pane %d" % (word, n), 10,
              lambda: re.search("^pane-%d-%s" % (n, word), say("capture-pane", "-p", "-t", "s:0.%d" % n), re.M))

    os.environ["SHELL"] = "/bin/sh"
    say("new-session", "-d", "-s", "s", "-x", "80", "-y", "24")
    say("set-option", "-g", "window-size", "manual")
    say("split-window", "-h", "-t", "s:0")
    say("split-window", "-v", "-t", "s:0")
    server = int(say("display-message", "-p", "#{pid}"))
    started.append(server)
    for n in range(3):
        # What is typed before it is there may be lost.
        until("the shell's prompt", 10, lambda: say("capture-pane", "-p", "-t", "s:0.%d" % n).strip())
        pane(n, "before")
    say("send-keys", "-t", "s:0.1", "cat", "Enter")
    layout = say("list-panes", "-t", "s:0", "-F", "#{pane_id} #{pane_pid} #{pane_width}x#{pane_height} #{pane_tty}")
    until("cat to run", 10, lambda: any((stat(p) or {}).get("comm") == "cat" for p in tree(server)))
    for n in range(2):
        cycle(server)
        assert say("list-panes", "-t", "s:0", "-F",
                   "#{pane_id} #{pane_pid} #{pane_width}x#{pane_height} #{pane_tty}") == layout
        for p in (0, 2):
            pane(p, "after-%d" % n)
        say("send-keys", "-t", "s:0.1", "to-cat-%d" % n, "Enter")
        until("cat to answer", 10, lambda: say("capture-pane", "-p", "-t", "s:0.1").count("to-cat-%d" % n) == 2)
        client = Terminal(tmux + ["attach", "-t", "s"])
        client.expect("pane-0-after-%d" % n)
        client.type("\x02")
        time.sleep(0.1)  # what comes at once is pasted
        client.type("d")
        client.expect("detached")
        # It is the client that says so; the server may still have its terminal.
        until("the server to have only its own terminals", 10,
              lambda: client.name not in links(server))
    say("kill-server")


main()
