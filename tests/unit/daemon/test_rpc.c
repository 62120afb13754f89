/*
 * test_rpc - the dispatcher, with a host that notes the words that it is given:
 * what each option of a request becomes, what is refused before the host is
 * asked, and requests that make no sense.
 */
#include <check.h>
#undef fail /* check.h has one of its own, long deprecated */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/report.h"
#include "daemon/rpc.h"

static char words[8192]; /* of the last job, each with a blank behind it */
static char config[64];
static unsigned jobs, replies;
static bool cgroups_soft; /* what the host honours */
static CriuResp *last;

static int host_run(struct rpc_job *job)
{
	size_t len = 0;

	jobs++;
	words[0] = '\0';
	for (int i = 0; i < job->argc; i++)
		len += (size_t)snprintf(words + len, sizeof(words) - len, "%s ", job->argv[i]);
	ck_assert_ptr_null(job->argv[job->argc]);
	snprintf(config, sizeof(config), "%s", job->config ? job->config : "");
	job->root = 77;
	if (strstr(words, "no-good"))
		return fail(job->report, "file-reg", ENOENT, "two things");
	return 0;
}

static bool host_honours(const char *command, const char *option, const char *arg)
{
	return cgroups_soft && !strcmp(option, "manage-cgroups");
}

static const struct rpc_host host = {
	.run = host_run, .honours = host_honours, .major = 4, .minor = 2, .name = "test"
};

static int reply(void *arg, const void *msg, size_t len)
{
	replies++;
	if (last)
		criu_resp__free_unpacked(last, NULL);
	last = criu_resp__unpack(NULL, len, msg);
	ck_assert_ptr_nonnull(last);
	return 0;
}

/* Asks as the program that has started us, with one directory beside the message. */
static const CriuResp *ask(const CriuReq *req)
{
	const struct rpc_caller me = { .pid = getpid(), .pidfd = -1, .trusted = true };
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct rpc_call call = {
		.caller = &me, .req = req, .fds = &fd, .nr_fds = 1, .reply = reply
	};

	replies = 0;
	words[0] = '\0';
	ck_assert_int_eq(rpc_dispatch(&host, &call), 0);
	ck_assert_uint_eq(replies, 1);
	close(fd);
	return last;
}

static CriuReq new_request(CriuReqType type, CriuOpts *o)
{
	CriuReq req = CRIU_REQ__INIT;

	criu_opts__init(o);
	o->images_dir_fd = 0;
	o->has_pid = 1;
	o->pid = getpid();
	req.type = type;
	req.opts = o;
	return req;
}

static void has(const char *word)
{
	char text[128];

	snprintf(text, sizeof(text), " %s ", word);
	ck_assert_msg(strstr(words, text) != NULL, "'%s' is not in: %s", word, words);
}

static void lacks(const char *word)
{
	ck_assert_msg(strstr(words, word) == NULL, "'%s' is in: %s", word, words);
}

START_TEST(test_plain)
{
	CriuOpts o;
	CriuReq req = new_request(CRIU_REQ_TYPE__DUMP, &o);
	char expected[64];

	ck_assert(ask(&req)->success);
	snprintf(expected, sizeof(expected),
		 "criu-lite dump --tree=%d --verbosity=2 --log-file=criu.log ", getpid());
	ck_assert_str_eq(words, expected);
	req = new_request(CRIU_REQ_TYPE__RESTORE, &o);
	ck_assert(ask(&req)->success);
	ck_assert_str_eq(words,
			 "criu-lite restore --restore-detached --verbosity=2 --log-file=criu.log ");
	ck_assert_int_eq(last->restore->pid, 77);
}
END_TEST

#define FLAG(f)                \
	do {                   \
		o.has_##f = 1; \
		o.f = 1;       \
	} while (0)

