/*
 * report - log lines in the shape that people and container runtimes search
 * for, `(SS.uuuuuu) [pid:] Error (file.c:line): ...`, and the list of causes.
 */
#include "base/report.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MAX_CAUSES 256

struct shared_causes {
	atomic_uint taken;
	struct cause list[MAX_CAUSES];
	atomic_bool ready[MAX_CAUSES];
};

struct report {
	int fd;
	enum log_level level;
	struct timespec start;
	pid_t owner;
	struct shared_causes *causes;
};

/**
 * report_new - a report that logs warnings and errors to standard error
 *
 * Return: the report, never NULL.
 */
struct report *report_new(void)
{
	struct report *r = calloc(1, sizeof(*r));
	void *mem = mmap(NULL, sizeof(*r->causes), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (!r || mem == MAP_FAILED)
		abort();
	r->causes = mem;
	r->fd = STDERR_FILENO;
	r->level = LOG_WARN;
	r->owner = getpid();
	clock_gettime(CLOCK_MONOTONIC, &r->start);
	return r;
}

/**
 * report_free - give back a report; the log descriptor stays open
 * @r: the report, or NULL
 */
void report_free(struct report *r)
{
	if (!r)
		return;
	munmap(r->causes, sizeof(*r->causes));
	free(r);
}

/**
 * report_log_to - choose where the log goes and how much of it
 * @r: the report
 * @fd: a descriptor that the caller keeps open; -1 for no log
 * @level: the most detailed level that is written
 *
 * Return: the descriptor used before.
 */
int report_log_to(struct report *r, int fd, enum log_level level)
{
	int old = r->fd;

	r->fd = fd;
	r->level = level;
	return old;
}

/**
 * report_log_fd - where the log's descriptor is kept, for who has to move it
 * @r: the report
 *
 * Return: the variable.
 */
int *report_log_fd(struct report *r)
{
	return &r->fd;
}

/**
 * report_count - how many causes are recorded
 * @r: the report
 *
 * Return: the count; causes past the 256th are only in the log.
 */
size_t report_count(const struct report *r)
{
	unsigned n = atomic_load(&r->causes->taken);

	return n < MAX_CAUSES ? n : MAX_CAUSES;
}

/**
 * report_cause - one recorded cause
 * @r: the report
 * @i: its number, from 0
 *
 * Return: the cause, or NULL if there is none of that number.
 */
const struct cause *report_cause(const struct report *r, size_t i)
{
	if (i >= report_count(r) || !atomic_load(&r->causes->ready[i]))
		return NULL;
	return &r->causes->list[i];
}

static void log_line(struct report *r, enum log_level level, const char *file, int line,
		     const char *text)
{
	static const char *const word[] = { "", "Error", "Warn ", "", "" };
	char buf[1024], who[24] = "";
	struct timespec now;
	long us;
	int n;

	if (level > r->level || r->fd < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	us = (now.tv_sec - r->start.tv_sec) * 1000000L + (now.tv_nsec - r->start.tv_nsec) / 1000;
	if (getpid() != r->owner)
		snprintf(who, sizeof(who), "%6d: ", getpid());
	if (level == LOG_ERROR || level == LOG_WARN)
		n = snprintf(buf, sizeof(buf), "(%02ld.%06ld) %s%s (%s:%d): %s\n", us / 1000000,
			     us % 1000000, who, word[level], file, line, text);
	else
		n = snprintf(buf, sizeof(buf), "(%02ld.%06ld) %s%s\n", us / 1000000, us % 1000000,
			     who, text);
	if (n >= (int)sizeof(buf)) {
		n = sizeof(buf);
		buf[n - 1] = '\n';
	}
	/* A log that cannot be written must not stop the work. */
	if (write(r->fd, buf, (size_t)n) < 0)
		return;
}

/**
 * report_log - one line for the log
 * @r: the report
 * @level: its level
 * @file: source file
 * @line: source line
 * @fmt: as for printf(3), without a newline
 */
void report_log(struct report *r, enum log_level level, const char *file, int line, const char *fmt,
		...)
{
	char text[900];
	va_list ap;

	if (level > r->level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(r, level, file, line, text);
}

/**
 * report_vfail - record a cause and log it
 * @r: the report
 * @file: source file
 * @line: source line
 * @id: stable id of the kind of failure
 * @err: errno value, positive; 0 if the kernel gave none
 * @fmt: one sentence that names the object and what was tried
 * @ap: its arguments
 *
 * Return: -@err, or -EIO when @err is 0.
 */
int report_vfail(struct report *r, const char *file, int line, const char *id, int err,
		 const char *fmt, va_list ap)
{
	unsigned i = atomic_fetch_add(&r->causes->taken, 1);
	struct cause local = { 0 }, *c = i < MAX_CAUSES ? &r->causes->list[i] : &local;
	char line_text[900];

	err = err < 0 ? -err : err;
	c->err = err;
	snprintf(c->id, sizeof(c->id), "%s", id);
	vsnprintf(c->text, sizeof(c->text), fmt, ap);
	if (i < MAX_CAUSES)
		atomic_store(&r->causes->ready[i], true);
	if (err)
		snprintf(line_text, sizeof(line_text), "%s: %s [%s]", c->text, strerror(err),
			 c->id);
	else
		snprintf(line_text, sizeof(line_text), "%s [%s]", c->text, c->id);
	log_line(r, LOG_ERROR, file, line, line_text);
	return err ? -err : -EIO;
}

/**
 * report_fail - see report_vfail(); usually called through fail()
 * @r: the report
 * @file: source file
 * @line: source line
 * @id: stable id
 * @err: errno value
 * @fmt: as for printf(3)
 *
 * Return: as report_vfail().
 */
int report_fail(struct report *r, const char *file, int line, const char *id, int err,
		const char *fmt, ...)
{
	va_list ap;
	int ret;

	va_start(ap, fmt);
	ret = report_vfail(r, file, line, id, err, fmt, ap);
	va_end(ap);
	return ret;
}
