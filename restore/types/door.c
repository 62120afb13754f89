/*
 * door - restore of a descriptor of a door: its ticket, opened. The descriptor
 * is given at once, since calls under way have it; the first of a ticket whose
 * server is in the tree is complete when the server listens and the ticket has
 * its names. Who calls before the server's threads run waits in the listener.
 * The other half is dump/types/door.c.
 */
#include "restore/files_door.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/fd.h"
#include "proto/sk-unix.pb-c.h"

static struct door_priv *priv(const struct file_desc *d)
{
	return file_desc_priv(d);
}

static int bad(struct file_desc *d, const char *what)
{
	file_fail(d, EBADMSG, "%s", what);
	return -EBADMSG;
}

static int read_names(struct file_desc *d, struct door_ticket *t)
{
	const DoorTicketEntry *k = t->e->ticket;
	static const char none[] = "0000000000000000";

	snprintf(t->name.root, sizeof(t->name.root), "%s", t->e->store);
	snprintf(t->name.server, sizeof(t->name.server), "%s", k ? k->server : none);
	if (!door_name_is_good(&t->name) || strcmp(t->name.root, t->e->store) != 0 ||
	    (k && strcmp(t->name.server, k->server) != 0))
		return bad(d, "its names are not those of a door");
	if (!k)
		return 0;
	t->name.number = k->number;
	t->name.id = k->door_id;
	t->name.attributes = k->attributes;
	t->name.desc_max = k->desc_max;
	t->name.data_max = k->data_max;
	t->name.data_min = k->data_min;
	if (!k->has_listener)
		return 0;
	t->listener = file_desc_find(d->tree, k->listener);
	if (!t->listener || t->listener->kind != FILE_KIND_unixsk ||
	    ((const UnixSkEntry *)file_desc_entry(t->listener))->state != TCP_LISTEN)
		return bad(d, "its server's listener is not in the image");
	/* Of one that does not come back nobody would serve it. */
	if (list_empty(&t->listener->fles))
		t->listener = NULL;
	return 0;
}

/* Memory for what is made, shared with all processes. */
static int share_made(struct pstree *t)
{
	struct restore_files *f = restore_files(t);
	struct file_desc *d;
	void *at;

	list_for_each(d, &t->files.descs, list)
		f->tickets_made_size += d->kind == FILE_KIND_door ? sizeof(struct ticket_made) : 0;
	at = mmap(NULL, f->tickets_made_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		  -1, 0);
	if (at == MAP_FAILED)
		return fail(t->report, "no-memory", errno, "memory shared for doors");
	f->tickets_made = at;
	return 0;
}

static int add_ticket(struct pstree *t, struct file_desc *d, struct door_ticket **out)
{
	struct restore_files *f = restore_files(t);
	struct door_ticket *k;
	int ret = f->tickets_made ? 0 : share_made(t);

	if (ret)
		return ret;
	k = arena_new_of(t->arena, struct door_ticket);
	*k = (struct door_ticket){
		.d = d, .e = file_desc_entry(d), .fd = -1, .state = TICKET_DEAD, .next = f->tickets
	};
	k->made = f->tickets ? f->tickets->made + 1 : f->tickets_made;
	*out = f->tickets = k;
	return 0;
}

static int door_prepare(struct pstree *t, struct file_desc *d)
{
	const DoorEntry *e = file_desc_entry(d);
	const uint64_t key = XXH3_64bits_withSeed(e->store, strlen(e->store), e->ino);
	struct door_ticket *k = rfile_seen(t, FILE_KIND_door, key);
	int ret = k ? 0 : add_ticket(t, d, &k);

	if (ret)
		return ret;
	priv(d)->t = k;
	if (k->d != d)
		return 0;
	rfile_see(t, FILE_KIND_door, key, k);
	ret = read_names(d, k);
	return ret || !e->ticket ? ret : door_check_ticket(k);
}

static int door_check(struct pstree *t, struct file_desc *d)
{
	struct door_ticket *k = priv(d)->t;
	int worst = 0;

	(void)t;
	for (size_t i = 0; k->d == d && k->listener && i < k->e->ticket->n_attached; i++) {
		int ret = door_check_place(k, k->e->ticket->attached[i]);

		worst = ret < 0 ? ret : worst;
	}
	return worst;
}

/* By the path it was opened by, if that leads there now. */
static int open_ticket(const struct file_desc *d, const struct door_ticket *k)
{
	const DoorEntry *e = file_desc_entry(d);
	const int flags = (int)(e->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC | O_ASYNC |
						       (O_TMPFILE & ~O_DIRECTORY) | O_NOFOLLOW));
	char path[DOOR_PATH_MAX];
	struct stat want, st;
	const char *name = path;

	door_ticket_path(k, path);
	if (e->name && stat(path, &want) == 0 && stat(e->name, &st) == 0 &&
	    want.st_ino == st.st_ino && want.st_dev == st.st_dev)
		name = e->name;
	return open(name, flags | O_CLOEXEC);
}

static int give(struct file_desc *d, int *new_fd)
{
	const DoorEntry *e = file_desc_entry(d);
	const struct door_ticket *k = priv(d)->t;
	cleanup_close int fd = -1;

	if (k->state == TICKET_DEAD && k->fd < 0)
		return file_fail(d, ENXIO, "its door is gone");
	fd = open_ticket(d, k);
	if (fd < 0)
		return file_fail(d, errno, "open its ticket with flags %#o", e->flags);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	priv(d)->given = true;
	*new_fd = take_fd(&fd);
	return 0;
}

static int door_open(struct file_desc *d, int *new_fd)
{
	struct door_ticket *k = priv(d)->t;

	if (!priv(d)->given && give(d, new_fd) < 0)
		return -1;
	if (k->d != d || !k->listener)
		return 0;
	if (!file_stage_reached(k->listener, FLE_RESTORED))
		return 1;
	return door_put_names(k);
}

const struct file_desc_ops door_desc_ops = {
	.open = door_open,
	.prepare = door_prepare,
	.check = door_check,
	.priv_size = sizeof(struct door_priv),
};
