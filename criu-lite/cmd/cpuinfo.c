/*
 * cpuinfo - the subcommand: write down what this processor can do, or look
 * whether it can do all that another one could. A program finds out once what
 * it may use, and goes on to use it wherever it is restored.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "image/image.h"
#include "kernel/cpuinfo.h"

#include "proto/cpuinfo.pb-c.h"

#define LOG "cpuinfo.log"

static int write_image(struct image_dir *d, const struct cpu_info *c)
{
	CpuinfoX86Entry x = CPUINFO_X86_ENTRY__INIT, *one = &x;
	CpuinfoEntry e = CPUINFO_ENTRY__INIT;
	struct image_writer *w = NULL;
	int ret = image_create(&w, d, IMAGE_CPUINFO, 0), end;

	if (ret < 0)
		return ret;
	x.vendor_id = (CpuinfoX86Entry__Vendor)c->vendor;
	x.cpu_family = c->family;
	x.model = c->model;
	x.stepping = c->stepping;
	x.capability_ver = CPU_WORDS_LAYOUT;
	x.capability = (uint32_t *)c->words;
	x.n_capability = CPU_WORDS;
	x.model_id = (char *)c->name;
	x.has_xfeatures_mask = x.has_xsave_size = x.has_xsave_size_max = 1;
	x.xfeatures_mask = c->xfeatures;
	x.xsave_size = c->xsave_size;
	x.xsave_size_max = c->xsave_max;
	e.x86_entry = &one;
	e.n_x86_entry = 1;
	ret = image_put(w, &e.base);
	end = image_finish(&w);
	return ret < 0 ? ret : end;
}

/* Every capability that is missing, by its name in /proc/cpuinfo. */
static int check_words(struct cmd *c, const CpuinfoX86Entry *x, const struct cpu_info *here)
{
	char list[512] = "";
	size_t len = 0;

	if (x->capability_ver != CPU_WORDS_LAYOUT)
		return fail(c->r, "cpu-lacks", 0,
			    "cpuinfo.img: capability words of layout %u, this version knows %d",
			    x->capability_ver, CPU_WORDS_LAYOUT);
	for (unsigned int i = 0; i < cpu_capabilities_nr; i++) {
		const struct cpu_capability *k = &cpu_capabilities[i];

		if (k->word >= x->n_capability || !(x->capability[k->word] >> k->bit & 1) ||
		    here->words[k->word] >> k->bit & 1)
			continue;
		if (len < sizeof(list))
			len += (size_t)snprintf(list + len, sizeof(list) - len, " %s", k->name);
	}
	return len ? fail(c->r, "cpu-lacks", 0, "this processor (%s) lacks:%s", here->name, list)
		   : 0;
}

static int check_entry(struct cmd *c, const CpuinfoX86Entry *x, const struct cpu_info *here)
{
	uint64_t parts = x->has_xfeatures_mask ? x->xfeatures_mask & ~here->xfeatures : 0;
	int ret;

	if ((int)x->vendor_id != (int)here->vendor)
		return fail(c->r, "cpu-lacks", 0,
			    "the image is of another maker's processor (%s) than this one (%s)",
			    x->model_id ? x->model_id : "?", here->name);
	ret = check_words(c, x, here);
	/* SSE is not in what is kept of this processor. */
	parts &= ~UINT64_C(2);
	if (parts)
		ret = fail(c->r, "cpu-lacks", 0,
			   "this processor (%s) lacks parts %#llx of the XSAVE area", here->name,
			   (unsigned long long)parts);
	if (x->has_xsave_size && x->xsave_size > here->xsave_max)
		ret = fail(c->r, "cpu-lacks", 0,
			   "an XSAVE area of %u bytes, of which this processor has %u",
			   x->xsave_size, here->xsave_max);
	return ret;
}

static int check_image(struct cmd *c, struct image_dir *d, const struct cpu_info *here)
{
	struct image_reader *r = NULL;
	ProtobufCMessage *m = NULL;
	const CpuinfoEntry *e;
	int ret = image_open(&r, d, IMAGE_CPUINFO, 0), end;

	if (ret == -ENOENT)
		return fail(c->r, "image-read", ENOENT, "cpuinfo.img");
	if (ret < 0)
		return ret;
	ret = image_get(r, &cpuinfo_entry__descriptor, &m);
	end = image_close(&r);
	if (ret < 0 || end < 0)
		return ret < 0 ? ret : end;
	e = (const CpuinfoEntry *)m;
	if (!ret || !e->n_x86_entry)
		return fail(c->r, "cpu-lacks", 0, "cpuinfo.img has no x86 processor");
	/* This one is to do what any of them could. */
	for (size_t i = 0; i < e->n_x86_entry; i++)
		ret = check_entry(c, e->x86_entry[i], here) < 0 ? -EOPNOTSUPP : ret;
	return ret < 0 ? ret : 0;
}

/**
 * cmd_cpuinfo - `criu-lite cpuinfo dump|check`
 * @c: the run
 *
 * Return: 0, or -errno, recorded.
 */
int cmd_cpuinfo(struct cmd *c)
{
	const char *what = c->o->args[0];
	bool dump = !strcmp(what, "dump");
	struct image_dir *d = NULL;
	struct cpu_info here;
	int ret;

	if (!dump && strcmp(what, "check") != 0)
		return fail(c->r, "command-arguments", 0, "cpuinfo %s: dump or check", what);
	ret = session_open(c, LOG);
	if (ret < 0)
		return ret;
	cpu_info(&here);
	ret = image_dir_open(&d, c->images_fd, c->r, c->o->arena);
	if (ret < 0)
		return ret;
	ret = dump ? write_image(d, &here) : check_image(c, d, &here);
	image_dir_close(d);
	return ret;
}
