"""The programs of the tests beside this file, ready to be dumped: their scripts are read from there."""
import ast
from cl import *

HERE = os.path.dirname(os.path.abspath(__file__))


def script(name):
    """The value of SCRIPT in a test file."""
    for node in ast.parse(open(os.path.join(HERE, "test_%s.py" % name)).read()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "SCRIPT":
            return ast.literal_eval(node.value)
    raise LookupError(name)


def place(name):
    d = os.path.join(DIR, name)
    shutil.rmtree(d, ignore_errors=True)
    os.mkdir(d)
    return d


def filled(path, size):
    until("output in " + path, 15, lambda: os.path.exists(path) and os.path.getsize(path) > size)


class Program:
    """A running program: its root, and a file that grows as long as it runs (None: it has none)."""

    def __init__(self, name):
        need(name)
        self.dir = place(name)
        self.growing = os.path.join(self.dir, "out")
        getattr(self, name.replace("-", "_").replace("3", ""))()
        self.known()

    def known(self):
        """The processes that stay: a shell starts others for a moment."""
        self.pids = tree(self.pid)
        for _ in range(4):
            time.sleep(0.2)
            now = tree(self.pid)
            self.pids = [p for p in self.pids if p in now and stat(p) and stat(p)["comm"] != "sleep"]

    def shape(self):
        """Ids, names and number of threads of those, seen from outside."""
        return [(p, stat(p)["comm"], stat(p)["pgid"], stat(p)["sid"], stat(p)["ppid"] if p != self.pid else 0,
                 stat(p)["state"] in "TZ", len(os.listdir("/proc/%d/task" % p))) if stat(p) else (p, "gone") for p in self.pids]

    def bash(self):
        self.pid = start(["bash", "-c", script("bash")], cwd=self.dir)
        filled(self.growing, 50)
        filled(os.path.join(self.dir, "bg"), 10)

    def python(self):
        self.pid = start(["/usr/bin/python3", "-c", script("python")], cwd=self.dir)
        filled(self.growing, 30)

    def perl(self):
        self.pid = start(["perl", "-e", script("perl")], cwd=self.dir, log="err")
        filled(self.growing, 300)
        until("50 processes", 10, lambda: len(tree(self.pid)) >= 50)

    def redis_server(self):
        self.growing = None
        self.pid = start(["redis-server", "--port", "0", "--unixsocket", self.dir + "/sock", "--save", "", "--dir", self.dir], cwd=self.dir)
        until("redis", 10, lambda: os.path.exists(self.dir + "/sock"))

    def sqlite(self):
        self.growing = None
        os.mkfifo(self.dir + "/in")
        keep = os.open(self.dir + "/in", os.O_RDWR)
        self.pid = start(["sqlite3", "-batch", "db"], cwd=self.dir, stdin=keep, env=dict(os.environ, SQLITE_TMPDIR=self.dir))
        os.write(keep, b"pragma temp_store=file; pragma cache_size=10; create temp table big as with recursive c(i) as "
                       b"(select 1 union all select i+1 from c where i<2000) select i, randomblob(1000) as b from c;\nselect 'done';\n")
        filled(self.dir + "/out", 3)

    def gone(self):
        return not any(stat(p) for p in self.pids)

    def goes_on(self):
        assert alive(self.pid), "the root is not there"
        if self.growing:
            grows(self.growing)
            grows(self.growing)


PROGRAMS = ("bash", "python3", "perl", "redis-server", "sqlite3")
