/*
 * cpuinfo - see cpuinfo.h. Each word is a register of a CPUID leaf (AMD's and
 * Intel's manuals, CPUID), in the places that Linux gives them; words that are
 * Linux's own, or are about the supervisor alone, stay 0.
 */
#include "kernel/cpuinfo.h"

#include <cpuid.h>
#include <string.h>

enum reg { EAX, EBX, ECX, EDX };

/* Where a word comes from. */
static const struct {
	uint32_t leaf, sub;
	enum reg reg;
	unsigned int word;
} sources[] = {
	{ 1, 0, EDX, 0 },           { 0x80000001, 0, EDX, 1 },  { 1, 0, ECX, 4 },
	{ 0x80000001, 0, ECX, 6 },  { 7, 0, EBX, 9 },           { 13, 1, EAX, 10 },
	{ 7, 0, ECX, 11 },          { 0x80000008, 0, EBX, 13 }, { 6, 0, EAX, 14 },
	{ 0x8000000a, 0, EDX, 15 }, { 0x80000007, 0, EBX, 17 }, { 7, 0, EDX, 18 },
};

/* Of every processor with 64 bits: REP_GOOD, NOPL, CPUID as Linux names them. */
#define WORD_LINUX 3
#define WORD_LINUX_BITS (1u << 16 | 1u << 20 | 1u << 25)

/* CRIU leaves SSE out, which no processor with 64 bits lacks. */
#define XFEATURE_SSE 2u

const struct cpu_capability cpu_capabilities[] = {
	{ 0, 0, "fpu" },
	{ 0, 4, "tsc" },
	{ 0, 8, "cx8" },
	{ 0, 15, "cmov" },
	{ 0, 19, "clflush" },
	{ 0, 23, "mmx" },
	{ 0, 24, "fxsr" },
	{ 0, 25, "sse" },
	{ 0, 26, "sse2" },
	{ 1, 11, "syscall" },
	{ 1, 22, "mmxext" },
	{ 1, 25, "fxsr_opt" },
	{ 1, 27, "rdtscp" },
	{ 1, 29, "lm" },
	{ 1, 30, "3dnowext" },
	{ 1, 31, "3dnow" },
	{ 4, 0, "pni" },
	{ 4, 1, "pclmulqdq" },
	{ 4, 9, "ssse3" },
	{ 4, 12, "fma" },
	{ 4, 13, "cx16" },
	{ 4, 19, "sse4_1" },
	{ 4, 20, "sse4_2" },
	{ 4, 22, "movbe" },
	{ 4, 23, "popcnt" },
	{ 4, 25, "aes" },
	{ 4, 26, "xsave" },
	{ 4, 27, "osxsave" },
	{ 4, 28, "avx" },
	{ 4, 29, "f16c" },
	{ 4, 30, "rdrand" },
	{ 6, 0, "lahf_lm" },
	{ 6, 5, "abm" },
	{ 6, 6, "sse4a" },
	{ 6, 7, "misalignsse" },
	{ 6, 8, "3dnowprefetch" },
	{ 6, 11, "xop" },
	{ 6, 16, "fma4" },
	{ 6, 21, "tbm" },
	{ 9, 0, "fsgsbase" },
	{ 9, 3, "bmi1" },
	{ 9, 4, "hle" },
	{ 9, 5, "avx2" },
	{ 9, 8, "bmi2" },
	{ 9, 9, "erms" },
	{ 9, 11, "rtm" },
	{ 9, 14, "mpx" },
	{ 9, 16, "avx512f" },
	{ 9, 17, "avx512dq" },
	{ 9, 18, "rdseed" },
	{ 9, 19, "adx" },
	{ 9, 21, "avx512ifma" },
	{ 9, 23, "clflushopt" },
	{ 9, 24, "clwb" },
	{ 9, 26, "avx512pf" },
	{ 9, 27, "avx512er" },
	{ 9, 28, "avx512cd" },
	{ 9, 29, "sha_ni" },
	{ 9, 30, "avx512bw" },
	{ 9, 31, "avx512vl" },
	{ 10, 0, "xsaveopt" },
	{ 10, 1, "xsavec" },
	{ 10, 2, "xgetbv1" },
	{ 11, 1, "avx512vbmi" },
	{ 11, 3, "pku" },
	{ 11, 4, "ospke" },
	{ 11, 6, "avx512_vbmi2" },
	{ 11, 8, "gfni" },
	{ 11, 9, "vaes" },
	{ 11, 10, "vpclmulqdq" },
	{ 11, 11, "avx512_vnni" },
	{ 11, 12, "avx512_bitalg" },
	{ 11, 14, "avx512_vpopcntdq" },
	{ 11, 22, "rdpid" },
	{ 11, 27, "movdiri" },
	{ 11, 28, "movdir64b" },
	{ 13, 0, "clzero" },
	{ 13, 2, "xsaveerptr" },
	{ 18, 2, "avx512_4vnniw" },
	{ 18, 3, "avx512_4fmaps" },
	{ 18, 4, "fsrm" },
	{ 18, 8, "avx512_vp2intersect" },
	{ 18, 14, "serialize" },
	{ 18, 22, "amx_bf16" },
	{ 18, 23, "avx512_fp16" },
	{ 18, 24, "amx_tile" },
	{ 18, 25, "amx_int8" },
};
const unsigned int cpu_capabilities_nr = sizeof(cpu_capabilities) / sizeof(*cpu_capabilities);

