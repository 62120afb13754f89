/*
 * packetsk - dump of packet sockets: binding, memberships, rings, fanout.
 * Packets that were not read yet are not kept, as on any busy network; what a
 * fanout group runs as its program cannot be read and is a blocker. The other
 * half is restore/types/packetsk.c.
 */
#include "dump/files_sock.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "kernel/packetdiag.h"
#include "proto/packet-sock.pb-c.h"

#define FANOUT_TYPE(v) ((v) >> 16 & 0xff)

static int packetsk_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	(void)ctx;
	return fi->domain == AF_PACKET;
}

static PacketRing *dump_ring(struct dump_ctx *ctx, const struct packet_diag_ring *r)
{
	PacketRing *out = arena_new_of(ctx->arena, PacketRing);

	packet_ring__init(out);
	out->block_size = r->pdr_block_size;
	out->block_nr = r->pdr_block_nr;
	out->frame_size = r->pdr_frame_size;
	out->frame_nr = r->pdr_frame_nr;
	out->retire_tmo = r->pdr_retire_tmo;
	out->sizeof_priv = r->pdr_sizeof_priv;
	out->features = r->pdr_features;
	return out;
}

/* One entry for each time that it was joined. */
static void dump_memberships(struct dump_ctx *ctx, PacketSockEntry *e, const struct packetdiag *p)
{
	for (size_t i = 0; i < p->nr_mclist; i++) {
		const struct packet_diag_mclist *m = &p->mclist[i];

		for (uint32_t n = 0; n < m->pdmc_count; n++) {
			PacketMclist *out = arena_new_of(ctx->arena, PacketMclist);

			packet_mclist__init(out);
			out->index = m->pdmc_index;
			out->type = m->pdmc_type;
			out->addr.len = m->pdmc_alen < sizeof(m->pdmc_addr) ? m->pdmc_alen
									    : sizeof(m->pdmc_addr);
			out->addr.data = arena_memdup(ctx->arena, m->pdmc_addr, out->addr.len);
			arena_push(ctx->arena, e->mclist, e->n_mclist) = out;
		}
	}
}

static int dump_diag(struct dump_ctx *ctx, const struct fd_info *fi, PacketSockEntry *e)
{
	struct packetdiag p;
	int ret = packetdiag_get(ctx->arena, e->ino, &p);

	if (ret)
		return file_blocker(ctx, fi, "sock-diag", -ret,
				    "NETLINK_SOCK_DIAG for packet sockets; is packet_diag there?");
	e->protocol = p.protocol;
	e->ifindex = p.info.pdi_index;
	e->version = p.info.pdi_version;
	e->reserve = p.info.pdi_reserve;
	e->copy_thresh = p.info.pdi_copy_thresh;
	e->timestamp = p.info.pdi_tstamp;
	e->aux_data = p.info.pdi_flags & PDI_AUXDATA;
	e->orig_dev = p.info.pdi_flags & PDI_ORIGDEV;
	e->vnet_hdr = p.info.pdi_flags & PDI_VNETHDR;
	e->loss = p.info.pdi_flags & PDI_LOSS;
	e->rx_ring = p.has_rx && p.rx.pdr_block_nr ? dump_ring(ctx, &p.rx) : NULL;
	e->tx_ring = p.has_tx && p.tx.pdr_block_nr ? dump_ring(ctx, &p.tx) : NULL;
	dump_memberships(ctx, e, &p);
	e->has_fanout = p.has_fanout;
	if (p.has_fanout)
		e->fanout = p.fanout;
	if (p.has_fanout && (FANOUT_TYPE(p.fanout) == PACKET_FANOUT_CBPF ||
			     FANOUT_TYPE(p.fanout) == PACKET_FANOUT_EBPF))
		return file_blocker(ctx, fi, "sock-filter", EOPNOTSUPP,
				    "its fanout group %u is led by a BPF program, which cannot be "
				    "read back",
				    p.fanout & 0xffff);
	return 0;
}

static int packetsk_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	PacketSockEntry *e = (PacketSockEntry *)d->msg;
	int ret = sock_check_net(ctx, fi), queued = 0;

	if (ret)
		return ret;
	e->has_ino = 1;
	e->ino = (uint32_t)fi->st.st_ino;
	file_see(ctx, FILE_KIND_packetsk, e->ino, d);
	sock_opt(fi->local, SOL_SOCKET, SO_TYPE, &e->type);
	ret = dump_diag(ctx, fi, e);
	if (!ret)
		ret = sock_dump_opts(ctx, fi, NULL, &e->opts);
	if (!ret && ioctl(fi->local, FIONREAD, &queued) == 0 && queued)
		log_warn(ctx->report, "pid %d fd %d: packets not read yet are lost", fi->task->pid,
			 fi->fd);
	return ret;
}

const struct file_dump_ops packetsk_dump_ops = {
	.probe = packetsk_probe,
	.dump = packetsk_dump,
};
