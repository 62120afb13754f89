/*
 * smaps - the memory map of a process, with the flags that only
 * /proc/PID/smaps shows.
 */
#ifndef CL_KERNEL_SMAPS_H
#define CL_KERNEL_SMAPS_H

#include <stddef.h>
#include <stdint.h>

/* The two letters of VmFlags as bits. */
/* clang-format off */
#define SMAPS_FLAGS(F)                                                        \
	F(rd) F(wr) F(ex) F(sh) F(mr) F(mw) F(me) F(ms) F(gd) F(pf) F(lo) F(io) \
	F(sr) F(rr) F(dc) F(de) F(ac) F(nr) F(ht) F(sf) F(ar) F(wf) F(dd) F(sd) \
	F(mm) F(hg) F(nh) F(mg) F(um) F(uw) F(mt) F(ss) F(dp) F(sl) F(lf) F(ui) F(gu)

enum smaps_flag {
#define F(name) SMAPS_NR_##name,
	SMAPS_FLAGS(F)
#undef F
	SMAPS_NR_UNKNOWN
};
/* clang-format on */
#define SMAPS_FLAG(name) (1ull << SMAPS_NR_##name)
#define SMAPS_UNKNOWN (1ull << SMAPS_NR_UNKNOWN) /* a flag that we have no name for */

/* One mapping. */
struct smaps_vma {
	uint64_t start, end;
	uint64_t pgoff; /* bytes */
	uint32_t prot;  /* PROT_ */
	uint8_t shared; /* MAP_SHARED */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	uint64_t page_size;       /* the kernel's, bytes: more than a page for hugetlb */
	uint64_t rss, anon, swap; /* bytes */
	uint64_t flags;           /* SMAPS_FLAG() */
	const char *name;         /* inside the text; "" if it has none */
};

/* Called for each mapping in ascending order; non-zero ends the parse with that value. */
typedef int smaps_fn(void *arg, const struct smaps_vma *v);

int smaps_parse(char *text, smaps_fn *fn, void *arg);

#endif
