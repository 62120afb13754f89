/*
 * verify - before a restore: is the directory complete, and is every byte of
 * it what the dump wrote? Every mismatch is recorded, not the first. Files are
 * hashed in pieces by one thread per CPU, each with one small buffer. Files
 * that are not large are kept, and are what is restored from.
 */
#include "image/dir.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#include "proto/inventory.pb-c.h"

#define PIECE (2u << 20) /* bytes of pages that a thread takes at once */
#define MAX_THREADS 64
#define HELD_EACH (2u << 20) /* bytes of a file that is kept, */
#define HELD_ALL (16u << 20) /* and of all of them */

/* Some runs of one file, or all of it. */
struct piece {
	const ManifestEntry *e;
	uint8_t **hold;  /* a whole file that is kept: where; or NULL */
	size_t first, n; /* runs; n 0: the whole file */
};

struct checking {
	struct image_dir *d;
	struct piece *pieces;
	size_t nr_pieces;
	uint64_t bytes; /* in all */
	uint64_t held;  /* of those that are kept */
	atomic_size_t next;
	atomic_uint bad;
};

/**
 * image_inventory - read the inventory and look at its version
 * @d: the directory
 * @a: arena of the message
 * @out: the inventory
 *
 * Return: 0, or -errno recorded as image-no-inventory, image-version or what
 * the reader says.
 */
int image_inventory(struct image_dir *d, struct arena *a, InventoryEntry **out)
{
	ProtobufCMessage *m;
	InventoryEntry *inv;
	int ret = image_read_one(d, a, IMAGE_INVENTORY, 0, &inventory_entry__descriptor, &m);

	if (ret == -ENOENT)
		return fail(d->report, "image-no-inventory", ENOENT,
			    "inventory.img: missing; the directory has no image, or of a dump that "
			    "did not finish");
	if (ret)
		return ret;
	inv = (InventoryEntry *)m;
	if (inv->img_version != IMAGE_VERSION && inv->img_version != IMAGE_VERSION_THREADS)
		return fail(d->report, "image-version", EOPNOTSUPP,
			    "inventory.img: version %u of the images, only %d and %d are known",
			    inv->img_version, IMAGE_VERSION, IMAGE_VERSION_THREADS);
	*out = inv;
	return 0;
}

/*
 * A message can be encoded in several ways: the bytes must be those that we
 * would write, or a change might hide in them.
 */
static bool inventory_intact(struct image_dir *d, const InventoryEntry *inv)
{
	struct image_head h = image_kind_head(IMAGE_INVENTORY);
	size_t len = inventory_entry__get_packed_size(inv), head = h.len + sizeof(uint32_t);
	uint8_t *want = malloc(2 * (head + len)), *is;
	uint32_t len32 = (uint32_t)len;
	cleanup_close int fd = -1;
	uint64_t size = 0;
	bool same;

	if (!want)
		abort();
	is = want + head + len;
	memcpy(want, h.word, h.len);
	memcpy(want + h.len, &len32, sizeof(len32));
	inventory_entry__pack(inv, want + head);
	same = !image_open_file(d, "inventory.img", &fd, &size) && size == head + len &&
	       !pread_all(fd, is, head + len, 0) && !memcmp(is, want, head + len);
	free(want);
	return same && inv->self_hash == image_inventory_hash(inv);
}

static void bad(struct checking *c, const ManifestEntry *e, int err, uint64_t off, const char *what)
{
	fail(c->d->report, "image-altered", err,
	     "%s: %s at offset %llu; if the edit was meant, run `criu-lite seal`", e->name, what,
	     (unsigned long long)off);
	atomic_fetch_add(&c->bad, 1);
}

