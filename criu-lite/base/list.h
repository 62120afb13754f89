/*
 * list - circular doubly linked list whose head and links are embedded in the
 * structs that use it.
 */
#ifndef CL_BASE_LIST_H
#define CL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_head {
	struct list_head *next, *prev;
};

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define LIST_HEAD_INIT(name)     \
	{                        \
		&(name), &(name) \
	}

static inline void list_init(struct list_head *h)
{
	h->next = h->prev = h;
}

static inline bool list_empty(const struct list_head *h)
{
	return h->next == h;
}

static inline void list_add_before(struct list_head *n, struct list_head *at)
{
	n->next = at;
	n->prev = at->prev;
	at->prev->next = n;
	at->prev = n;
}

static inline void list_add(struct list_head *n, struct list_head *h)
{
	list_add_before(n, h->next);
}

static inline void list_add_tail(struct list_head *n, struct list_head *h)
{
	list_add_before(n, h);
}

static inline void list_del(struct list_head *n)
{
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): takes a neighbour for one freed before */
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

#define list_first(h, type, member) container_of((h)->next, type, member)
#define list_for_each(pos, h, member)                                                      \
	for (pos = container_of((h)->next, __typeof__(*pos), member); &pos->member != (h); \
	     pos = container_of(pos->member.next, __typeof__(*pos), member))
#define list_for_each_safe(pos, tmp, h, member)                             \
	for (pos = container_of((h)->next, __typeof__(*pos), member),       \
	    tmp = container_of(pos->member.next, __typeof__(*pos), member); \
	     &pos->member != (h);                                           \
	     pos = tmp, tmp = container_of(tmp->member.next, __typeof__(*tmp), member))

#endif
