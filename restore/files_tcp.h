/* files_tcp - TCP connections: made in repair mode, and let go when the tree is complete. */
#ifndef CL_RESTORE_FILES_TCP_H
#define CL_RESTORE_FILES_TCP_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "restore/files.h"

#include "proto/sk-inet.pb-c.h"

union inet_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

int tcp_prepare(struct pstree *t, struct file_desc *d);
int tcp_restore(struct file_desc *d, int fd, const InetSkEntry *e, const union inet_addr *src,
		const union inet_addr *dst, socklen_t len);

#endif
