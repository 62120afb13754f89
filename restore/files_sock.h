/*
 * files_sock - for the socket types of restore/types/.
 */
#ifndef CL_RESTORE_FILES_SOCK_H
#define CL_RESTORE_FILES_SOCK_H

#include <sys/socket.h>

#include "restore/files.h"
#include "proto/sk-opts.pb-c.h"

int sock_name(int (*call)(int, const struct sockaddr *, socklen_t), int fd,
	      const struct sockaddr *addr, socklen_t len);
int sock_restore_opts(struct file_desc *d, int fd, const SkOptsEntry *o);
int sock_restore_buffers(struct file_desc *d, int fd, const SkOptsEntry *o);
int sock_set(struct file_desc *d, int fd, int level, int name, uint32_t val, const char *what);

#endif
