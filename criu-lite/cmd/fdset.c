/*
 * fdset - descriptors with their names, owned together.
 */
#include "cmd/fdset.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"

/**
 * fdset_add - one more
 * @c: the run
 * @s: the set, which owns the descriptor from here on, also after an error
 * @fd: the descriptor
 * @from: the number that it had where it comes from
 * @name: its name
 * @len: bytes of the name; 0 for one made of kind and number
 *
 * Return: 0 or -errno, recorded.
 */
int fdset_add(struct cmd *c, struct fdset *s, int fd, int from, const char *name, size_t len)
{
	struct fd_item it = { .fd = fd };
	int kind = fd_kind_of(fd);
	size_t n = s->n;

	it.kind = kind < 0 ? FD_KIND_OTHER : (enum fd_kind)kind;
	if (len)
		snprintf(it.name, sizeof(it.name), "%.*s", (int)len, name);
	else
		snprintf(it.name, sizeof(it.name), "%s-%d", fd_kind_name(it.kind), from);
	arena_push(c->o->arena, s->items, s->n) = it;
	arena_push(c->o->arena, s->from, n) = from;
	if (len > FD_NAME_MAX || !fd_name_ok(it.name))
		return fail(c->r, "fd-name", EINVAL, "the name %.*s", (int)len, name);
	return 0;
}

/**
 * fdset_close - close what the set owns
 * @s: the set
 */
void fdset_close(struct fdset *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->items[i].fd >= 0)
			close(s->items[i].fd);
	s->n = 0;
}
