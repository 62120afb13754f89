/*
 * addr - addresses of sockets as they are written on the command line:
 * 127.0.0.1:80, [::1]:80, /a/path, @an-abstract-name.
 */
#ifndef CL_CMD_ADDR_H
#define CL_CMD_ADDR_H

#include <stddef.h>
#include <sys/socket.h>

int addr_parse(const char *text, struct sockaddr_storage *sa, socklen_t *len);
void addr_print(const struct sockaddr_storage *sa, socklen_t len, char *out, size_t size);

#endif
