/*
 * files_tcp - TCP sockets: which of them are connections, and what the user
 * wants done with each. The time in which they are held back is tcp_hold.c.
 */
#include "dump/files_tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "dump/files_sock.h"
#include "kernel/tcpdiag.h"
#include "model/tcp_conn.h"

#define SETTLE_MS 1000

static struct dump_tcp *tcp_of(struct dump_ctx *ctx)
{
	if (!ctx->tcp) {
		ctx->tcp = arena_new_of(ctx->arena, struct dump_tcp);
		ctx->tcp->used = arena_array(ctx->arena, bool, ctx->opts->nr_tcp_rules + 1);
	}
	return ctx->tcp;
}

/**
 * tcp_describe_shutdown - what shutdown(2) or the peer has done
 * @fd: the socket
 * @e: its message, with its state; a closed socket does not tell the directions apart
 */
void tcp_describe_shutdown(int fd, InetSkEntry *e)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };
	uint32_t how = 0;

	if (poll(&p, 1, 0) > 0 && p.revents & POLLRDHUP)
		how = e->state == TCP_CLOSE ? SK_SHUTDOWN__BOTH : SK_SHUTDOWN__READ;
	if (tcp_fin_sent(e->state))
		how |= SK_SHUTDOWN__WRITE;
	if (!how)
		return;
	e->has_shutdown = 1;
	e->shutdown = (SkShutdown)how;
	/* An error that the program has not fetched yet: only fetching it would tell which. */
	if (e->state == TCP_CLOSE && p.revents & POLLERR)
		e->has_reset = e->reset = 1;
}

/*
 * What waits to be accepted has no descriptor, and so no queue that could be
 * read; and once we had accepted it, it could not be given back to a tree that
 * goes on.
 */
static int not_accepted(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t n, uint32_t port)
{
	/* A mere state has no use for it. */
	if (!ctx->images)
		return 0;
	if (!ctx->opts->skip_in_flight)
		return file_blocker(ctx, fi, "tcp-in-flight", EBUSY,
				    "%u connections wait to be accepted on port %u; "
				    "--skip-in-flight loses them",
				    n, port);
	log_warn(ctx->report,
		 "pid %d fd %d: %u connections that wait to be accepted on port %u "
		 "are lost: --skip-in-flight",
		 fi->task->pid, fi->fd, n, port);
	return 0;
}

/**
 * tcp_describe - what is special about a TCP socket
 * @ctx: the dump
 * @fi: the socket
 * @e: its message, with addresses
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int tcp_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	char ulp[16] = "";

	if (getsockopt(fi->local, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return file_blocker(ctx, fi, "sock-name", errno, "TCP_INFO");
	len = sizeof(ulp);
	if (getsockopt(fi->local, IPPROTO_TCP, TCP_ULP, ulp, &len) == 0 && len && ulp[0])
		return file_blocker(ctx, fi, "tcp-ulp", EOPNOTSUPP,
				    "a TCP socket on which the kernel speaks '%.15s' itself", ulp);
	e->state = info.tcpi_state;
	if (e->state == TCP_LISTEN) {
		e->backlog = info.tcpi_sacked;
		return info.tcpi_unacked ? not_accepted(ctx, fi, info.tcpi_unacked, e->src_port)
					 : 0;
	}
	tcp_describe_shutdown(fi->local, e);
	return 0;
}

/**
 * tcp_addr_text - the two ends of a connection, for people
 * @ctx: the dump
 * @e: the socket's message
 *
 * Return: the text, of the dump's arena.
 */
const char *tcp_addr_text(struct dump_ctx *ctx, const InetSkEntry *e)
{
	struct tcp_tuple t;
	char src[INET6_ADDRSTRLEN] = "", dst[INET6_ADDRSTRLEN] = "";
	const int family = (tcp_tuple_of(e, &t), t.v6 ? AF_INET6 : AF_INET);

	inet_ntop(family, t.src, src, sizeof(src));
	inet_ntop(family, t.dst, dst, sizeof(dst));
	return arena_printf(ctx->arena, t.v6 ? "[%s]:%u to [%s]:%u" : "%s:%u to %s:%u", src,
			    t.sport, dst, t.dport);
}

static enum tcp_policy policy_of(struct dump_ctx *ctx, const struct file_desc *d)
{
	const struct dump_opts *o = ctx->opts;
	const struct tcp_rule *r = tcp_rule_find(o->tcp_rules, o->nr_tcp_rules, d);
	const InetSkEntry *e = file_desc_entry(d);

	if (r)
		tcp_of(ctx)->used[r - o->tcp_rules] = true;
	if (r)
		return r->policy;
	if (o->tcp_close ||
	    (o->skip_in_flight && (e->state == TCP_SYN_SENT || e->state == TCP_SYN_RECV)))
		return TCP_CLOSED;
	/* What has ended concerns no peer. */
	return o->tcp_established || e->state == TCP_CLOSE ? TCP_REPAIRED : TCP_REFUSE;
}