START_TEST(test_options)
{
	CriuOpts o;
	CriuReq req = new_request(CRIU_REQ_TYPE__DUMP, &o);
	char *list[] = { "a=b", "c" };
	ExtMountMap mnt = EXT_MOUNT_MAP__INIT, *mnts = &mnt;
	UnixSk sk = UNIX_SK__INIT, *sks = &sk;

	FLAG(leave_running);
	FLAG(tcp_established);
	FLAG(shell_job);
	FLAG(weak_sysctls); /* has no meaning here */
	FLAG(rst_sibling);
	FLAG(lazy_pages);
	FLAG(auto_ext_mnt);
	o.has_log_level = 1;
	o.log_level = -3;
	o.log_file = "x.log";
	o.has_timeout = 1;
	o.timeout = 33;
	o.has_network_lock = 1;
	o.network_lock = CRIU_NETWORK_LOCK_METHOD__NFTABLES;
	o.external = list;
	o.n_external = 2;
	mnt.key = "k";
	mnt.val = "v";
	o.ext_mnt = &mnts;
	o.n_ext_mnt = 1;
	sk.inode = 4000000000u;
	o.unix_sk_ino = &sks;
	o.n_unix_sk_ino = 1;
	o.has_empty_ns = 1;
	o.empty_ns = 0x40000000;
	o.config_file = "/conf";
	ck_assert(ask(&req)->success);
	has("--leave-running");
	has("--tcp-established");
	has("--shell-job");
	has("--lazy-pages");
	has("--ext-mount-map=auto");
	has("--verbosity=0");
	has("--log-file=x.log");
	has("--timeout=33");
	has("--network-lock=nftables");
	has("--external=a=b");
	has("--external=c");
	has("--ext-mount-map=k:v");
	has("--ext-unix-sk=4000000000");
	has("--empty-ns=net");
	lacks("weak-sysctls");
	lacks("sibling");
	ck_assert_str_eq(config, "/conf");
}
END_TEST

/* What runtimes send with every request does not end it. */
START_TEST(test_runtimes)
{
	CriuOpts o;
	CriuReq req = new_request(CRIU_REQ_TYPE__DUMP, &o);

	FLAG(manage_cgroups);
	FLAG(orphan_pts_master);
	o.root = "/";
	o.parent_img = o.lsm_profile = o.freeze_cgroup = o.config_file = "";
	o.has_cpu_cap = 1;
	o.cpu_cap = UINT32_MAX;
	o.has_empty_ns = 1;
	ck_assert(ask(&req)->success);
	lacks("cgroup");
	lacks("--root");
	lacks("--cpu-cap");
	lacks("--empty-ns");
	lacks("--prev");
	cgroups_soft = true;
	ask(&req);
	has("--manage-cgroups=soft");
	cgroups_soft = false;
	o.has_manage_cgroups_mode = 1;
	o.manage_cgroups_mode = CRIU_CG_MODE__STRICT;
	o.root = "/box";
	o.cpu_cap = 1;
	ask(&req);
	has("--manage-cgroups=strict");
	has("--root=/box");
	has("--cpu-cap=1");
}
END_TEST

START_TEST(test_refused_before)
{
	CriuOpts o;
	CriuReq req = new_request(CRIU_REQ_TYPE__DUMP, &o);

	jobs = 0;
	o.images_dir_fd = 1; /* only one came along */
	ck_assert(!ask(&req)->success);
	ck_assert_ptr_nonnull(strstr(last->cr_errmsg, "[rpc-fd]"));
	ck_assert_int_eq(last->cr_errno, EBADF);
	req = new_request(CRIU_REQ_TYPE__DUMP, &o);
	o.has_pid = 0;
	ask(&req);
	ck_assert_ptr_nonnull(strstr(last->cr_errmsg, "names no process"));
	req.opts = NULL;
	ask(&req);
	ck_assert_ptr_nonnull(strstr(last->cr_errmsg, "no options"));
	req = new_request(CRIU_REQ_TYPE__RESTORE, &o);
	FLAG(pidfd_store_sk);
	ask(&req);
	ck_assert_ptr_nonnull(strstr(last->cr_errmsg, "[option-unsupported]"));
	ck_assert_uint_eq(jobs, 0);
}
END_TEST

