/*
 * cpuinfo - what the processor is able to do, as cpuinfo.img has it.
 */
#ifndef CL_KERNEL_CPUINFO_H
#define CL_KERNEL_CPUINFO_H

#include <stdint.h>

enum cpu_vendor { CPU_UNKNOWN, CPU_INTEL, CPU_AMD };

#define CPU_WORDS 19       /* capability words */
#define CPU_WORDS_LAYOUT 2 /* which of their layouts: CRIU's capability_ver */

struct cpu_info {
	enum cpu_vendor vendor;
	uint32_t family, model, stepping;
	uint32_t words[CPU_WORDS];
	char name[49];
	uint64_t xfeatures;             /* components of the XSAVE area */
	uint32_t xsave_size, xsave_max; /* bytes: of those that are enabled, of all */
};

/* A capability that programs make use of. */
struct cpu_capability {
	unsigned char word, bit;
	const char *name;
};

extern const struct cpu_capability cpu_capabilities[];
extern const unsigned int cpu_capabilities_nr;

void cpu_info(struct cpu_info *c);

#endif