static int check_whole(struct checking *c, const struct piece *p, int fd, void *buf)
{
	size_t size = (size_t)p->e->size;
	uint64_t hash;
	int ret;

	if (p->hold) {
		buf = *p->hold = malloc(size);
		if (!buf)
			abort();
		ret = pread_all(fd, buf, size, 0);
		hash = image_hash(buf, size);
	} else {
		ret = image_hash_file(fd, 0, size, buf, &hash);
	}
	if (!ret && hash != p->e->xxh3)
		bad(c, p->e, EBADMSG, 0, "not the bytes that were dumped, from somewhere");
	return ret;
}

/* Open a file, which has the bytes that it should have. */
static bool open_listed(struct checking *c, const ManifestEntry *e, int *fd)
{
	uint64_t size;
	int ret = image_open_file(c->d, e->name, fd, &size);

	if (ret == -ELOOP || ret == -EINVAL)
		bad(c, e, -EINVAL, 0, "not a regular file");
	else if (ret)
		bad(c, e, ret, 0, ret == -ENOENT ? "missing" : "cannot be opened");
	else if (size != e->size)
		bad(c, e, size < e->size ? ENODATA : EFBIG, size < e->size ? size : e->size,
		    !size            ? "emptied"
		    : size < e->size ? "truncated"
				     : "longer than dumped");
	return !ret && size == e->size;
}

static void check_piece(struct checking *c, const struct piece *p, void *buf)
{
	const ManifestEntry *e = p->e;
	cleanup_close int fd = -1;
	uint64_t hash;
	int ret;

	if (!open_listed(c, e, &fd))
		return;
	ret = p->n ? 0 : check_whole(c, p, fd, buf);
	for (size_t i = p->first; !ret && i < p->first + p->n; i++) {
		ret = image_hash_file(fd, e->runs[i]->offset, e->runs[i]->len, buf, &hash);
		if (!ret && hash != e->runs[i]->xxh3)
			bad(c, e, EBADMSG, e->runs[i]->offset,
			    "not the pages that were dumped, in the run");
	}
	if (ret)
		bad(c, e, ret, 0, "cannot be read");
}

static void *check_thread(void *arg)
{
	struct checking *c = arg;
	void *buf = malloc(IMAGE_CHUNK);
	size_t i;

	if (!buf)
		abort();
	while ((i = atomic_fetch_add(&c->next, 1)) < c->nr_pieces)
		check_piece(c, &c->pieces[i], buf);
	free(buf);
	return NULL;
}

static void check_pieces(struct checking *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[MAX_THREADS];
	size_t n = 0, want = cpus > MAX_THREADS ? MAX_THREADS : cpus < 1 ? 1 : (size_t)cpus;

	/* A little is done sooner than a thread is started. */
	if (want > 1 + c->bytes / PIECE)
		want = 1 + c->bytes / PIECE;
	if (want > c->nr_pieces)
		want = c->nr_pieces;
	/* The caller is one of them; fewer threads than wanted only take longer. */
	while (n + 1 < want && !pthread_create(&threads[n], NULL, check_thread, c))
		n++;
	check_thread(c);
	while (n)
		pthread_join(threads[--n], NULL);
}

/* The entry itself; where its file is several pieces, whether they can be there; then they. */
static void plan_entry(struct checking *c, struct arena *a, size_t i)
{
	const ManifestEntry *e = c->d->listed[i];
	const uint64_t size = e->size;
	uint64_t off = 0, in_piece = 0;
	cleanup_close int fd = -1;

	if (e->n_runs && !open_listed(c, e, &fd))
		return;
	for (size_t k = 0; k < e->n_runs; off += e->runs[k]->len, k++) {
		const ManifestRun *run = e->runs[k];
		struct piece *p;

		if (run->offset != off || run->len > e->size - off) {
			bad(c, e, EBADMSG, run->offset, "run outside the file");
			return;
		}
		if (!in_piece || in_piece + run->len > PIECE) {
			p = &arena_push(a, c->pieces, c->nr_pieces);
			*p = (struct piece){ .e = e, .first = k };
			in_piece = 0;
		}
		c->pieces[c->nr_pieces - 1].n++;
		in_piece += run->len ? run->len : 1;
	}
	c->bytes += size;
	if (!e->n_runs) {
		bool hold = size && size <= HELD_EACH && c->held + size <= HELD_ALL;

		arena_push(a, c->pieces, c->nr_pieces) =
			(struct piece){ .e = e, .hold = hold ? &c->d->held[i] : NULL };
		c->held += hold ? size : 0;
	} else if (off != e->size || image_runs_hash(e->runs, e->n_runs) != e->xxh3)
		bad(c, e, EBADMSG, off, "runs do not make up the file");
}

