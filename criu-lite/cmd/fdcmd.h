/*
 * fdcmd - what the parts of `criu-lite fd` share.
 */
#ifndef CL_CMD_FDCMD_H
#define CL_CMD_FDCMD_H

#include <stddef.h>

struct cmd;
struct fd_frame;
struct fd_item;

/* How long a peer may take for one frame, unless --timeout says otherwise. */
#define FDCMD_MS 10000

/* What is taken from others at most. */
#define FDCMD_FDS_MAX 100000
#define FDCMD_TEXT_MAX (1 << 20) /* bytes */

/* fd_socket.c */
int fdcmd_timeout(const struct cmd *c);
int fdcmd_socket(struct cmd *c, const char *where, int *sock);
int fdcmd_listen(struct cmd *c, const char *where, int *sock);

/* fd_pass.c, fd_hold.c: the commands; args[0] is the first word behind theirs. */
int fd_send(struct cmd *c, const char **args, size_t n);
int fd_recv(struct cmd *c, const char **args, size_t n);
int fd_hold(struct cmd *c, const char **args, size_t n);

/* fd_ask.c: questions to a holder. */
int fdcmd_ask(struct cmd *c, int sock, const char *word, const char **names, size_t n,
	      struct fd_frame *answer);
int fd_list(struct cmd *c, const char **args, size_t n);
int fd_drop(struct cmd *c, const char **args, size_t n);
int fd_wait(struct cmd *c, const char **args, size_t n);

/* fd_exec.c */
int fd_exec(struct cmd *c, const char **args, size_t n);
int fd_take_words(struct cmd *c, const char **args, size_t n);
int fdcmd_program(struct cmd *c, const struct fd_item *items, size_t n);

#endif
