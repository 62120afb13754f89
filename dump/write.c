/*
 * write - the images of the tree, when its tasks need not stand still for
 * them any more.
 */
#include "dump/vmas.h"

#include "image/image.h"

static int write_seccomp(struct dump_ctx *ctx)
{
	struct image_writer *w;
	int ret = image_create(&w, ctx->images, IMAGE_SECCOMP, 0), end;

	if (ret)
		return ret;
	ret = image_put(w, &ctx->seccomp->base);
	end = image_finish(&w);
	return ret ? ret : end;
}

/**
 * dump_write - all images but pages, those of single file types and the inventory
 * @ctx: the dump
 *
 * Return: 0 or -errno recorded.
 */
int dump_write(struct dump_ctx *ctx)
{
	int ret = ctx->seccomp ? write_seccomp(ctx) : 0;

	if (!ret)
		ret = sysv_write(ctx);
	return ret ? ret : image_save_tree(ctx->images, ctx->tree);
}
