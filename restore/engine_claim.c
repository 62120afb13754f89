/*
 * engine_claim - which number a file comes to in the process that restores a
 * table.
 *
 * A planned number holds a placeholder until its file is there, so that
 * nothing which a type opens for itself can take it. What the tool needs is
 * moved out of the way first.
 *
 * Files whose type makes one descriptor and nothing else (ops->lands) need no
 * placeholder: they are opened first, in ascending order, while every lower
 * number is taken, holes between planned numbers included. So the kernel,
 * which gives the lowest free number, gives the planned one.
 */
#include "restore/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

static int move_services(struct restore_engine *e)
{
	for (size_t i = 0; i < e->nr_services; i++) {
		int up;

		if (!engine_table_find(e->my, *e->services[i]))
			continue;
		up = engine_dup_aside(e->my, *e->services[i]);
		/* A log on a standard stream that was never open. */
		if (up == -EBADF) {
			*e->services[i] = -1;
			continue;
		}
		if (up < 0)
			return fail(e->ctx->report, "fd-limit", -up, "pid %d: move descriptor %d",
				    e->me->pid, *e->services[i]);
		close(*e->services[i]);
		*e->services[i] = up;
	}
	return 0;
}

static int claim(struct restore_engine *e, int fd)
{
	if (dup3(e->placeholder, fd, O_CLOEXEC) < 0)
		return fail(e->ctx->report, "fd-limit", errno, "pid %d: claim descriptor %d",
			    e->me->pid, fd);
	return 0;
}

/*
 * Holes cost as much as placeholders. And a table must be this process's
 * alone: what others that share it open would land too.
 */
static bool may_land(const struct engine_table *t)
{
	return (size_t)t->base <= t->n + t->n / 4 + 16 && !t->sharers;
}

/* Takes the numbers from @from up to, not with, @to that are free. */
static int fill_hole(struct restore_engine *e, int from, int to)
{
	int ret = 0;

	for (int fd = from; fd < to && !ret; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			ret = claim(e, fd);
	return ret;
}

/* What happens to be at numbers where files are to land goes; they come in runs. */
static void free_landing(const struct engine_table *t)
{
	size_t i = 0, k;

	for (; i < t->n; i = k) {
		for (k = i; k < t->n && t->fle[k]->lands; k++)
			if (t->fle[k]->fd - t->fle[i]->fd != (int)(k - i))
				break;
		if (k > i)
			close_range((unsigned)t->fle[i]->fd, (unsigned)t->fle[k - 1]->fd, 0);
		else
			k++;
	}
}

/**
 * engine_claim_numbers - move what is in the way, take the planned numbers or keep them free
 * @e: the engine, in the process that restores a table
 *
 * Return: 0 or -errno, recorded.
 */
int engine_claim_numbers(struct restore_engine *e)
{
	cleanup_close int low = -1;
	struct engine_table *t = e->my;
	bool land = may_land(t);
	int ret = move_services(e), above = t->base;

	if (ret)
		return ret;
	low = eventfd(0, EFD_CLOEXEC);
	e->placeholder = low < 0 ? -errno : engine_dup_aside(t, low);
	if (e->placeholder < 0)
		return fail(e->ctx->report, "fd-limit", -e->placeholder,
			    "pid %d: make a placeholder", e->me->pid);
	close(take_fd(&low));
	/* The highest first, so that the kernel's table grows once. */
	for (size_t i = t->n; i-- > 0 && !ret; above = t->fle[i]->fd) {
		struct fdinfo_list_entry *fle = t->fle[i];

		if (land)
			ret = fill_hole(e, fle->fd + 1, above);
		fle->lands = land && fle == file_master(fle->desc) && fle->desc->ops->lands;
		if (!fle->lands && !ret)
			ret = claim(e, fle->fd);
	}
	if (land && !ret)
		ret = fill_hole(e, 0, above);
	if (land && !ret)
		free_landing(t);
	return ret;
}

/**
 * engine_keep_number - a file that lands is not there yet: its number is claimed after all
 * @e: the engine
 * @fle: the master
 *
 * Return: 0 or -errno, recorded.
 */
int engine_keep_number(struct restore_engine *e, struct fdinfo_list_entry *fle)
{
	if (!fle->lands)
		return 0;
	fle->lands = false;
	return claim(e, fle->fd);
}

/**
 * engine_plant - put a file at its number
 * @e: the engine
 * @fle: an fle of this process's table, INITIALIZED until now
 * @fd: a descriptor of its file; stays the caller's unless it is that number already
 *
 * Return: 0 or -errno, recorded.
 */
int engine_plant(struct restore_engine *e, struct fdinfo_list_entry *fle, int fd)
{
	bool landed = fle->lands && fd == fle->fd;

	if (fle->lands && !landed && fcntl(fle->fd, F_GETFD) >= 0) {
		file_fail(fle->desc, EEXIST, "open() left something at its number");
		return -EEXIST;
	}
	if (!landed && dup3(fd, fle->fd, fle->fdflags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		return fail(e->ctx->report, "fd-plant", errno,
			    "pid %d: put file id %#x at descriptor %d", e->me->pid, fle->desc->id,
			    fle->fd);
	fle->lands = false;
	fle_mature(fle);
	fle_set_stage(e, fle, FLE_OPEN);
	return 0;
}
