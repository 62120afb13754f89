/*
 * files_dgram - what is special about UDP, ICMP and raw sockets, for
 * restore/types/inetsk.c.
 */
#ifndef CL_RESTORE_FILES_DGRAM_H
#define CL_RESTORE_FILES_DGRAM_H

#include "proto/sk-inet.pb-c.h"
#include "restore/files.h"

int raw_options(struct file_desc *d, int fd, const InetSkEntry *e);
int mcast_join(struct file_desc *d, int fd, const InetSkEntry *e);

#endif
