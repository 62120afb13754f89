/*
 * libcriu-opts - the options of libcriu. Each is one field of the request; the
 * global form is the local one on the library's own object.
 */
#include <errno.h>

#include "lib/criu.h"
#include "lib/libcriu-internal.h"

/* A field of the request: its type here, and the call of the client that sets it. */
#define BOTH_VOID(fn, type, call)                     \
	void criu_local_##fn(criu_opts *opts, type v) \
	{                                             \
		call;                                 \
	}                                             \
	void criu_##fn(type v)                        \
	{                                             \
		criu_local_##fn(libcriu_global(), v); \
	}
#define BOTH_INT(fn, type, call)                             \
	int criu_local_##fn(criu_opts *opts, type v)         \
	{                                                    \
		return call;                                 \
	}                                                    \
	int criu_##fn(type v)                                \
	{                                                    \
		return criu_local_##fn(libcriu_global(), v); \
	}
#define FLAG(fn, field) BOTH_VOID(fn, bool, cl_set_bool(opts->q, field, v))
#define NUMBER(fn, type, field) BOTH_VOID(fn, type, cl_set_number(opts->q, field, (int64_t)v))
#define CHOICE(fn, type, field) BOTH_INT(fn, type, cl_set_number(opts->q, field, (int64_t)v))
#define TEXT(fn, field) BOTH_INT(fn, const char *, cl_set_text(opts->q, field, v))
#define LIST(fn, field) BOTH_INT(fn, const char *, cl_add_text(opts->q, field, v))
#define PAIR(fn, field)                                                    \
	int criu_local_##fn(criu_opts *opts, const char *a, const char *b) \
	{                                                                  \
		return cl_add_pair(opts->q, field, a, b, NULL);            \
	}                                                                  \
	int criu_##fn(const char *a, const char *b)                        \
	{                                                                  \
		return criu_local_##fn(libcriu_global(), a, b);            \
	}

/* clang-format off */
FLAG(set_leave_running, "leave_running")
FLAG(set_ext_unix_sk, "ext_unix_sk")
FLAG(set_tcp_established, "tcp_established")
FLAG(set_tcp_skip_in_flight, "tcp_skip_in_flight")
FLAG(set_tcp_close, "tcp_close")
FLAG(set_weak_sysctls, "weak_sysctls")
FLAG(set_evasive_devices, "evasive_devices")
FLAG(set_shell_job, "shell_job")
FLAG(set_skip_file_rwx_check, "skip_file_rwx_check")
FLAG(set_unprivileged, "unprivileged")
FLAG(set_orphan_pts_master, "orphan_pts_master")
FLAG(set_file_locks, "file_locks")
FLAG(set_track_mem, "track_mem")
FLAG(set_auto_dedup, "auto_dedup")
FLAG(set_force_irmap, "force_irmap")
FLAG(set_link_remap, "link_remap")
FLAG(set_auto_ext_mnt, "auto_ext_mnt")
FLAG(set_ext_sharing, "ext_sharing")
FLAG(set_ext_masters, "ext_masters")
FLAG(set_mntns_compat_mode, "mntns_compat_mode")
FLAG(set_lazy_pages, "lazy_pages")
FLAG(set_leave_stopped, "leave_stopped")
FLAG(set_manage_cgroups, "manage_cgroups")
NUMBER(set_pid, int, "pid")
NUMBER(set_images_dir_fd, int, "images_dir_fd")
NUMBER(set_work_dir_fd, int, "work_dir_fd")
NUMBER(set_log_level, int, "log_level")
NUMBER(set_cpu_cap, unsigned int, "cpu_cap")
NUMBER(set_manage_cgroups_mode, enum criu_cg_mode, "manage_cgroups_mode")
NUMBER(set_timeout, unsigned int, "timeout")
NUMBER(set_ghost_limit, unsigned int, "ghost_limit")
NUMBER(set_pidfd_store_sk, int, "pidfd_store_sk")
NUMBER(set_empty_ns, int, "empty_ns")
CHOICE(set_network_lock, enum criu_network_lock_method, "network_lock")
CHOICE(set_pre_dump_mode, enum criu_pre_dump_mode, "pre_dump_mode")
TEXT(set_parent_images, "parent_img")
TEXT(set_log_file, "log_file")
TEXT(set_root, "root")
TEXT(set_freeze_cgroup, "freeze_cgroup")
TEXT(set_lsm_profile, "lsm_profile")
TEXT(set_lsm_mount_context, "lsm_mount_context")
TEXT(add_cg_props, "cgroup_props")
TEXT(add_cg_props_file, "cgroup_props_file")
TEXT(add_cg_yard, "cgroup_yard")
TEXT(set_config_file, "config_file")
LIST(add_enable_fs, "enable_fs")
LIST(add_skip_mnt, "skip_mnt")
LIST(add_irmap_path, "irmap_scan_paths")
LIST(add_cg_dump_controller, "cgroup_dump_controller")
LIST(add_external, "external")
PAIR(add_ext_mount, "ext_mnt")
PAIR(add_veth_pair, "veths")
PAIR(add_cg_root, "cg_root")
BOTH_INT(add_unix_sk, unsigned int, cl_add_unix_sk(opts->q, v))
/* clang-format on */

int criu_local_set_exec_cmd(criu_opts *opts, int argc, char *argv[])
{
	int ret = 0;

	for (int i = 0; i < argc && !ret; i++)
		ret = cl_add_text(opts->q, "exec_cmd", argv[i]);
	return ret;
}

int criu_set_exec_cmd(int argc, char *argv[])
{
	return criu_local_set_exec_cmd(libcriu_global(), argc, argv);
}

int criu_local_add_inherit_fd(criu_opts *opts, int fd, const char *key)
{
	return cl_add_inherit_fd(opts->q, key, fd);
}

int criu_add_inherit_fd(int fd, const char *key)
{
	return criu_local_add_inherit_fd(libcriu_global(), fd, key);
}

int criu_local_set_page_server_address_port(criu_opts *opts, const char *address, int port)
{
	return cl_set_page_server(opts->q, address, port);
}

int criu_set_page_server_address_port(const char *address, int port)
{
	return criu_local_set_page_server_address_port(libcriu_global(), address, port);
}

int criu_local_join_ns_add(criu_opts *opts, const char *ns, const char *ns_file,
			   const char *extra_opt)
{
	if (!ns || !ns_file)
		return -EINVAL;
	return cl_add_pair(opts->q, "join_ns", ns, ns_file, extra_opt);
}

int criu_join_ns_add(const char *ns, const char *ns_file, const char *extra_opt)
{
	return criu_local_join_ns_add(libcriu_global(), ns, ns_file, extra_opt);
}

int criu_local_set_service_address(criu_opts *opts, const char *path)
{
	return cl_use_address(opts->q, path);
}

int criu_set_service_address(const char *path)
{
	return criu_local_set_service_address(libcriu_global(), path);
}

void criu_local_set_service_fd(criu_opts *opts, int fd)
{
	cl_use_fd(opts->q, fd);
}

void criu_set_service_fd(int fd)
{
	criu_local_set_service_fd(libcriu_global(), fd);
}

int criu_local_set_service_binary(criu_opts *opts, const char *path)
{
	return cl_use_program(opts->q, path);
}

int criu_set_service_binary(const char *path)
{
	return criu_local_set_service_binary(libcriu_global(), path);
}
