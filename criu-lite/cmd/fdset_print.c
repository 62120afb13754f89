/*
 * fdset_print - descriptors for people, for shells and for programs.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cmd/addr.h"
#include "cmd/cmd.h"
#include "cmd/fdset.h"

#define WHAT_MAX 600

/**
 * fdset_describe - what a descriptor leads to
 * @fd: the descriptor
 * @out: gets addresses for a socket that has some, or what /proc says
 * @size: its room in bytes
 */
void fdset_describe(int fd, char *out, size_t size)
{
	struct sockaddr_storage own, peer;
	socklen_t a = sizeof(own), b = sizeof(peer);
	char path[64], x[120] = "-", y[120] = "-";
	ssize_t n;

	if (getsockname(fd, (struct sockaddr *)&own, &a) == 0) {
		addr_print(&own, a, x, sizeof(x));
		if (getpeername(fd, (struct sockaddr *)&peer, &b) == 0)
			addr_print(&peer, b, y, sizeof(y));
	}
	if (strcmp(y, "-") || strcmp(x, "-")) {
		snprintf(out, size, "%s%s%s", x, strcmp(y, "-") ? " -> " : "",
			 strcmp(y, "-") ? y : "");
		return;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, out, size - 1);
	out[n < 0 ? 0 : n] = '\0';
}

/* In single quotes, whatever is in it. */
static void print_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	puts("'");
}

static void print_shell(const struct fd_item *items, size_t n, const char *payload)
{
	char what[WHAT_MAX];

	printf("fd_count=%zu\n", n);
	for (size_t i = 0; i < n; i++) {
		fdset_describe(items[i].fd, what, sizeof(what));
		printf("fd_%zu_name=", i + 1);
		print_quoted(items[i].name);
		printf("fd_%zu_kind=%s\nfd_%zu_what=", i + 1, fd_kind_name((int)items[i].kind),
		       i + 1);
		print_quoted(what);
	}
	fputs("fd_payload=", stdout);
	print_quoted(payload);
}

static void print_object(struct cmd *c, const struct fd_item *items, size_t n, const char *payload)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array(), *e;
	char what[WHAT_MAX];

	for (size_t i = 0; i < n; i++) {
		fdset_describe(items[i].fd, what, sizeof(what));
		e = json_object_new_object();
		json_object_object_add(e, "name", json_object_new_string(items[i].name));
		json_object_object_add(e, "kind",
				       json_object_new_string(fd_kind_name((int)items[i].kind)));
		json_object_object_add(e, "what", json_object_new_string(what));
		json_object_array_add(list, e);
	}
	json_object_object_add(o, "ok", json_object_new_boolean(true));
	json_object_object_add(o, "command", json_object_new_string("fd"));
	json_object_object_add(o, "descriptors", list);
	json_object_object_add(o, "payload", json_object_new_string(payload));
	print_json(o);
	json_object_put(o);
	c->answered = true;
}

/**
 * fdset_print - a list of descriptors, as --json and --sh say
 * @c: the run
 * @items: the descriptors
 * @n: how many
 * @payload: what came with them; the table leaves it out
 */
void fdset_print(struct cmd *c, const struct fd_item *items, size_t n, const char *payload)
{
	char what[WHAT_MAX];
	int wide = 4;

	if (c->o->json) {
		print_object(c, items, n, payload);
		return;
	}
	if (c->o->sh) {
		print_shell(items, n, payload);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if ((int)strlen(items[i].name) > wide)
			wide = (int)strlen(items[i].name);
	printf("%-*s  %-8s  %s\n", wide, "NAME", "KIND", "WHAT");
	for (size_t i = 0; i < n; i++) {
		fdset_describe(items[i].fd, what, sizeof(what));
		printf("%-*s  %-8s  %s\n", wide, items[i].name, fd_kind_name((int)items[i].kind),
		       what);
	}
}
