/*
 * report - what a run says: the log, and the causes of its failure.
 *
 * A cause is recorded once, where it is known, as: stable id, errno, and a
 * sentence that names the object and what was tried. It goes to the log at
 * once and stays in the report until the command or the daemon prints it.
 * The causes live in memory shared with forked children, so a restored task
 * reports through the same calls.
 */
#ifndef CL_BASE_REPORT_H
#define CL_BASE_REPORT_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_MSG, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct report;

struct report *report_new(void);
void report_free(struct report *r);
int report_log_to(struct report *r, int fd, enum log_level level);
int *report_log_fd(struct report *r);
size_t report_count(const struct report *r);

struct cause {
	int err;        /* errno value, positive; 0 if there is none */
	char id[32];    /* stable word, listed in docs/ERRORS.md */
	char text[464]; /* one line */
};
const struct cause *report_cause(const struct report *r, size_t i);

int report_vfail(struct report *r, const char *file, int line, const char *id, int err,
		 const char *fmt, va_list ap) __attribute__((format(printf, 6, 0)));
int report_fail(struct report *r, const char *file, int line, const char *id, int err,
		const char *fmt, ...) __attribute__((format(printf, 6, 7)));
void report_log(struct report *r, enum log_level level, const char *file, int line, const char *fmt,
		...) __attribute__((format(printf, 5, 6)));

/* Lets callers and static analysis see that what fail() returns is an error. */
static inline int report_negative(int ret)
{
	return ret < 0 ? ret : -EIO;
}

/* fail(r, "pid-in-use", EEXIST, "pid %d is ...", pid): records the cause, returns -err (-EIO for
 * 0). */
#define fail(r, id, err, ...) \
	report_negative(report_fail(r, __FILE_NAME__, __LINE__, id, err, __VA_ARGS__))
#define log_msg(r, ...) report_log(r, LOG_MSG, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_error(r, ...) report_log(r, LOG_ERROR, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_warn(r, ...) report_log(r, LOG_WARN, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_info(r, ...) report_log(r, LOG_INFO, __FILE_NAME__, __LINE__, __VA_ARGS__)
#define log_debug(r, ...) report_log(r, LOG_DEBUG, __FILE_NAME__, __LINE__, __VA_ARGS__)

#endif
