/*
 * nftbatch - messages to nf_tables over netlink. Only the kernel/nft*.c files
 * include this.
 */
#ifndef CL_KERNEL_NFTBATCH_H
#define CL_KERNEL_NFTBATCH_H

#include <stddef.h>
#include <stdint.h>

struct nl_msg;
struct nlattr;
struct nlmsghdr;

/* Messages of one transaction, one after the other. All zero is an empty one. */
struct nft_batch {
	uint8_t *buf;
	size_t len, room;
	uint32_t seq;   /* of the last message */
	uint8_t family; /* NFPROTO_; 0 is NFPROTO_INET */
};

void nft_batch_begin(struct nft_batch *b);
struct nl_msg *nft_msg(struct nft_batch *b, int type, int flags);
void nft_batch_add(struct nft_batch *b, struct nl_msg *m);
int nft_batch_send(struct nft_batch *b, struct nl_msg *last);
int nft_ask(struct nft_batch *b, struct nl_msg *m, void (*each)(void *arg, struct nlmsghdr *h),
	    void *arg);

void nft_put(struct nl_msg *m, int attr, const void *data, size_t len);
void nft_put_str(struct nl_msg *m, int attr, const char *s);
void nft_put_be(struct nl_msg *m, int attr, uint32_t v);
struct nlattr *nft_nest(struct nl_msg *m, int attr);

#endif