static int refuse(struct dump_ctx *ctx, const struct file_desc *d, const struct fd_info *fi)
{
	const struct dump_opts *o = ctx->opts;
	const InetSkEntry *e = file_desc_entry(d);

	if (tcp_rule_find(o->tcp_rules, o->nr_tcp_rules, d))
		return file_blocker(ctx, fi, "tcp-policy", EOPNOTSUPP,
				    "a TCP connection, %s, and --tcp %d:%d=fail",
				    tcp_addr_text(ctx, e), fi->task->pid, fi->fd);
	return file_blocker(ctx, fi, "tcp-established", EOPNOTSUPP,
			    "a TCP connection, %s; --tcp-established takes connections along, "
			    "--tcp-close lets them come back closed, --tcp %d:%d=repair or =close "
			    "does so for this one",
			    tcp_addr_text(ctx, e), fi->task->pid, fi->fd);
}

/**
 * tcp_urgent - is there an urgent byte (MSG_OOB), or the mark it has left?
 * @fd: a connection
 * @e: its message
 *
 * SIOCINQ and a look at the queue end there, and no call sets the mark.
 *
 * Return: true if so.
 */
bool tcp_urgent(int fd, const InetSkEntry *e)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };
	int mark = 0, inq = 0;
	uint32_t unread = 0;
	struct tcp_tuple t;

	if (poll(&p, 1, 0) > 0 && p.revents & POLLPRI)
		return true;
	if ((ioctl(fd, SIOCATMARK, &mark) == 0 && mark) || ioctl(fd, SIOCINQ, &inq) < 0 || !inq)
		return mark;
	/* The byte has been read, and what was before it has not. More may come any time. */
	tcp_tuple_of(e, &t);
	return tcpdiag_unread(&t, (int)e->family, &unread) == 0 && ioctl(fd, SIOCINQ, &inq) == 0 &&
	       (int64_t)unread - inq > 1;
}

/* Thousands of connections are thousands of descriptors of ours. */
static int own_dup(int fd)
{
	struct rlimit lim;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy >= 0 || errno != EMFILE || getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return copy;
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* The guardian of a run that died may be at it right now. */
static bool settled(int fd)
{
	for (int ms = 0; tcp_repair_is_on(fd); ms++) {
		if (ms == SETTLE_MS)
			return false;
		usleep(1000);
	}
	return true;
}

/**
 * tcp_decide - what becomes of a connection, once all its descriptors are known
 * @ctx: the dump
 * @d: a TCP socket
 * @fi: where it was found; open
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int tcp_decide(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	InetSkEntry *e = (InetSkEntry *)d->msg;
	enum tcp_policy policy;
	struct dump_tcp *t;
	struct tcp_sock *s;
	int fd;

	/* A mere state has no use for it. */
	if (!ctx->images || !tcp_has_stream(e))
		return 0;
	policy = policy_of(ctx, d);
	if (policy == TCP_REFUSE)
		return refuse(ctx, d, fi);
	if (policy == TCP_CLOSED) {
		tcp_make_closed(e);
		return 0;
	}
	if (e->state == TCP_SYN_RECV)
		return file_blocker(ctx, fi, "tcp-in-flight", EBUSY,
				    "a TCP connection that is being opened, %s; --skip-in-flight "
				    "loses it",
				    tcp_addr_text(ctx, e));
	if (!settled(fi->local))
		return file_blocker(ctx, fi, "tcp-repair", EBUSY,
				    "a TCP connection, %s, which somebody else has in repair mode",
				    tcp_addr_text(ctx, e));
	if (tcp_urgent(fi->local, e))
		return file_blocker(ctx, fi, "tcp-urgent", EOPNOTSUPP,
				    "a TCP connection, %s, with an urgent byte (MSG_OOB) in what "
				    "has not been read, which cannot be put back there; let the "
				    "program read up to it",
				    tcp_addr_text(ctx, e));
	fd = own_dup(fi->local);
	if (fd < 0)
		return file_blocker(ctx, fi, "fd-limit", errno, "a descriptor of our own for it");
	t = tcp_of(ctx);
	arena_push(ctx->arena, t->socks, t->n) = (struct tcp_sock){ .d = d };
	s = &t->socks[t->n - 1];
	s->undo = (struct net_undo_sock){
		.fd = fd, .ino = e->ino, .pid = fi->task->pid, .num = fi->fd
	};
	net_undo_remember(&s->undo);
	return 0;
}

/**
 * tcp_rules_check - does every rule of the command line have its socket?
 * @ctx: the dump; every file is known
 *
 * Return: 0 or -errno, recorded.
 */
int tcp_rules_check(struct dump_ctx *ctx)
{
	const struct dump_opts *o = ctx->opts;
	int ret = 0;

	for (size_t i = 0; i < o->nr_tcp_rules; i++)
		if (!tcp_of(ctx)->used[i])
			ret = fail(ctx->report, "tcp-rule", ENOENT,
				   "--tcp %d:%d: process %d has no TCP connection there",
				   o->tcp_rules[i].pid, o->tcp_rules[i].fd, o->tcp_rules[i].pid);
	return ret;
}
