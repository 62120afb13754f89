/*
 * files_only - the descriptors of an image go to a fresh program; tasks and
 * memory of the image stay where they are. A stand-in for the task restores
 * its files by the engine, as any restore does. The tool takes them from it
 * and has the program started, while the packets of their connections are
 * still held back. When the program says that it is ready they are let go.
 *
 * Connections leave repair mode before the program starts, because a socket
 * in it can be neither read nor written. If the program fails they enter it
 * again, so that their end tells the peer nothing: the image is as good as
 * before.
 */
#include "restore/files_only.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "lib/fdframe.h"
#include "restore/engine.h"
#include "restore/network.h"

#define DEFAULT_TIMEOUT 10 /* seconds */

struct files_only {
	struct restore_ctx ctx;
	const struct restore_files_opts *o;
	struct restore_opts opts; /* as the stages of a restore know them */
	struct picked *picked;
	struct fd_item *items;
	int *numbers; /* in the image */
	size_t n;
	pid_t stand_in;
	int go; /* the stand-in begins when this is closed */
	struct rlimit nofile;
};

static int load(struct files_only *f)
{
	struct restore_ctx *ctx = &f->ctx;
	int ret = restore_load(ctx);

	if (ret)
		return ret;
	return files_pick(ctx, f->o->pid, f->o->fds, &f->picked, &f->n);
}

static int plan(struct files_only *f)
{
	struct restore_ctx *ctx = &f->ctx;
	struct pstree_item *me = ctx->tree->root;
	unsigned limit = f->o->timeout ? f->o->timeout : DEFAULT_TIMEOUT;
	int ret;

	me->restore = arena_new_of(ctx->arena, struct restore_task);
	me->restore->item = me;
	me->nr_vmas = 0;
	ctx->deadline_ns = restore_now() + limit * UINT64_C(1000000000);
	ret = engine_plan(ctx);
	if (ret >= 0)
		ret = restore_shared_new(ctx);
	return ret < 0 ? ret : network_plan(ctx);
}

/*
 * Until the tool ends us. If it is dead itself, the connections may be out of
 * repair mode, and the program that has them is being ended, too.
 */
static void outlive(struct restore_ctx *ctx) __attribute__((noreturn));
static void outlive(struct restore_ctx *ctx)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, ctx->tool, 0), .events = POLLIN };

	if (p.fd < 0 || setsid() < 0 || getppid() != ctx->tool)
		_exit(1);
	prctl(PR_SET_PDEATHSIG, 0);
	restore_set_phase(ctx, ctx->tree->root, RST_PARKED);
	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			_exit(1);
	if (!atomic_load(&ctx->shared->committed))
		network_freeze(ctx);
	_exit(0);
}

static void stand_in_run(struct files_only *f, int go) __attribute__((noreturn));
static void stand_in_run(struct files_only *f, int go)
{
	struct restore_ctx *ctx = &f->ctx;
	struct pstree_item *me = ctx->tree->root;
	sigset_t all;
	char byte;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != ctx->tool)
		_exit(1);
	me->pid = getpid();
	restore_set_phase(ctx, me, RST_BORN);
	if (read(go, &byte, 1) != 0 || close(go) < 0)
		_exit(1);
	if (engine_run(ctx, me) < 0) {
		restore_abort(ctx);
		_exit(1);
	}
	engine_finish(ctx, me);
	outlive(ctx);
}

/* Before the guardian, which has to know its pid. */
static int make_stand_in(struct files_only *f)
{
	struct restore_ctx *ctx = &f->ctx;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return fail(ctx->report, "clone", errno, "make a pipe");
	f->stand_in = fork();
	if (f->stand_in == 0) {
		close(p[1]);
		stand_in_run(f, p[0]);
	}
	close(p[0]);
	f->go = p[1];
	if (f->stand_in < 0)
		return fail(ctx->report, "clone", errno, "make a process that restores the files");
	ctx->tree->root->pid = f->stand_in;
	return 0;
}

static void end_stand_in(struct files_only *f)
{
	close_owned(&f->go);
	f->go = -1;
	if (f->stand_in <= 0)
		return;
	kill(f->stand_in, SIGKILL);
	while (waitpid(f->stand_in, NULL, 0) < 0 && errno == EINTR)
		;
	f->stand_in = 0;
}

/* Whatever is made from here on is taken back if we are killed, and reaches no peer. */
static int hold(struct files_only *f)
{
	int ret = restore_guardian_start(&f->ctx);

	return ret < 0 ? ret : network_lock(&f->ctx);
}

