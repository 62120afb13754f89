/*
 * timerfd - restore. The image has what was left of the time; an absolute
 * timer is set to now plus that, so that its flags are the same, or to the
 * time of day that it waits for. Expirations
 * that were not read yet come last: setting the timer forgets them. The other
 * half is dump/types/timerfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>

#include "base/fd.h"
#include "proto/timerfd.pb-c.h"

#define SET_TICKS _IOW('T', 0, uint64_t) /* TFD_IOC_SET_TICKS */
#define NSEC 1000000000

/* The clock that an alarm clock is read from. */
static clockid_t readable_clock(uint32_t clock)
{
	return clock == CLOCK_REALTIME_ALARM   ? CLOCK_REALTIME
	       : clock == CLOCK_BOOTTIME_ALARM ? CLOCK_BOOTTIME
					       : (clockid_t)clock;
}

/*
 * A periodic timer that has fired is set anew by the read that takes its
 * expirations. One comes back so by firing once; their number is set after that.
 */
static int fire(struct file_desc *d, int fd, uint32_t flags, struct itimerspec *its)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (!(flags & TFD_TIMER_ABSTIME))
		its->it_value = (struct timespec){ .tv_nsec = 1 };
	if (timerfd_settime(fd, (int)flags, its, NULL) < 0 || poll(&p, 1, 1000) != 1)
		return file_fail(d, errno, "let it expire once");
	return 0;
}

static int set_time(struct file_desc *d, int fd, const TimerfdEntry *e)
{
	struct itimerspec its = { .it_interval = { (time_t)e->isec, (long)e->insec },
				  .it_value = { (time_t)e->vsec, (long)e->vnsec } };
	bool fired = e->ticks && (e->isec || e->insec) && !e->vsec && !e->vnsec;
	struct timespec now;

	if (e->vnsec >= NSEC || e->insec >= NSEC)
		return file_fail(d, EBADMSG, "more nanoseconds than a second has");
	if (e->has_expires) {
		its.it_value = (struct timespec){ (time_t)(e->expires / NSEC), e->expires % NSEC };
	} else if ((e->settime_flags & TFD_TIMER_ABSTIME) && (fired || e->vsec || e->vnsec)) {
		if (clock_gettime(readable_clock(e->clockid), &now) < 0)
			return file_fail(d, errno, "read clock %u", e->clockid);
		its.it_value.tv_sec += now.tv_sec;
		its.it_value.tv_nsec += now.tv_nsec;
		its.it_value.tv_sec += its.it_value.tv_nsec / NSEC;
		its.it_value.tv_nsec %= NSEC;
	}
	if (fired)
		return fire(d, fd, e->settime_flags, &its);
	if (timerfd_settime(fd, (int)e->settime_flags, &its, NULL) < 0)
		return file_fail(d, errno, "timerfd_settime()");
	return 0;
}

static int timerfd_open(struct file_desc *d, int *new_fd)
{
	const TimerfdEntry *e = file_desc_entry(d);
	cleanup_close int fd = timerfd_create((int)e->clockid, TFD_CLOEXEC);

	if (fd < 0)
		return file_fail(d, errno, "timerfd_create() for clock %u", e->clockid);
	if (set_time(d, fd, e) < 0)
		return -1;
	if (e->ticks && ioctl(fd, SET_TICKS, &e->ticks) < 0)
		return file_fail(d, errno, "set %llu expirations", (unsigned long long)e->ticks);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops timerfd_desc_ops = { .open = timerfd_open };
