/* guardian - who takes out of the tasks what a killed tool has left there. */
#ifndef CL_DUMP_GUARDIAN_H
#define CL_DUMP_GUARDIAN_H

#include "dump/ctx.h"

#define GUARDIAN_NAME "criu-lite-guard" /* as /proc/PID/comm has it */

int dump_guardian_start(struct dump_ctx *ctx);
void dump_guardian_note(struct dump_ctx *ctx, pid_t pid);
void dump_guardian_name(struct dump_ctx *ctx, const char *path, dev_t dev, ino_t ino);
int dump_guardian_hold(struct dump_ctx *ctx, int fd, int level, int option, int value);
void dump_guardian_free(struct dump_ctx *ctx, int ticket);
void dump_guardian_stop(struct dump_ctx *ctx);

#endif
