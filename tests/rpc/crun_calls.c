/*
 * crun_calls - the calls of a container runtime that loads libcriu at run time,
 * in its order: every symbol is looked up first, then a process of this host is
 * dumped, or restored as a child.
 *
 *	crun_calls symbols|dump|restore|refuse DIR [PID]
 *
 * dump prints the notifications; restore prints the pid and the status with
 * which the restored child has ended; refuse prints what the dump says.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* All that crun looks up. */
static const char *const names[] = {
	"criu_init_opts",
	"criu_check_version",
	"criu_feature_check",
	"criu_set_pid",
	"criu_set_images_dir_fd",
	"criu_set_work_dir_fd",
	"criu_set_log_level",
	"criu_set_log_file",
	"criu_set_root",
	"criu_set_leave_running",
	"criu_set_ext_unix_sk",
	"criu_set_shell_job",
	"criu_set_tcp_established",
	"criu_set_tcp_close",
	"criu_set_file_locks",
	"criu_set_orphan_pts_master",
	"criu_set_manage_cgroups",
	"criu_set_manage_cgroups_mode",
	"criu_set_network_lock",
	"criu_set_freeze_cgroup",
	"criu_set_parent_images",
	"criu_set_track_mem",
	"criu_set_notify_cb",
	"criu_set_config_file",
	"criu_set_lsm_profile",
	"criu_set_lsm_mount_context",
	"criu_add_ext_mount",
	"criu_add_external",
	"criu_add_inherit_fd",
	"criu_add_cg_root",
	"criu_join_ns_add",
	"criu_get_orphan_pts_master_fd",
	"criu_pre_dump",
	"criu_dump",
	"criu_restore_child",
	"criu_notify_pid",
	"criu_get_errmsg",
};

static void *lib;

static void *sym(const char *name)
{
	void *p = dlsym(lib, name);

	if (!p) {
		fprintf(stderr, "no symbol %s\n", name);
		exit(1);
	}
	return p;
}

#define CALL0(name) ((int (*)(void))sym(name))()
#define INT(name, v) ((void (*)(int))sym(name))(v)
#define BOOL(name, v) ((void (*)(bool))sym(name))(v)
#define TEXT(name, v) ok(((int (*)(const char *))sym(name))(v), name)

static void ok(int ret, const char *name)
{
	if (ret) {
		fprintf(stderr, "%s: %d\n", name, ret);
		exit(1);
	}
}

static int on_notify(char *action, const void *na)
{
	printf("notify %s %d\n", action, ((int (*)(const void *))sym("criu_notify_pid"))(na));
	fflush(stdout);
	return 0;
}

static void begin(int dir, const char *log)
{
	ok(CALL0("criu_init_opts"), "criu_init_opts");
	if (((int (*)(int))sym("criu_check_version"))(31600) != 1) {
		fprintf(stderr, "criu_check_version: %s\n", strerror(errno));
		exit(1);
	}
	INT("criu_set_images_dir_fd", dir);
	INT("criu_set_work_dir_fd", dir);
	INT("criu_set_log_level", 4);
	TEXT("criu_set_log_file", log);
	BOOL("criu_set_ext_unix_sk", true);
	BOOL("criu_set_shell_job", false);
	BOOL("criu_set_tcp_established", true);
	BOOL("criu_set_file_locks", true);
	BOOL("criu_set_orphan_pts_master", true);
	BOOL("criu_set_manage_cgroups", true);
	INT("criu_set_manage_cgroups_mode", 3);
	TEXT("criu_set_config_file", "/etc/criu/crun.conf");
	((void (*)(int (*)(char *, const void *)))sym("criu_set_notify_cb"))(on_notify);
}

static int dump(int dir, int pid)
{
	struct {
		bool mem_track, lazy_pages, pidfd_store;
	} features = { .mem_track = true };

	begin(dir, "dump.log");
	ok(((int (*)(void *, size_t))sym("criu_feature_check"))(&features, sizeof(features)),
	   "criu_feature_check");
	INT("criu_set_pid", pid);
	BOOL("criu_set_leave_running", false);
	TEXT("criu_set_root", "/");
	return CALL0("criu_dump");
}

static int restore(int dir)
{
	int pid, status = 0;

	begin(dir, "restore.log");
	TEXT("criu_set_root", "/");
	pid = CALL0("criu_restore_child");
	if (pid <= 0)
		return pid;
	printf("restored %d\n", pid);
	fflush(stdout);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	printf("ended %d\n", status);
	return 0;
}

int main(int argc, char **argv)
{
	int dir, ret;

	if (argc < 3)
		return 2;
	lib = dlopen("libcriu.so.2", RTLD_NOW);
	if (!lib) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		sym(names[i]);
	dir = open(argv[2], O_DIRECTORY | O_CLOEXEC);
	if (!strcmp(argv[1], "symbols"))
		return 0;
	ret = !strcmp(argv[1], "restore") ? restore(dir) : dump(dir, argc > 3 ? atoi(argv[3]) : 0);
	if (ret < 0)
		printf("failed %d errno %d: %s\n", ret, errno,
		       ((const char *(*)(void))sym("criu_get_errmsg"))());
	return ret < 0;
}
