/* guardian - who takes out of the tasks what a killed tool has left there. */
#ifndef CL_DUMP_GUARDIAN_H
#define CL_DUMP_GUARDIAN_H

#include "dump/ctx.h"

struct net_undo;

#define GUARDIAN_NAME "criu-lite-guard" /* as /proc/PID/comm has it */

int dump_guardian_start(struct dump_ctx *ctx);
void dump_guardian_note(struct dump_ctx *ctx, pid_t pid);
void dump_guardian_name(struct dump_ctx *ctx, const char *path, dev_t dev, ino_t ino);
int dump_guardian_hold(struct dump_ctx *ctx, int fd, int level, int option, int value);
void dump_guardian_free(struct dump_ctx *ctx, int ticket);
int dump_guardian_sockets(struct dump_ctx *ctx, const struct net_undo *u);
void dump_guardian_released(struct dump_ctx *ctx);
void dump_guardian_image(struct dump_ctx *ctx);
void dump_guardian_kill(struct dump_ctx *ctx);
void dump_guardian_stop(struct dump_ctx *ctx);

#endif