/* The manifest is what the inventory says: then its contents can be trusted. */
static int load_manifest(struct image_dir *d, const InventoryEntry *inv)
{
	ManifestEntry **list = NULL;
	struct image_reader *r;
	cleanup_close int fd = -1;
	uint64_t size, hash, be;
	ProtobufCMessage *m;
	size_t n = 0;
	int ret = image_open_file(d, "manifest", &fd, &size);

	if (!ret)
		ret = image_hash_file(fd, 0, size, arena_alloc(d->own, IMAGE_CHUNK), &hash);
	if (ret)
		return fail(d->report, "image-altered", ret, "manifest: cannot be read");
	be = htobe64(hash);
	if (inv->manifest_hash.len != sizeof(be) ||
	    memcmp(inv->manifest_hash.data, &be, sizeof(be)))
		return fail(
			d->report, "image-altered", EBADMSG,
			"manifest: not the one of this inventory (all %llu bytes from offset 0)",
			(unsigned long long)size);
	ret = image_open_in(&r, d, d->own, IMAGE_MANIFEST, 0);
	if (ret)
		return ret;
	while ((ret = image_get(r, &manifest_entry__descriptor, &m)) > 0) {
		ManifestEntry *e = (ManifestEntry *)m;

		if (!image_kind_covered(image_kind_of(e->name)) ||
		    (n && strcmp(list[n - 1]->name, e->name) >= 0)) {
			ret = fail(d->report, "image-manifest", EBADMSG,
				   "manifest: entry %zu names %.64s", n, e->name);
			break;
		}
		arena_push(d->own, list, n) = e;
	}
	image_close(&r);
	if (ret)
		return ret;
	d->listed = list ? list : arena_array(d->own, ManifestEntry *, 1);
	d->nr_listed = n;
	return 0;
}

/**
 * image_verify - is the directory a complete image, unchanged since its dump?
 * @d: the directory
 *
 * Without the fields of a manifest it is an image of CRIU: it is taken as it
 * is, which the log says. After success image_open() finds only what the
 * manifest lists.
 *
 * Return: 0; -errno, every mismatch recorded: image-altered, image-manifest,
 * image-no-inventory, image-version.
 */
int image_verify(struct image_dir *d)
{
	struct checking c = { .d = d };
	InventoryEntry *inv;
	struct arena *a;
	int ret = image_inventory(d, d->own, &inv);

	if (ret)
		return ret;
	if (!inv->has_manifest_hash && !inv->has_self_hash) {
		log_msg(d->report, "No manifest: the image is CRIU's and not checked for damage");
		return 0;
	}
	if (!inv->has_self_hash || !inv->has_manifest_hash || !inventory_intact(d, inv))
		return fail(d->report, "image-altered", EBADMSG,
			    "inventory.img: not the bytes that were dumped, from somewhere at "
			    "offset 0; if the edit was meant, run `criu-lite seal`");
	ret = load_manifest(d, inv);
	if (ret)
		return ret;
	a = arena_new();
	d->held = arena_array(d->own, uint8_t *, d->nr_listed);
	for (size_t i = 0; i < d->nr_listed; i++)
		plan_entry(&c, a, i);
	check_pieces(&c);
	arena_free(a);
	return atomic_load(&c.bad) ? -EBADMSG : 0;
}
