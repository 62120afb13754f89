#!/usr/bin/python3
"""What the documentation shows: the example of the RPC, the unit of the service, the library by pkg-config."""
from rpclib import *

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def example(*args, ok=True):
    p = subprocess.run([sys.executable, TOP + "/docs/examples/rpc.py"] + list(map(str, args)), capture_output=True, text=True,
                       env=dict(os.environ, PYTHONPATH=DIR), cwd=DIR, timeout=60)
    assert (p.returncode == 0) == ok, p
    return p


def test_example():
    with Service() as s:
        for way in (["--address", s.sock], ["--program", CL]):
            d, pid = images(), sleeper()
            assert example(*way, "version").stdout == "4.2\n"
            p = example(*way, "dump", pid, d)
            assert "now: pre-dump" in p.stderr and not alive(pid)
            assert example(*way, "restore", d).stdout == "%d\n" % pid
            cl("diff", d, pid)
            p = example(*way, "restore", d, ok=False)
            assert "[pid-in-use]" in p.stderr, p


def test_unit():
    """The files of the unit as systemd reads them."""
    need("systemd-analyze")
    d = os.path.join(DIR, "units")
    os.mkdir(d)
    for name in ("criu-lite.service", "criu-lite.socket"):
        text = open(os.path.join(TOP, "docs", name)).read().replace("/usr/local/sbin/criu-lite", os.path.abspath(CL))
        with open(os.path.join(d, name), "w") as f:
            f.write(text)
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", d + "/criu-lite.socket", d + "/criu-lite.service"], capture_output=True, text=True)
    told = [l for l in p.stderr.splitlines() if "criu-lite" in l]
    assert not told, p.stderr


PROGRAM = r"""
#include <criu-lite/client.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static int told(void *arg, const char *action, pid_t root, int fd)
{
	++*(int *)arg;
	return 0;
}

int main(int argc, char **argv)
{
	struct cl_request *q = cl_request_new();
	struct cl_reply a;
	int n = 0, ret;

	cl_use_program(q, argv[1]);
	cl_set_number(q, "images_dir_fd", open(argv[2], O_DIRECTORY));
	cl_set_number(q, "pid", atoi(argv[3]));
	cl_on_notify(q, told, &n);
	if (cl_set_bool(q, "no_such_option", 1) != -2 || cl_set_bool(q, "pid", 1) != -22)
		return 3;
	ret = cl_request_do(q, CL_DUMP, &a);
	printf("dump %d %s\n", ret, a.message);
	cl_reply_free(&a);
	ret = cl_request_do(q, CL_RESTORE, &a);
	printf("restore %d %d told %d\n", ret, a.pid, n);
	cl_reply_free(&a);
	ret = cl_request_do(q, CL_RESTORE, &a);
	printf("again %d errno %d: %s\n", ret, a.error, a.message);
	cl_reply_free(&a);
	cl_request_free(q);
	return 0;
}
"""


def test_client_library():
    """Installed, and found by pkg-config: shared, static, and CRIU's header."""
    if os.path.realpath(os.environ.get("BUILD", TOP + "/build")) != os.path.realpath(TOP + "/build"):
        raise Skip("what is installed is the ordinary build")
    inst = os.path.join(DIR, "inst")
    make = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k != "MFLAGS"}
    subprocess.run(["make", "-s", "-C", TOP, "install", "DESTDIR=" + inst, "PREFIX=/usr"], env=make, check=True, stdout=subprocess.DEVNULL)
    with open(DIR + "/prog.c", "w") as f:
        f.write(PROGRAM)
    env = dict(os.environ, PKG_CONFIG_PATH=inst + "/usr/lib/pkgconfig", PKG_CONFIG_SYSROOT_DIR=inst, LD_LIBRARY_PATH=inst + "/usr/lib")
    for how in ([], ["--static"]):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs"] + how + ["criu-lite-client"], env=env, check=True, capture_output=True, text=True).stdout.split()
        if how:
            flags = [inst + "/usr/lib/libcriu-lite-client.a" if x == "-lcriu-lite-client" else x for x in flags]
        subprocess.run(["gcc", "-Wall", "-Werror", "-o", DIR + "/prog", DIR + "/prog.c"] + flags, check=True)
        d, pid = images(), sleeper()
        out = subprocess.run([DIR + "/prog", os.path.abspath(CL), d, str(pid)], env=env, capture_output=True, text=True).stdout.splitlines()
        assert out[0] == "dump 0 " and re.match(r"restore 0 %d told [6-9]$" % pid, out[1]), out
        assert re.match(r"again -52 errno 17: .*\[pid-in-use\]", out[2]), out
        os.kill(pid, signal.SIGKILL)
    with open(DIR + "/old.c", "w") as f:
        f.write("#include <criu/criu.h>\nint main(void) { return criu_init_opts() || criu_check_version(CRIU_VERSION_MAJOR * 10000) < 0; }\n")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "criu >= 3.15"], env=env, check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", DIR + "/old", DIR + "/old.c"] + flags, check=True)
    os.symlink(os.path.abspath(CL), DIR + "/criu")
    subprocess.run([DIR + "/old"], env=dict(env, PATH=DIR), check=True)


main()
