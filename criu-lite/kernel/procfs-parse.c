/*
 * procfs-parse - the texts of /proc/PID/stat, status, limits, timers and
 * children.
 */
#include "kernel/procfs.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number and the blanks before it. */
static bool number(const char **p, int base, uint64_t *out)
{
	char *end;

	while (**p == ' ' || **p == '\t')
		(*p)++;
	if (!isxdigit((unsigned char)**p) && **p != '-')
		return false;
	errno = 0;
	*out = strtoull(*p, &end, base);
	if (end == *p || errno)
		return false;
	*p = end;
	return true;
}

/**
 * proc_parse_stat - /proc/PID/stat
 * @text: the file
 * @out: gets the fields
 *
 * The name in brackets may hold brackets and blanks itself.
 *
 * Return: 0, or -EINVAL.
 */
int proc_parse_stat(const char *text, struct proc_stat *out)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')'), *p = text;
	struct proc_stat s = { 0 };
	uint64_t f[53] = { 0 }, pid;
	size_t len;
	int i;

	if (!open || !close || close < open || !number(&p, 10, &pid))
		return -EINVAL;
	len = (size_t)(close - open - 1);
	if (len >= sizeof(s.comm))
		return -EINVAL;
	memcpy(s.comm, open + 1, len);
	s.pid = (pid_t)pid;
	if (close[1] != ' ' || !close[2])
		return -EINVAL;
	s.state = close[2];
	p = close + 3;
	for (i = 4; i <= 52; i++)
		if (!number(&p, 10, &f[i]))
			return -EINVAL;
	s.ppid = (pid_t)f[4];
	s.pgrp = (pid_t)f[5];
	s.session = (pid_t)f[6];
	s.tty = (uint32_t)f[7];
	s.tpgid = (pid_t)f[8];
	s.flags = (uint32_t)f[9];
	s.threads = (uint32_t)f[20];
	s.start_time = f[22];
	s.start_code = f[26];
	s.end_code = f[27];
	s.start_stack = f[28];
	s.start_data = f[45];
	s.end_data = f[46];
	s.start_brk = f[47];
	s.arg_start = f[48];
	s.arg_end = f[49];
	s.env_start = f[50];
	s.env_end = f[51];
	s.exit_code = (uint32_t)f[52];
	*out = s;
	return 0;
}

static bool numbers(const char *p, int base, uint32_t *out, int n)
{
	uint64_t v;

	for (int i = 0; i < n; i++) {
		if (!number(&p, base, &v) || v > UINT32_MAX)
			return false;
		out[i] = (uint32_t)v;
	}
	return true;
}

static bool status_groups(const char *p, struct proc_status *s)
{
	uint64_t v;

	while (number(&p, 10, &v)) {
		if (v > UINT32_MAX || s->nr_groups == PROC_NGROUPS)
			return false;
		if ((s->nr_groups & (s->nr_groups - 1)) == 0) {
			size_t room = s->nr_groups ? 2 * s->nr_groups : 1;
			uint32_t *grown = realloc(s->groups, room * sizeof(*grown));

			if (!grown)
				return false;
			s->groups = grown;
		}
		s->groups[s->nr_groups++] = (uint32_t)v;
	}
	return true;
}

/* The fields of status that are wanted: where they go and how they are written. */
static const struct status_field {
	const char *key;
	size_t offset;
	int base;
	int words; /* 32-bit words; 0: one 64-bit value */
} status_fields[] = {
#define F(key, member, base, words)                                    \
	{                                                              \
		key, offsetof(struct proc_status, member), base, words \
	}
	F("Umask", umask, 8, 1),
	F("Tgid", tgid, 10, 1),
	F("PPid", ppid, 10, 1),
	F("TracerPid", tracer, 10, 1),
	F("Uid", uid, 10, 4),
	F("Gid", gid, 10, 4),
	F("SigPnd", sig_pending, 16, 0),
	F("ShdPnd", shared_pending, 16, 0),
	F("SigBlk", sig_blocked, 16, 0),
	F("CapInh", cap_inh, 16, 0),
	F("CapPrm", cap_prm, 16, 0),
	F("CapEff", cap_eff, 16, 0),
	F("CapBnd", cap_bnd, 16, 0),
	F("CapAmb", cap_amb, 16, 0),
	F("NoNewPrivs", no_new_privs, 10, 1),
	F("Seccomp", seccomp, 10, 1),
	F("Seccomp_filters", seccomp_filters, 10, 1),
#undef F
};

