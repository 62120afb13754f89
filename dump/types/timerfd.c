/*
 * timerfd - dump. fdinfo has the clock, the flags of timerfd_settime(2), what
 * is left and what has expired unread. The other half is
 * restore/types/timerfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>

#include "proto/timerfd.pb-c.h"

#define NSEC 1000000000ull

static int timerfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[timerfd]");
}

static int read_pair(const struct fd_info *fi, const char *key, uint64_t *sec, uint64_t *nsec)
{
	const char *p = strstr(fi->fdinfo, key);
	unsigned long long s, ns;

	if (!p || sscanf(p + strlen(key), ": (%llu, %llu)", &s, &ns) != 2)
		return -EIO;
	*sec = s;
	*nsec = ns;
	return 0;
}

static int read_timer(const struct fd_info *fi, TimerfdEntry *e)
{
	uint64_t clock, flags;

	if (file_info_u64(fi, "clockid", 10, &clock) || file_info_u64(fi, "ticks", 10, &e->ticks) ||
	    file_info_u64(fi, "settime flags", 8, &flags) ||
	    read_pair(fi, "it_value", &e->vsec, &e->vnsec) ||
	    read_pair(fi, "it_interval", &e->isec, &e->insec))
		return -EIO;
	e->clockid = (uint32_t)clock;
	e->settime_flags = (uint32_t)flags;
	return 0;
}

/* A wall clock goes on between dump and restore, and what waits for a time of day sees that. */
static void note_expiry(TimerfdEntry *e)
{
	bool wall = e->clockid == CLOCK_REALTIME || e->clockid == CLOCK_REALTIME_ALARM;
	struct timespec now;

	if (!wall || !(e->settime_flags & TFD_TIMER_ABSTIME) || (!e->vsec && !e->vnsec) ||
	    clock_gettime(CLOCK_REALTIME, &now) < 0)
		return;
	e->has_expires = 1;
	e->expires = (e->vsec + (uint64_t)now.tv_sec) * NSEC + e->vnsec + (uint64_t)now.tv_nsec;
}

static int timerfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	TimerfdEntry *e = (TimerfdEntry *)d->msg;
	struct fd_info again = *fi;
	struct itimerspec its;
	int ret = read_timer(fi, e);

	/*
	 * A periodic timer that has expired counts on when somebody looks,
	 * and only then: nobody can tell that it was us.
	 */
	if (!ret && e->ticks && (e->isec || e->insec) && !e->vsec && !e->vnsec &&
	    timerfd_gettime(fi->local, &its) == 0) {
		again.fdinfo = file_info_text(ctx, fi);
		ret = read_timer(&again, e);
	}
	if (ret)
		return file_blocker(ctx, fi, "file-info", EIO, "no timer in fdinfo");
	note_expiry(e);
	return 0;
}

const struct file_dump_ops timerfd_dump_ops = { .probe = timerfd_probe, .dump = timerfd_dump };
