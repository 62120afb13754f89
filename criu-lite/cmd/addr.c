/*
 * addr - addresses of sockets, from words and to words. Numbers only: a look-up
 * of names could take for ever.
 */
#include "cmd/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int parse_unix(const char *text, struct sockaddr_storage *sa, socklen_t *len)
{
	struct sockaddr_un *un = (struct sockaddr_un *)sa;
	size_t n = strlen(text);

	if (!text[1] || n >= sizeof(un->sun_path))
		return -ENAMETOOLONG;
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, text, n);
	if (text[0] == '@')
		un->sun_path[0] = '\0';
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (text[0] != '@'));
	return 0;
}

static int parse_port(const char *text, in_port_t *port)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	n = strtoul(text, &end, 10);
	if (*end || n > 65535)
		return -EINVAL;
	*port = htons((uint16_t)n);
	return 0;
}

/**
 * addr_parse - an address from a word
 * @text: the word
 * @sa: gets the address
 * @len: gets its length
 *
 * Return: 0; -EINVAL for what is no address; -ENAMETOOLONG for a path or name
 * that is empty or has more than 107 bytes.
 */
int addr_parse(const char *text, struct sockaddr_storage *sa, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)sa;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)sa;
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];

	memset(sa, 0, sizeof(*sa));
	if (strchr(text, '/') || text[0] == '@')
		return parse_unix(text, sa, len);
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return -EINVAL;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		v6->sin6_family = AF_INET6;
		*len = sizeof(*v6);
		return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1
			       ? parse_port(colon + 1, &v6->sin6_port)
			       : -EINVAL;
	}
	v4->sin_family = AF_INET;
	*len = sizeof(*v4);
	return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? parse_port(colon + 1, &v4->sin_port)
							    : -EINVAL;
}

static void print_unix(const struct sockaddr_un *un, socklen_t len, char *out, size_t size)
{
	int n = (int)(len - offsetof(struct sockaddr_un, sun_path));

	if (n <= 0)
		snprintf(out, size, "-");
	else if (!un->sun_path[0])
		snprintf(out, size, "@%.*s", n - 1, un->sun_path + 1);
	else
		snprintf(out, size, "%.*s", n, un->sun_path);
}

/**
 * addr_print - an address as a word
 * @sa: the address
 * @len: its length, as getsockname(2) says
 * @out: gets the word; "-" for one without a name or of another family
 * @size: its room in bytes
 */
void addr_print(const struct sockaddr_storage *sa, socklen_t len, char *out, size_t size)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;
	char host[INET6_ADDRSTRLEN];

	if (sa->ss_family == AF_UNIX)
		print_unix((const void *)sa, len, out, size);
	else if (sa->ss_family == AF_INET && inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host)))
		snprintf(out, size, "%s:%u", host, ntohs(v4->sin_port));
	else if (sa->ss_family == AF_INET6 &&
		 inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host)))
		snprintf(out, size, "[%s]:%u", host, ntohs(v6->sin6_port));
	else
		snprintf(out, size, "-");
}