START_TEST(test_failure)
{
	CriuOpts o;
	CriuReq req = new_request(CRIU_REQ_TYPE__DUMP, &o);

	o.log_file = "no-good";
	ck_assert(!ask(&req)->success);
	ck_assert_str_eq(last->cr_errmsg, "two things: No such file or directory [file-reg]");
	ck_assert_int_eq(last->cr_errno, ENOENT);
	ck_assert_int_eq(last->type, CRIU_REQ_TYPE__DUMP);
}
END_TEST

START_TEST(test_quick)
{
	CriuReq req = CRIU_REQ__INIT;
	const struct rpc_caller nobody = { .pidfd = -1 };
	struct rpc_call call = { .caller = &nobody, .req = &req, .reply = reply };

	req.type = CRIU_REQ_TYPE__VERSION;
	ck_assert(rpc_is_quick(&req) && rpc_is_quick(NULL));
	ck_assert_int_eq(rpc_dispatch(&host, &call), 0);
	ck_assert(last->success && last->version->major_number == 4 && !last->version->gitid);
	call.req = NULL;
	ck_assert_int_eq(rpc_dispatch(&host, &call), 0);
	ck_assert(!last->success && last->type == CRIU_REQ_TYPE__EMPTY);
	req.type = (CriuReqType)99;
	call.req = &req;
	ck_assert(rpc_is_quick(&req));
	ck_assert_int_eq(rpc_dispatch(&host, &call), 0);
	ck_assert(!last->success && last->type == CRIU_REQ_TYPE__EMPTY);
	for (int t = CRIU_REQ_TYPE__DUMP; t <= CRIU_REQ_TYPE__SINGLE_PRE_DUMP; t++) {
		req.type = (CriuReqType)t;
		ck_assert_int_eq(rpc_is_quick(&req),
				 t == CRIU_REQ_TYPE__NOTIFY || t == CRIU_REQ_TYPE__VERSION);
	}
}
END_TEST

static unsigned rnd(unsigned below)
{
	return (unsigned)random() % below;
}

/* Bits, bytes and lengths of a request changed. Each is answered; the sanitizers see the rest. */
START_TEST(test_mutated)
{
	const char *count = getenv("RPC_FUZZ");
	unsigned long n = count ? strtoul(count, NULL, 10) : getenv("FULL") ? 1000000 : 20000;
	unsigned char seed[2048], m[4096];
	InheritFd inherit = INHERIT_FD__INIT, *inherits = &inherit;
	char *list[] = { "net", "x" };
	CriuOpts o;
	CriuReq req = new_request(CRIU_REQ_TYPE__DUMP, &o);
	size_t len;

	o.external = o.enable_fs = list;
	o.n_external = o.n_enable_fs = 2;
	o.root = "/";
	inherit.key = "key";
	o.inherit_fd = &inherits;
	o.n_inherit_fd = 1;
	FLAG(status_fd);
	FLAG(manage_cgroups);
	FLAG(ghost_limit);
	len = criu_req__pack(&req, seed);
	for (unsigned long i = 0; i < n; i++) {
		size_t now = len;
		CriuReq *got;

		memcpy(m, seed, len);
		m[1] = (unsigned char)rnd(15);
		for (unsigned k = rnd(5); k && now; k--) {
			if (rnd(3) == 0)
				now = 1 + rnd((unsigned)now);
			m[rnd((unsigned)now)] ^= (unsigned char)(1u << rnd(8));
		}
		got = rpc_parse(m, now);
		/* Not those that would really wait, or try out the kernel. */
		if (!got || (got->type != CRIU_REQ_TYPE__WAIT_PID &&
			     got->type != CRIU_REQ_TYPE__FEATURE_CHECK))
			ask(got);
		rpc_free(got);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rpc");
	TCase *t = tcase_create("rpc");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 600);
	tcase_add_test(t, test_plain);
	tcase_add_test(t, test_options);
	tcase_add_test(t, test_runtimes);
	tcase_add_test(t, test_refused_before);
	tcase_add_test(t, test_failure);
	tcase_add_test(t, test_quick);
	tcase_add_test(t, test_mutated);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
