/*
 * idmap - open addressing with linear probing, at most half full. Values are
 * never NULL: an empty slot has none. Ids and inodes are mostly given out one
 * after the other, so keys that follow each other are neighbours.
 */
#include "base/idmap.h"

#include <stdlib.h>

#define NEIGHBOURS 256

static size_t idmap_at(const struct idmap *m, uint64_t key)
{
	uint64_t run = (key / NEIGHBOURS) * 0x9e3779b97f4a7c15ull;
	size_t i = (size_t)((run >> 20) * NEIGHBOURS + key % NEIGHBOURS) & (m->size - 1);

	while (m->slots[i].val && m->slots[i].key != key)
		i = (i + 1) & (m->size - 1);
	return i;
}

/**
 * idmap_get - look up a key
 * @m: the map
 * @key: the key
 *
 * Return: its value, or NULL.
 */
void *idmap_get(const struct idmap *m, uint64_t key)
{
	return m->size ? m->slots[idmap_at(m, key)].val : NULL;
}

static void idmap_expand(struct idmap *m)
{
	struct idmap bigger = { .n = m->n };

	bigger.size = m->size >= 1024 ? 4 * m->size : m->size ? 2 * m->size : 64;

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		abort();
	for (size_t i = 0; i < m->size; i++)
		if (m->slots[i].val)
			bigger.slots[idmap_at(&bigger, m->slots[i].key)] = m->slots[i];
	free(m->slots);
	*m = bigger;
}

/**
 * idmap_put - add a key unless it is there
 * @m: the map
 * @key: the key
 * @val: its value, not NULL
 *
 * Return: the value now in the map: @val, or the one that was there.
 */
void *idmap_put(struct idmap *m, uint64_t key, void *val)
{
	size_t i;

	if (2 * (m->n + 1) > m->size)
		idmap_expand(m);
	i = idmap_at(m, key);
	if (!m->slots[i].val) {
		m->slots[i] = (struct idmap_slot){ key, val };
		m->n++;
	}
	return m->slots[i].val;
}

/**
 * idmap_free - give back the table, not the values
 * @m: the map
 */
void idmap_free(struct idmap *m)
{
	free(m->slots);
	*m = (struct idmap){ 0 };
}
