/*
 * sockopt - the socket options that are state of a socket and that the image
 * format has no field of its own for.
 */
#ifndef CL_KERNEL_SOCKOPT_H
#define CL_KERNEL_SOCKOPT_H

#include <stddef.h>
#include <stdint.h>

#define SOCKOPT_MAX 512 /* bytes of a value; longer ones are none that can be kept */

struct sockopt_row {
	uint16_t level, name;
	uint8_t families; /* SOCKOPT_ bits */
};

#define SOCKOPT_INET 1
#define SOCKOPT_INET6 2
#define SOCKOPT_UNIX 4
#define SOCKOPT_DGRAM 128 /* means nothing on a stream, and cannot be set there */
#define SOCKOPT_NETLINK 8
#define SOCKOPT_PACKET 16

extern const struct sockopt_row sockopt_rows[];
extern const size_t nr_sockopt_rows;

const struct sockopt_row *sockopt_find(uint32_t level, uint32_t name);
uint8_t sockopt_family(int domain);

#endif
