/* files_tcp - TCP connections of the tree: held back, read, and let go or kept for the restore. */
#ifndef CL_DUMP_FILES_TCP_H
#define CL_DUMP_FILES_TCP_H

#include "dump/ctx.h"
#include "dump/tasks.h"
#include "kernel/net_undo.h"

/* One connection. */
struct tcp_sock {
	struct file_desc *d;
	struct net_undo_sock undo; /* with our descriptor */
};

struct dump_tcp {
	struct tcp_sock *socks;
	size_t n;
	bool *used; /* by rule of the command line */
	char *buf;  /* for a queue */
	size_t room;
	struct dump_hold hold; /* the tasks that have them */
	bool locked;           /* the table stands */
	bool kept;             /* and stays: the tree is being killed */
	struct net_undo journal;
};

int tcp_describe(struct dump_ctx *ctx, const struct fd_info *fi, struct InetSkEntry *e);
int tcp_decide(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);
int tcp_rules_check(struct dump_ctx *ctx);
bool tcp_urgent(int fd, const struct InetSkEntry *e);
void tcp_describe_shutdown(int fd, struct InetSkEntry *e);
const char *tcp_addr_text(struct dump_ctx *ctx, const struct InetSkEntry *e);

/* Stages of a dump. */
int tcp_hold(struct dump_ctx *ctx);
void tcp_kept(struct dump_ctx *ctx);
void tcp_let_go(struct dump_ctx *ctx);

#endif
