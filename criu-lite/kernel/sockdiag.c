/*
 * sockdiag - one dump of NETLINK_SOCK_DIAG, over libnl, kept for look-ups.
 */
#include "kernel/sockdiag.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "base/idmap.h"
#include "kernel/diagdump.h"

struct sockdiag {
	struct arena *arena;
	struct idmap by_ino;
	struct idmap waits_at; /* listening sockets, by who waits to be accepted */
	struct sockdiag_unix **list;
	size_t n;
};

static uint32_t attr_u32(struct nlattr *a)
{
	return a && nla_len(a) >= 4 ? nla_get_u32(a) : 0;
}

static int take_unix(struct nl_msg *msg, void *arg)
{
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct nlattr *tb[UNIX_DIAG_MAX + 1] = { 0 };
	struct sockdiag *sd = arg;
	struct unix_diag_msg *m;
	struct sockdiag_unix *u;

	if (!nlmsg_valid_hdr(h, sizeof(*m)) ||
	    nlmsg_parse(h, sizeof(*m), tb, UNIX_DIAG_MAX, NULL) < 0)
		return NL_SKIP;
	m = nlmsg_data(h);
	u = arena_new_of(sd->arena, struct sockdiag_unix);
	u->ino = m->udiag_ino;
	u->type = m->udiag_type;
	u->state = m->udiag_state;
	u->peer = attr_u32(tb[UNIX_DIAG_PEER]);
	if (tb[UNIX_DIAG_SHUTDOWN])
		u->shutdown = nla_get_u8(tb[UNIX_DIAG_SHUTDOWN]);
	if (tb[UNIX_DIAG_NAME]) {
		u->name_len = (size_t)nla_len(tb[UNIX_DIAG_NAME]);
		u->name = arena_memdup(sd->arena, nla_data(tb[UNIX_DIAG_NAME]), u->name_len);
	}
	if (tb[UNIX_DIAG_VFS] && nla_len(tb[UNIX_DIAG_VFS]) >= (int)sizeof(struct unix_diag_vfs)) {
		struct unix_diag_vfs *v = nla_data(tb[UNIX_DIAG_VFS]);

		u->vfs_dev = v->udiag_vfs_dev;
		u->vfs_ino = v->udiag_vfs_ino;
	}
	if (tb[UNIX_DIAG_RQLEN] &&
	    nla_len(tb[UNIX_DIAG_RQLEN]) >= (int)sizeof(struct unix_diag_rqlen)) {
		struct unix_diag_rqlen *q = nla_data(tb[UNIX_DIAG_RQLEN]);

		u->rqueue = q->udiag_rqueue;
		u->wqueue = q->udiag_wqueue;
	}
	if (tb[UNIX_DIAG_MEMINFO] &&
	    nla_len(tb[UNIX_DIAG_MEMINFO]) >= (int)((SK_MEMINFO_OPTMEM + 1) * sizeof(uint32_t))) {
		const uint32_t *mem = nla_data(tb[UNIX_DIAG_MEMINFO]);

		u->rcvbuf = mem[SK_MEMINFO_RCVBUF];
		u->sndbuf = mem[SK_MEMINFO_SNDBUF];
		u->optmem = mem[SK_MEMINFO_OPTMEM];
	}
	if (tb[UNIX_DIAG_ICONS]) {
		u->nr_waiting = (size_t)nla_len(tb[UNIX_DIAG_ICONS]) / sizeof(uint32_t);
		u->waiting = arena_memdup(sd->arena, nla_data(tb[UNIX_DIAG_ICONS]),
					  u->nr_waiting * sizeof(uint32_t));
		for (size_t i = 0; i < u->nr_waiting; i++)
			if (u->waiting[i])
				idmap_put(&sd->waits_at, u->waiting[i], u);
	}
	arena_push(sd->arena, sd->list, sd->n) = u;
	idmap_put(&sd->by_ino, u->ino, u);
	return NL_OK;
}

/**
 * sockdiag_open - ask for all sockets of our network namespace
 * @out: the answer
 *
 * Return: 0 or -errno of diag_dump().
 */
int sockdiag_open(struct sockdiag **out)
{
	struct unix_diag_req req = {
		.sdiag_family = AF_UNIX,
		.udiag_states = ~0u,
		.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_VFS | UDIAG_SHOW_PEER |
			      UDIAG_SHOW_RQLEN | UDIAG_SHOW_ICONS | UDIAG_SHOW_MEMINFO,
	};
	struct sockdiag *sd = calloc(1, sizeof(*sd));
	int ret;

	if (!sd)
		return -ENOMEM;
	sd->arena = arena_new();
	ret = diag_dump(&req, sizeof(req), take_unix, sd);
	if (ret)
		sockdiag_close(sd);
	else
		*out = sd;
	return ret;
}

/**
 * sockdiag_close - forget the answer
 * @sd: the answer, or NULL
 */
void sockdiag_close(struct sockdiag *sd)
{
	if (!sd)
		return;
	idmap_free(&sd->by_ino);
	idmap_free(&sd->waits_at);
	arena_free(sd->arena);
	free(sd);
}

/**
 * sockdiag_unix_by_ino - a Unix socket by its inode
 * @sd: the answer
 * @ino: inode of the socket
 *
 * Return: the socket, or NULL.
 */
const struct sockdiag_unix *sockdiag_unix_by_ino(const struct sockdiag *sd, uint32_t ino)
{
	return idmap_get(&sd->by_ino, ino);
}

/**
 * sockdiag_unix_waits_at - where a connection waits to be accepted
 * @sd: the answer
 * @client: inode of the end that connected
 *
 * Return: the listening socket, or NULL.
 */
const struct sockdiag_unix *sockdiag_unix_waits_at(const struct sockdiag *sd, uint32_t client)
{
	return idmap_get(&sd->waits_at, client);
}

/**
 * sockdiag_unix_by_node - who is bound to a node of a file system
 * @sd: the answer
 * @dev: its device, as the kernel counts them
 * @ino: its inode, not 0
 *
 * Return: a socket, or NULL.
 */
const struct sockdiag_unix *sockdiag_unix_by_node(const struct sockdiag *sd, uint32_t dev,
						  uint32_t ino)
{
	for (size_t i = 0; i < sd->n; i++)
		if (sd->list[i]->vfs_ino == ino && sd->list[i]->vfs_dev == dev)
			return sd->list[i];
	return NULL;
}

/**
 * sockdiag_unix_by_name - who has a name
 * @sd: the answer
 * @name: as in sun_path; abstract ones begin with a zero byte
 * @len: its bytes
 *
 * Return: a socket that listens or could be sent to, or NULL.
 */
const struct sockdiag_unix *sockdiag_unix_by_name(const struct sockdiag *sd, const void *name,
						  size_t len)
{
	for (size_t i = 0; i < sd->n; i++)
		if (sd->list[i]->name_len == len && !memcmp(sd->list[i]->name, name, len))
			return sd->list[i];
	return NULL;
}