static int status_line(const char *line, const char *colon, size_t *next, struct proc_status *s)
{
	const size_t n = sizeof(status_fields) / sizeof(*status_fields);
	size_t len = (size_t)(colon - line);

	if (len == 6 && !memcmp(line, "Groups", 6))
		return status_groups(colon + 1, s) ? 0 : -EINVAL;
	if (len == 5 && !memcmp(line, "State", 5)) {
		s->state = colon[1] && colon[2] ? colon[2] : '?';
		return 0;
	}
	/* The kernel keeps the order; a line that is new to us only costs a look at the table. */
	for (size_t i = 0; i < n; i++) {
		const struct status_field *f = &status_fields[(*next + i) % n];
		const char *p = colon + 1;

		if (strlen(f->key) != len || memcmp(f->key, line, len) != 0)
			continue;
		*next = (*next + i + 1) % n;
		if (f->words)
			return numbers(p, f->base, (uint32_t *)((char *)s + f->offset), f->words)
				       ? 0
				       : -EINVAL;
		return number(&p, f->base, (uint64_t *)((char *)s + f->offset)) ? 0 : -EINVAL;
	}
	return 0;
}

/**
 * proc_parse_status - /proc/PID/status
 * @text: the file
 * @out: gets the fields; a field that the kernel does not show is 0
 *
 * Return: 0, or -EINVAL. Give the groups back with proc_status_free().
 */
int proc_parse_status(const char *text, struct proc_status *out)
{
	struct proc_status s = { 0 };
	const char *line = text;
	size_t next = 0;

	while (*line) {
		const char *end = strchrnul(line, '\n');
		const char *colon = memchr(line, ':', (size_t)(end - line));

		if (!colon || status_line(line, colon, &next, &s) < 0) {
			proc_status_free(&s);
			return -EINVAL;
		}
		line = *end ? end + 1 : end;
	}
	if (!s.tgid) {
		proc_status_free(&s);
		return -EINVAL;
	}
	*out = s;
	return 0;
}

/**
 * proc_status_free - give back what proc_parse_status() allocated
 * @s: the struct
 */
void proc_status_free(struct proc_status *s)
{
	free(s->groups);
	s->groups = NULL;
	s->nr_groups = 0;
}

/**
 * proc_parse_limits - /proc/PID/limits, in the order of RLIMIT_*
 * @text: the file: a heading, then the limits by number, in columns
 * @out: gets the limits; only written on success
 *
 * Return: 0, or -EINVAL.
 */
