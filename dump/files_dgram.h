/*
 * files_dgram - what is special about UDP, ICMP and raw sockets, for
 * dump/types/inetsk.c.
 */
#ifndef CL_DUMP_FILES_DGRAM_H
#define CL_DUMP_FILES_DGRAM_H

#include <stdbool.h>

#include "dump/files.h"
#include "proto/sk-inet.pb-c.h"

int udp_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e, bool connected);
int raw_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e);
int inet_refuse(struct dump_ctx *ctx, const struct fd_info *fi, const InetSkEntry *e);
int mcast_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e);

#endif
