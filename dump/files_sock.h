/*
 * files_sock - for the socket types of dump/types/.
 */
#ifndef CL_DUMP_FILES_SOCK_H
#define CL_DUMP_FILES_SOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "dump/files.h"
#include "kernel/sockdiag.h"
#include "proto/sk-opts.pb-c.h"

/* The options of a Unix socket: files_sockval.c. */
#define SOCK_VALUE_NAMES 96 /* of SOL_SOCKET */
#define SOCK_VALUES 26
struct sock_values {
	struct sock_value {
		uint16_t err; /* what getsockopt(2) said, positive */
		uint16_t len;
		uint8_t val[16];
	} of[SOCK_VALUES];
};
bool sock_values_reuseport(void);
void sock_values_read(int fd, bool reuseport, struct sock_values *v);
int sock_get(const struct fd_info *fi, int level, int name, void *val, socklen_t *len);

bool sock_opt(int fd, int level, int name, uint32_t *val);
int sock_dump_opts(struct dump_ctx *ctx, const struct fd_info *fi, const struct sockdiag_unix *u,
		   SkOptsEntry **out);
int sock_check_net(struct dump_ctx *ctx, const struct fd_info *fi);
void sock_holder(uint64_t ino, char *out, size_t size);
const struct sockdiag *sock_diag_get(struct dump_ctx *ctx);

#endif
