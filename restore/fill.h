/* fill - pages from the images into memory, several workers at a time. */
#ifndef CL_RESTORE_FILL_H
#define CL_RESTORE_FILL_H

struct restore_ctx;

int fill_tree(struct restore_ctx *ctx);

#endif
