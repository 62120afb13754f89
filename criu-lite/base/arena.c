/*
 * arena - bump allocation in growing chunks. Memory comes zeroed. Running out
 * of it ends the program through abort(): every caller would do so.
 *
 * The first chunk is small, as most arenas never need more; each further one is
 * twice as large, and gets its pages at once: one by one they would cost as
 * much as what is written there. What is larger than half a chunk stands alone.
 * After those that are small a chunk is one huge page, if there is one: small
 * pages, and their tables at each fork, are a good part of what it takes to
 * load a large image.
 */
#include "base/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK ((size_t)8 << 10)
#define SMALL_UP_TO ((size_t)256 << 10)
#define LARGEST ((size_t)2 << 20)
#define PAGE ((uintptr_t)4096)

struct chunk {
	struct chunk *next;
	size_t used, size;
	size_t mapped; /* bytes of a mapping of its own, or 0 */
	_Alignas(16) char data[];
};

struct arena {
	struct chunk *head;
	size_t next; /* bytes of the next chunk; 0 before the first */
};

/**
 * arena_new - an empty arena
 *
 * Return: the arena, never NULL. Give it back with arena_free().
 */
struct arena *arena_new(void)
{
	struct arena *a = calloc(1, sizeof(*a));

	if (!a)
		abort();
	return a;
}

/**
 * arena_free - give back an arena and all that came from it
 * @a: the arena, or NULL
 */
void arena_free(struct arena *a)
{
	if (!a)
		return;
	while (a->head) {
		struct chunk *c = a->head;

		a->head = c->next;
		if (c->mapped)
			munmap(c, c->mapped);
		else
			free(c);
	}
	free(a);
}

static struct chunk *chunk_new(size_t size)
{
	struct chunk *c = calloc(1, sizeof(*c) + size);

	if (!c)
		abort();
	c->size = size;
	return c;
}

/* At a multiple of its size; what was mapped around it to find one goes. */
static struct chunk *chunk_huge(void)
{
	char *at =
		mmap(NULL, 2 * LARGEST, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = -(uintptr_t)at & (LARGEST - 1);
	struct chunk *c = (struct chunk *)(at + before);

	if (at == MAP_FAILED)
		abort();
	if (before)
		munmap(at, before);
	munmap((char *)c + LARGEST, LARGEST - before);
	madvise(c, LARGEST, MADV_HUGEPAGE);
	c->mapped = LARGEST;
	c->size = LARGEST - sizeof(*c);
	return c;
}

/* The chunk that small pieces come from, from now on. */
static struct chunk *chunk_next(struct arena *a)
{
	size_t size = a->next ? a->next : CHUNK;
	struct chunk *c = size < LARGEST ? chunk_new(size) : chunk_huge();
	uintptr_t from = ((uintptr_t)c + PAGE - 1) & ~(PAGE - 1);

	/* Since Linux 5.14; without it they come one by one. */
	if (a->next)
		madvise((void *)from, ((uintptr_t)c + size - from) & ~(PAGE - 1),
			MADV_POPULATE_WRITE);
	a->next = size < SMALL_UP_TO ? 2 * size : LARGEST;
	c->next = a->head;
	a->head = c;
	return c;
}

/* A large piece of its own leaves the current chunk in use. */
static void *large_piece(struct arena *a, size_t size)
{
	struct chunk *c = chunk_new(size), **at = a->head ? &a->head->next : &a->head;

	c->used = size;
	c->next = *at;
	*at = c;
	return c->data;
}

/**
 * arena_alloc - zeroed memory, aligned to 16
 * @a: the arena
 * @size: bytes
 *
 * Return: the memory, never NULL.
 */
void *arena_alloc(struct arena *a, size_t size)
{
	struct chunk *c = a->head;

	if (size > SIZE_MAX / 2)
		abort();
	size = (size + 15) & ~(size_t)15;
	if (!c || c->size - c->used < size) {
		if (size > (a->next ? a->next : CHUNK) / 2)
			return large_piece(a, size);
		c = chunk_next(a);
	}
	c->used += size;
	return c->data + c->used - size;
}

/**
 * arena_memdup - a copy of some bytes
 * @a: the arena
 * @p: what to copy
 * @size: bytes
 *
 * Return: the copy, never NULL.
 */
void *arena_memdup(struct arena *a, const void *p, size_t size)
{
	void *out = arena_alloc(a, size);

	if (size)
		memcpy(out, p, size);
	return out;
}

/**
 * arena_grow - a larger copy of a piece; the old one stays until the end
 * @a: the arena
 * @old: the piece, or NULL
 * @old_size: its bytes
 * @new_size: bytes wanted
 *
 * Return: the new piece, its tail zeroed.
 */
void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size)
{
	void *out = arena_alloc(a, new_size);

	if (old_size)
		memcpy(out, old, old_size);
	return out;
}

/**
 * arena_strdup - a copy of a string
 * @a: the arena
 * @s: the string
 *
 * Return: the copy, never NULL.
 */
char *arena_strdup(struct arena *a, const char *s)
{
	return arena_memdup(a, s, strlen(s) + 1);
}

/**
 * arena_printf - a formatted string
 * @a: the arena
 * @fmt: as for printf(3)
 *
 * Return: the string, never NULL.
 */
char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *out;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort();
	out = arena_alloc(a, (size_t)n + 1);
	vsnprintf(out, (size_t)n + 1, fmt, again);
	va_end(again);
	return out;
}
