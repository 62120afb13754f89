/*
 * pagemap - which pages of another process have content of their own.
 */
#ifndef CL_KERNEL_PAGEMAP_H
#define CL_KERNEL_PAGEMAP_H

#include <stdint.h>

/* A range of pages that are alike. */
struct pagemap_range {
	uint64_t start, end; /* bytes */
	uint64_t guard;      /* non-zero: guard pages, without content */
};

/* Called in ascending order; non-zero ends the scan with that value. */
typedef int pagemap_fn(void *arg, const struct pagemap_range *r);

int pagemap_open(int proc_fd);
int pagemap_scan(int pagemap_fd, uint64_t start, uint64_t end, pagemap_fn *fn, void *arg);

#endif