/* Zeroes where the processor has no such leaf. */
static void leaf(uint32_t nr, uint32_t sub, uint32_t out[4])
{
	memset(out, 0, 4 * sizeof(*out));
	__get_cpuid_count(nr, sub, &out[EAX], &out[EBX], &out[ECX], &out[EDX]);
}

static void signature(struct cpu_info *c)
{
	uint32_t r[4], id;
	char vendor[13] = "";

	leaf(0, 0, r);
	memcpy(vendor, &r[EBX], 4);
	memcpy(vendor + 4, &r[EDX], 4);
	memcpy(vendor + 8, &r[ECX], 4);
	c->vendor = !strcmp(vendor, "GenuineIntel")   ? CPU_INTEL
		    : !strcmp(vendor, "AuthenticAMD") ? CPU_AMD
						      : CPU_UNKNOWN;
	leaf(1, 0, r);
	id = r[EAX];
	c->family = id >> 8 & 0xf;
	c->model = id >> 4 & 0xf;
	c->stepping = id & 0xf;
	if (c->family >= 6)
		c->model |= (id >> 16 & 0xf) << 4;
	if (c->family == 0xf)
		c->family += id >> 20 & 0xff;
}

static void brand(struct cpu_info *c)
{
	uint32_t r[4];
	size_t blanks;

	for (uint32_t i = 0; i < 3; i++) {
		leaf(0x80000002 + i, 0, r);
		memcpy(c->name + (size_t)16 * i, r, sizeof(r));
	}
	blanks = strspn(c->name, " ");
	memmove(c->name, c->name + blanks, sizeof(c->name) - blanks);
	for (size_t n = strlen(c->name); n && c->name[n - 1] == ' ';)
		c->name[--n] = '\0';
}

/**
 * cpu_info - ask the processor
 * @c: gets what it is and can do
 */
void cpu_info(struct cpu_info *c)
{
	uint32_t r[4];

	memset(c, 0, sizeof(*c));
	signature(c);
	brand(c);
	for (size_t i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
		leaf(sources[i].leaf, sources[i].sub, r);
		c->words[sources[i].word] = r[sources[i].reg];
	}
	c->words[WORD_LINUX] = WORD_LINUX_BITS;
	leaf(13, 0, r);
	c->xfeatures = (r[EAX] | (uint64_t)r[EDX] << 32) & ~(uint64_t)XFEATURE_SSE;
	c->xsave_size = r[EBX];
	c->xsave_max = r[ECX];
}
