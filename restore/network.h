/* network - connections held back while they are made, and let go with the tree. */
#ifndef CL_RESTORE_NETWORK_H
#define CL_RESTORE_NETWORK_H

#include "restore/ctx.h"

int network_plan(struct restore_ctx *ctx);
int network_lock(struct restore_ctx *ctx);
bool network_needed(const struct restore_ctx *ctx);
int network_hold(struct restore_ctx *ctx);
void network_asked(struct restore_ctx *ctx);
void network_unlock(struct restore_ctx *ctx);
int network_settle(struct restore_ctx *ctx);
void network_thaw(struct restore_ctx *ctx);
void network_freeze(struct restore_ctx *ctx);
void network_release(struct restore_ctx *ctx);
void network_rescue(struct restore_ctx *ctx);

#endif