int proc_parse_limits(const char *text, struct rlimit64 out[RLIM_NLIMITS])
{
	/* In the file's order, which is not the numbers' order by promise. */
	static const struct {
		const char *name;
		int nr;
	} rows[] = {
		{ "Max cpu time", RLIMIT_CPU },
		{ "Max file size", RLIMIT_FSIZE },
		{ "Max data size", RLIMIT_DATA },
		{ "Max stack size", RLIMIT_STACK },
		{ "Max core file size", RLIMIT_CORE },
		{ "Max resident set", RLIMIT_RSS },
		{ "Max processes", RLIMIT_NPROC },
		{ "Max open files", RLIMIT_NOFILE },
		{ "Max locked memory", RLIMIT_MEMLOCK },
		{ "Max address space", RLIMIT_AS },
		{ "Max file locks", RLIMIT_LOCKS },
		{ "Max pending signals", RLIMIT_SIGPENDING },
		{ "Max msgqueue size", RLIMIT_MSGQUEUE },
		{ "Max nice priority", RLIMIT_NICE },
		{ "Max realtime priority", RLIMIT_RTPRIO },
		{ "Max realtime timeout", RLIMIT_RTTIME },
	};
	struct rlimit64 r[RLIM_NLIMITS];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *p = strstr(text, rows[i].name);
		uint64_t v[2];

		if (!p)
			return -EINVAL;
		p += strlen(rows[i].name);
		for (int k = 0; k < 2; k++) {
			p += strspn(p, " ");
			v[k] = RLIM64_INFINITY;
			if (!strncmp(p, "unlimited", 9))
				p += 9;
			else if (!number(&p, 10, &v[k]))
				return -EINVAL;
		}
		r[rows[i].nr] = (struct rlimit64){ .rlim_cur = v[0], .rlim_max = v[1] };
	}
	memcpy(out, r, sizeof(r));
	return 0;
}

static int timer_notify(const char *p, struct proc_timer *t)
{
	static const char *const how[] = {
		[SIGEV_SIGNAL] = "signal", [SIGEV_NONE] = "none", [SIGEV_THREAD] = "thread"
	};
	char word[16], kind[8];
	int tid;

	if (sscanf(p, "notify: %15[a-z]/%7[a-z].%d", word, kind, &tid) != 3)
		return -EINVAL;
	for (uint32_t i = 0; i < sizeof(how) / sizeof(*how); i++)
		if (!strcmp(word, how[i])) {
			t->notify = i;
			if (!strcmp(kind, "tid")) {
				t->notify |= SIGEV_THREAD_ID;
				t->notify_tid = tid;
			}
			return 0;
		}
	return -EINVAL;
}

/**
 * proc_parse_timers - /proc/PID/timers
 * @text: the file: blocks of ID, signal, notify and ClockID lines
 * @out: gets an array from malloc(), NULL if there is no timer
 * @n: gets its length
 *
 * Return: 0, -ENOMEM or -EINVAL.
 */
int proc_parse_timers(const char *text, struct proc_timer **out, size_t *n)
{
	struct proc_timer *list = NULL;
	size_t count = 0;

	while (*text) {
		struct proc_timer t = { 0 }, *grown;
		unsigned long long sival;
		const char *notify = strstr(text, "notify:");
		const char *clock = strstr(text, "ClockID:");
		const char *end = clock ? strchrnul(clock, '\n') : NULL;

		if (!notify || !clock || notify > clock ||
		    sscanf(text, "ID: %u signal: %u/%llx", &t.id, &t.signo, &sival) != 3 ||
		    timer_notify(notify, &t) < 0 || sscanf(clock, "ClockID: %d", &t.clock) != 1) {
			free(list);
			return -EINVAL;
		}
		t.sival = sival;
		grown = realloc(list, (count + 1) * sizeof(*list));
		if (!grown) {
			free(list);
			return -ENOMEM;
		}
		list = grown;
		list[count++] = t;
		text = *end ? end + 1 : end;
	}
	*out = list;
	*n = count;
	return 0;
}

/**
 * proc_parse_pids - numbers apart by blanks, as in /proc/PID/task/TID/children
 * @text: the file
 * @out: array from malloc(), grown by the pids found
 * @n: its length, before and after
 *
 * Return: 0, -ENOMEM or -EINVAL.
 */
int proc_parse_pids(const char *text, pid_t **out, size_t *n)
{
	for (;;) {
		uint64_t v;
		pid_t *grown;

		text += strspn(text, " \n");
		if (!*text)
			return 0;
		if (!number(&text, 10, &v) || !v || v > INT32_MAX)
			return -EINVAL;
		grown = realloc(*out, (*n + 1) * sizeof(**out));
		if (!grown)
			return -ENOMEM;
		*out = grown;
		grown[(*n)++] = (pid_t)v;
	}
}
