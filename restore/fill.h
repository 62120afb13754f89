/* fill - pages from the images into memory, several workers at a time. */
#ifndef CL_RESTORE_FILL_H
#define CL_RESTORE_FILL_H

struct restore_ctx;
struct shmem;

int fill_tree(struct restore_ctx *ctx);
int fill_huge(struct restore_ctx *ctx, const struct shmem *s, int from);

#endif
