/*
 * packetsk - restore of packet sockets. The socket is made deaf, without a
 * protocol; what has to stand before a ring is there comes first, then
 * memberships and rings, and as the last things binding and fanout. The other
 * half is dump/types/packetsk.c.
 */
#include "restore/files_sock.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "proto/packet-sock.pb-c.h"

#define NO_FANOUT 0xffffffffu /* in images that have the field always */
#define FANOUT_UNIQUE                                                               \
	((uint32_t)PACKET_FANOUT_FLAG_UNIQUEID << 16) /* asks for an id; we have it \
						       */

/* struct packet_mreq with room for the longest address. */
struct mreq {
	int ifindex;
	unsigned short type, alen;
	unsigned char address[32];
};

static int set(struct file_desc *d, int fd, int name, uint32_t val, const char *what)
{
	return val ? sock_set(d, fd, SOL_PACKET, name, val, what) : 0;
}

static int set_options(struct file_desc *d, int fd, const PacketSockEntry *e)
{
	if (set(d, fd, PACKET_VERSION, e->version, "PACKET_VERSION") < 0 ||
	    set(d, fd, PACKET_RESERVE, e->reserve, "PACKET_RESERVE") < 0 ||
	    set(d, fd, PACKET_AUXDATA, e->aux_data, "PACKET_AUXDATA") < 0 ||
	    set(d, fd, PACKET_ORIGDEV, e->orig_dev, "PACKET_ORIGDEV") < 0 ||
	    set(d, fd, PACKET_VNET_HDR, e->vnet_hdr, "PACKET_VNET_HDR") < 0 ||
	    set(d, fd, PACKET_LOSS, e->loss, "PACKET_LOSS") < 0 ||
	    set(d, fd, PACKET_TIMESTAMP, e->timestamp, "PACKET_TIMESTAMP") < 0 ||
	    set(d, fd, PACKET_COPY_THRESH, e->copy_thresh, "PACKET_COPY_THRESH") < 0)
		return -1;
	return 0;
}

static int join(struct file_desc *d, int fd, const PacketMclist *m)
{
	struct mreq r = { .ifindex = (int)m->index, .type = (unsigned short)m->type };

	if (m->addr.len > sizeof(r.address))
		return file_fail(d, EBADMSG, "a membership of %zu bytes", m->addr.len);
	r.alen = (unsigned short)m->addr.len;
	if (m->addr.len)
		memcpy(r.address, m->addr.data, m->addr.len);
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &r, sizeof(r)) < 0)
		return file_fail(d, errno, "membership of type %u on interface %u", m->type,
				 m->index);
	return 0;
}

static int make_ring(struct file_desc *d, int fd, int name, const PacketRing *r)
{
	struct tpacket_req3 q;

	if (!r)
		return 0;
	q = (struct tpacket_req3){ r->block_size, r->block_nr,    r->frame_size, r->frame_nr,
				   r->retire_tmo, r->sizeof_priv, r->features };
	if (setsockopt(fd, SOL_PACKET, name, &q, sizeof(q)) < 0)
		return file_fail(d, errno, "a ring of %u blocks of %u bytes", r->block_nr,
				 r->block_size);
	return 0;
}

/* The oldest kind is bound by name. */
static int bind_old(struct file_desc *d, int fd, const PacketSockEntry *e)
{
	struct sockaddr a = { .sa_family = AF_PACKET };
	char name[IF_NAMESIZE] = "";

	if (!e->ifindex)
		return 0;
	if (!if_indextoname(e->ifindex, name))
		return file_fail(d, errno, "interface %u", e->ifindex);
	if (strlen(name) >= sizeof(a.sa_data))
		return file_fail(d, ENAMETOOLONG, "bind to interface %s", name);
	memcpy(a.sa_data, name, strlen(name) + 1);
	if (bind(fd, &a, sizeof(a)) < 0)
		return file_fail(d, errno, "bind to interface %s", name);
	return 0;
}

static int packetsk_bind(struct file_desc *d, int fd, const PacketSockEntry *e)
{
	struct sockaddr_ll a = { .sll_family = AF_PACKET,
				 .sll_protocol = (uint16_t)e->protocol,
				 .sll_ifindex = (int)e->ifindex };

	if (e->type == SOCK_PACKET)
		return bind_old(d, fd, e);
	if (!a.sll_protocol && !a.sll_ifindex)
		return 0;
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return file_fail(d, errno, "bind to interface %u, protocol %#x", e->ifindex,
				 e->protocol);
	return 0;
}

static int packetsk_open(struct file_desc *d, int *new_fd)
{
	const PacketSockEntry *e = file_desc_entry(d);
	/* The oldest kind can be told its protocol here only. */
	int protocol = e->type == SOCK_PACKET ? (int)e->protocol : 0;
	cleanup_close int fd = socket(AF_PACKET, (int)(e->type & 0xf) | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return file_fail(d, errno, "socket()");
	if (set_options(d, fd, e) < 0 || sock_restore_opts(d, fd, e->opts) < 0)
		return -1;
	for (size_t i = 0; i < e->n_mclist; i++)
		if (join(d, fd, e->mclist[i]) < 0)
			return -1;
	if (make_ring(d, fd, PACKET_RX_RING, e->rx_ring) < 0 ||
	    make_ring(d, fd, PACKET_TX_RING, e->tx_ring) < 0 || packetsk_bind(d, fd, e) < 0)
		return -1;
	if (e->has_fanout && e->fanout != NO_FANOUT &&
	    sock_set(d, fd, SOL_PACKET, PACKET_FANOUT, e->fanout & ~FANOUT_UNIQUE,
		     "PACKET_FANOUT") < 0)
		return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static bool packetsk_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const PacketSockEntry *e = file_desc_entry(d);

	(void)t;
	snprintf(buf, size, "socket:[%u]", e->ino);
	return e->has_ino;
}

const struct file_desc_ops packetsk_desc_ops = { .open = packetsk_open, .key = packetsk_key };
