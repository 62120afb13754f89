/*
 * files_mcast - which multicast groups a socket has joined. The kernel lists
 * the groups of each interface; of a socket it tells the sources of a group, or
 * that it is no member: so each group of the lists is asked for.
 */
#include "dump/files_dgram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dump/files_sock.h"

#define SOURCES_MAX 256

/* A group on an interface of our network namespace. */
struct group {
	struct group *next;
	uint32_t ifindex;
	struct sockaddr_storage addr;
};

static void add_group(struct dump_ctx *ctx, int family, uint32_t ifindex, const char *hex)
{
	struct group *g = arena_new_of(ctx->arena, struct group);
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&g->addr;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&g->addr;

	*g = (struct group){ .ifindex = ifindex };
	g->addr.ss_family = (sa_family_t)family;
	if (family == AF_INET)
		v4->sin_addr.s_addr = (in_addr_t)strtoul(hex, NULL, 16);
	for (size_t i = 0; family == AF_INET6 && i < 16; i++)
		sscanf(hex + 2 * i, "%2hhx", &v6->sin6_addr.s6_addr[i]);
	g->next = ctx->files->groups[family == AF_INET6];
	ctx->files->groups[family == AF_INET6] = g;
}

/* "1 lo : 1 V3", then a line "  010000E0  1 0:00000000 0" for each group. */
static void read_v4(struct dump_ctx *ctx)
{
	FILE *f = fopen("/proc/net/igmp", "re");
	char line[256], hex[16];
	unsigned ifindex = 0, n;

	while (f && fgets(line, sizeof(line), f)) {
		if (line[0] != '\t' && sscanf(line, "%u", &n) == 1)
			ifindex = n;
		else if (ifindex && sscanf(line, " %8[0-9A-F] ", hex) == 1)
			add_group(ctx, AF_INET, ifindex, hex);
	}
	if (f)
		fclose(f);
}

/* "1    lo    ff020000000000000000000000000001     1 0000000C 0" */
static void read_v6(struct dump_ctx *ctx)
{
	FILE *f = fopen("/proc/net/igmp6", "re");
	char line[256], hex[40];
	unsigned ifindex;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%u %*s %32[0-9a-f]", &ifindex, hex) == 2 && strlen(hex) == 32)
			add_group(ctx, AF_INET6, ifindex, hex);
	if (f)
		fclose(f);
}

static void ask(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e,
		const struct group *g, struct group_filter *q)
{
	socklen_t len = GROUP_FILTER_SIZE(SOURCES_MAX);
	InetMcastEntry *m;

	memset(q, 0, GROUP_FILTER_SIZE(0));
	q->gf_interface = g->ifindex;
	q->gf_group = g->addr;
	q->gf_numsrc = SOURCES_MAX;
	if (getsockopt(fi->local, e->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP, MCAST_MSFILTER,
		       q, &len) < 0 ||
	    q->gf_numsrc > SOURCES_MAX)
		return;
	m = arena_new_of(ctx->arena, InetMcastEntry);
	inet_mcast_entry__init(m);
	m->ifindex = g->ifindex;
	m->mode = q->gf_fmode;
	m->group.len = sizeof(struct sockaddr_in6);
	m->group.data = arena_memdup(ctx->arena, &g->addr, m->group.len);
	for (uint32_t i = 0; i < q->gf_numsrc; i++) {
		ProtobufCBinaryData src = { sizeof(struct sockaddr_in6), NULL };

		src.data = arena_memdup(ctx->arena, &q->gf_slist[i], src.len);
		arena_push(ctx->arena, m->source, m->n_source) = src;
	}
	arena_push(ctx->arena, e->mcast, e->n_mcast) = m;
}

/* Set by index alone it reads as if it were not set, which only users of multicast do. */
static void warn_interface(struct dump_ctx *ctx, const struct fd_info *fi, const InetSkEntry *e)
{
	uint32_t addr = 0, ttl = 1, loop = 1;

	if (e->family == AF_INET && sock_opt(fi->local, IPPROTO_IP, IP_MULTICAST_IF, &addr) &&
	    !addr && sock_opt(fi->local, IPPROTO_IP, IP_MULTICAST_TTL, &ttl) &&
	    sock_opt(fi->local, IPPROTO_IP, IP_MULTICAST_LOOP, &loop) &&
	    (e->n_mcast || ttl != 1 || loop != 1))
		log_warn(ctx->report,
			 "pid %d fd %d: uses multicast; if IP_MULTICAST_IF was set by index "
			 "alone, which cannot be read, it is lost",
			 fi->task->pid, fi->fd);
}

/**
 * mcast_describe - the groups that a socket has joined
 * @ctx: the dump
 * @fi: the socket, not one of a stream
 * @e: its message
 *
 * Return: 0.
 */
int mcast_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e)
{
	struct group_filter *q = calloc(1, GROUP_FILTER_SIZE(SOURCES_MAX));

	if (!ctx->files->groups_known) {
		ctx->files->groups_known = true;
		read_v4(ctx);
		read_v6(ctx);
	}
	for (const struct group *g = ctx->files->groups[e->family == AF_INET6]; g && q; g = g->next)
		ask(ctx, fi, e, g, q);
	free(q);
	warn_interface(ctx, fi, e);
	return 0;
}