static int run_engine(struct files_only *f)
{
	struct restore_ctx *ctx = &f->ctx;
	int ret;

	close_owned(&f->go);
	f->go = -1;
	ret = restore_wait_phase(ctx, ctx->tree->root, RST_PARKED);
	if (ret < 0 && !report_count(ctx->report))
		fail(ctx->report, ret == -ETIMEDOUT ? "restore-timeout" : "task-lost", -ret,
		     "restore the files of the image");
	return ret;
}

static void name_item(struct fd_item *it, const struct picked *p)
{
	if (p->name)
		snprintf(it->name, sizeof(it->name), "%.*s", (int)p->name_len, p->name);
	else
		snprintf(it->name, sizeof(it->name), "%s-%d", fd_kind_name((int)it->kind),
			 p->fle->fd);
}

static int fetch(struct files_only *f)
{
	struct restore_ctx *ctx = &f->ctx;
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, f->stand_in, 0);

	f->items = arena_array(ctx->arena, struct fd_item, f->n);
	f->numbers = arena_array(ctx->arena, int, f->n);
	for (size_t i = 0; i < f->n; i++)
		f->items[i].fd = -1;
	for (size_t i = 0; i < f->n; i++) {
		struct fd_item *it = &f->items[i];
		int nr = f->picked[i].fle->fd, kind;

		it->fd = (int)syscall(SYS_pidfd_getfd, pidfd, nr, 0);
		if (it->fd < 0)
			return fail(ctx->report, "file-fetch", errno,
				    "take descriptor %d from the process that has restored it", nr);
		kind = fd_kind_of(it->fd);
		it->kind = kind < 0 ? FD_KIND_OTHER : (enum fd_kind)kind;
		name_item(it, &f->picked[i]);
		if (!fd_name_ok(it->name))
			return fail(ctx->report, "fd-name", EINVAL, "the name %s of descriptor %d",
				    it->name, nr);
		f->numbers[i] = nr;
		log_info(ctx->report, "%s: descriptor %d of the image", it->name, nr);
	}
	/* The program gets the limit that we had. */
	setrlimit(RLIMIT_NOFILE, &f->nofile);
	return 0;
}

static int start(struct files_only *f)
{
	int ret;

	network_thaw(&f->ctx);
	ret = f->o->start(f->o->arg, f->items, f->numbers, f->n, &f->ctx.shared->committed);
	if (ret < 0)
		network_freeze(&f->ctx);
	return ret;
}

static int commit(struct files_only *f)
{
	atomic_store(&f->ctx.shared->committed, true);
	network_release(&f->ctx);
	return f->o->commit(f->o->arg);
}

static void undo(struct files_only *f)
{
	struct restore_ctx *ctx = &f->ctx;

	for (size_t i = 0; i < f->n && f->items; i++)
		close_owned(&f->items[i].fd);
	if (ctx->shared)
		restore_abort(ctx);
	end_stand_in(f);
	if (ctx->shared && !atomic_load(&ctx->shared->committed))
		network_unlock(ctx);
	if (ctx->shared)
		doors_undo(ctx);
	restore_guardian_stop(ctx);
	restore_shared_free(ctx);
	engine_free(ctx);
	if (ctx->tree) {
		restore_files_free(ctx);
		pstree_free(ctx->tree);
	}
}

/**
 * restore_files_only - start a fresh program with descriptors of an image
 * @o: the request
 * @r: where causes and the log go
 *
 * Return: 0; or -errno with the causes recorded. Unless it was o->commit()
 * that failed, nothing is left behind then and the image is as good as before.
 */
int restore_files_only(const struct restore_files_opts *o, struct report *r)
{
	/* ORDER matters: the guardian knows the stand-in, which waits until nothing can get out. */
	static int (*const steps[])(struct files_only * f) = { load,  plan,       make_stand_in,
							       hold,  run_engine, fetch,
							       start, commit };
	struct arena *dir_arena = arena_new();
	struct files_only f = { .o = o, .go = -1 };
	int ret;

	f.opts = (struct restore_opts){
		.images_fd = o->images_fd,
		.tcp_established = true,
		.tcp_close = o->tcp_close,
		.network_lock = o->network_lock,
		.timeout = o->timeout,
	};
	f.ctx.opts = &f.opts;
	f.ctx.report = r;
	f.ctx.tool = getpid();
	getrlimit(RLIMIT_NOFILE, &f.nofile);
	ret = image_dir_open(&f.ctx.images, o->images_fd, r, dir_arena);
	for (size_t i = 0; ret >= 0 && i < sizeof(steps) / sizeof(*steps); i++)
		ret = steps[i](&f);
	undo(&f);
	setrlimit(RLIMIT_NOFILE, &f.nofile);
	image_dir_close(f.ctx.images);
	arena_free(dir_arena);
	return ret < 0 ? ret : 0;
}
