/*
 * timerfd - dump. fdinfo has the clock, the flags of timerfd_settime(2), what
 * is left and what has expired unread. The other half is
 * restore/types/timerfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/timerfd.pb-c.h"

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

static int timerfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	TimerfdEntry *e = (TimerfdEntry *)d->msg;
	uint64_t clock, flags;

	if (file_info_u64(fi, "clockid", 10, &clock) || file_info_u64(fi, "ticks", 10, &e->ticks) ||
	    file_info_u64(fi, "settime flags", 8, &flags) ||
	    read_pair(fi, "it_value", &e->vsec, &e->vnsec) ||
	    read_pair(fi, "it_interval", &e->isec, &e->insec))
		return file_blocker(ctx, fi, "file-info", EIO, "no timer in fdinfo");
	e->clockid = (uint32_t)clock;
	e->settime_flags = (uint32_t)flags;
	return 0;
}

const struct file_dump_ops timerfd_dump_ops = { .probe = timerfd_probe, .dump = timerfd_dump };
