/* uffd - large anonymous mappings filled without the kernel clearing pages first. */
#ifndef CL_RESTORE_UFFD_H
#define CL_RESTORE_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "restore/ctx.h"

void uffd_open(struct restore_ctx *ctx, struct pstree_item *it);
bool uffd_has(const struct pstree_item *it, const struct vma *v);
int uffd_copy(int fd, uint64_t to, const void *from, size_t len);
void uffd_close(struct restore_ctx *ctx, struct pstree_item *it);

#endif
