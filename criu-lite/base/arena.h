/*
 * arena - memory that lives as long as one run. What a run collects or loads
 * is never freed piece by piece: the arena goes as a whole.
 */
#ifndef CL_BASE_ARENA_H
#define CL_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);
void *arena_alloc(struct arena *a, size_t size) __attribute__((returns_nonnull));
void *arena_memdup(struct arena *a, const void *p, size_t size);
void *arena_grow(struct arena *a, void *old, size_t old_size, size_t new_size)
	__attribute__((returns_nonnull));
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define arena_new_of(a, type) ((type *)arena_alloc(a, sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_alloc(a, sizeof(type) * (n)))
/* Append to an array of arena memory; *n is its length, doubled at powers of two. */
#define arena_push(a, arr, n)                                                     \
	(*({                                                                      \
		if (((n) & ((n)-1)) == 0)                                         \
			(arr) = arena_grow(a, arr, sizeof(*(arr)) * (n),          \
					   sizeof(*(arr)) * ((n) ? 2 * (n) : 1)); \
		&(arr)[(n)++];                                                    \
	}))

#endif
