/*
 * tcp_repair - the state of a TCP connection, read and made by TCP_REPAIR.
 */
#ifndef CL_KERNEL_TCP_REPAIR_H
#define CL_KERNEL_TCP_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the kernel tells of a connection in repair mode; sequence numbers in host order. */
struct tcp_repair_state {
	uint8_t state;    /* TCP_ESTABLISHED, ... */
	uint8_t opt_mask; /* TCPI_OPT_ bits */
	uint8_t snd_wscale, rcv_wscale;
	uint32_t mss_clamp;
	uint32_t timestamp;          /* valid with TCPI_OPT_TIMESTAMPS */
	uint32_t inq_len, inq_seq;   /* bytes not read; the next number expected, a FIN counted */
	uint32_t outq_len, outq_seq; /* bytes not acknowledged, without a FIN; the next number to
					be queued, a FIN counted */
	uint32_t unsq_len;           /* of those, bytes never sent */
	bool has_window;
	uint32_t snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup;
};

enum tcp_queue { TCP_QUEUE_NONE, TCP_QUEUE_RECV, TCP_QUEUE_SEND };

int tcp_repair_on(int fd);
int tcp_repair_off(int fd, bool probe);
bool tcp_repair_is_on(int fd);
int tcp_repair_get(int fd, struct tcp_repair_state *s);
int tcp_repair_peek(int fd, enum tcp_queue q, void *buf, uint32_t len);
int tcp_repair_set_seq(int fd, enum tcp_queue q, uint32_t seq);
int tcp_repair_set_options(int fd, const struct tcp_repair_state *s);
int tcp_repair_set_mss(int fd);
int tcp_repair_set_window(int fd, const struct tcp_repair_state *s);
int tcp_repair_select(int fd, enum tcp_queue q);
int tcp_state_of(int fd);
bool tcp_fin_sent(uint32_t state);
bool tcp_fin_received(uint32_t state);

#endif
