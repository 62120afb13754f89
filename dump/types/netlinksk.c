/*
 * netlinksk - dump of netlink sockets: protocol, port id, groups, peer. The
 * other half is restore/types/netlinksk.c.
 *
 * What the kernel has queued there is a blocker. Only the first message can be
 * looked at; and what anybody but the kernel sends carries the sender's port id,
 * by which programs tell it from the kernel's and throw it away. Nor can the
 * kernel be made to say that messages were lost (ENOBUFS): it says so only when
 * the queue is full, and the error goes with the first read that empties it.
 */
#include "dump/files_sock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "proto/sk-netlink.pb-c.h"

#define GROUPS_MAX 4096 /* bytes of the map of groups */

static int netlinksk_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	(void)ctx;
	return fi->domain == AF_NETLINK;
}

/* All groups, more than an address has bits for. */
static int dump_groups(struct dump_ctx *ctx, const struct fd_info *fi, NetlinkSkEntry *e)
{
	uint32_t *map = arena_alloc(ctx->arena, GROUPS_MAX);
	socklen_t len = GROUPS_MAX;

	if (getsockopt(fi->local, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, map, &len) < 0)
		return file_blocker(ctx, fi, "sock-name", errno, "NETLINK_LIST_MEMBERSHIPS");
	if (len > GROUPS_MAX)
		return file_blocker(ctx, fi, "sock-name", E2BIG, "%u groups", len * 8);
	e->groups = map;
	e->n_groups = len / sizeof(*map);
	while (e->n_groups && !map[e->n_groups - 1])
		e->n_groups--;
	return 0;
}

static int dump_names(struct dump_ctx *ctx, const struct fd_info *fi, NetlinkSkEntry *e)
{
	struct sockaddr_nl own = { 0 }, peer = { 0 };
	socklen_t len = sizeof(own);

	if (getsockname(fi->local, (struct sockaddr *)&own, &len) < 0)
		return file_blocker(ctx, fi, "sock-name", errno, "getsockname()");
	len = sizeof(peer);
	if (getpeername(fi->local, (struct sockaddr *)&peer, &len) < 0)
		return file_blocker(ctx, fi, "sock-name", errno, "getpeername()");
	e->portid = own.nl_pid;
	e->dst_portid = peer.nl_pid;
	e->dst_group = (uint32_t)__builtin_ffs((int)peer.nl_groups);
	e->state = e->dst_portid || e->dst_group ? TCP_ESTABLISHED : TCP_CLOSE;
	return dump_groups(ctx, fi, e);
}

static int check_queue(struct dump_ctx *ctx, const struct fd_info *fi, const NetlinkSkEntry *e)
{
	struct pollfd p = { .fd = fi->local, .events = POLLIN };

	/* A mere state has no use for it. */
	if (!ctx->images)
		return 0;
	/* Not even a peek: it would take an error away (ENOBUFS) that the program is to see. */
	if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLIN | POLLERR)))
		return 0;
	if (!ctx->opts->skip_in_flight)
		return file_blocker(
			ctx, fi, "netlink-queue", EBUSY,
			"messages of the kernel wait on its netlink socket (protocol %u, "
			"port %u), which nobody can put back there; let it read them, or "
			"--skip-in-flight loses them",
			e->protocol, e->portid);
	log_warn(ctx->report,
		 "pid %d fd %d: messages of the kernel that wait on a netlink socket "
		 "(protocol %u, port %u) are lost: --skip-in-flight",
		 fi->task->pid, fi->fd, e->protocol, e->portid);
	return 0;
}

static int netlinksk_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	NetlinkSkEntry *e = (NetlinkSkEntry *)d->msg;
	int ret = sock_check_net(ctx, fi);

	if (ret)
		return ret;
	e->ino = (uint32_t)fi->st.st_ino;
	sock_opt(fi->local, SOL_SOCKET, SO_PROTOCOL, &e->protocol);
	e->has_type = sock_opt(fi->local, SOL_SOCKET, SO_TYPE, &e->type);
	ret = dump_names(ctx, fi, e);
	if (ret)
		return ret;
	ret = check_queue(ctx, fi, e);
	return ret ? ret : sock_dump_opts(ctx, fi, NULL, &e->opts);
}

const struct file_dump_ops netlinksk_dump_ops = {
	.probe = netlinksk_probe,
	.dump = netlinksk_dump,
};
