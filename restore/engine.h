/*
 * engine - the state machine that restores every file of a tree.
 *
 * A type's ops->open() runs for the master of each file, in the master's
 * process, until it says 0. As soon as the descriptor exists the engine puts
 * it at its number and gives it to everybody else who has it. Stages move
 * forward only, and only here. The table of a task is restored by its first
 * user (filedesc.owner).
 *
 * While files are restored every planned number of a table holds a
 * placeholder, so whatever a type opens for itself is never in the way.
 */
#ifndef CL_RESTORE_ENGINE_H
#define CL_RESTORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/file_desc.h"

struct pstree;
struct pstree_item;
struct restore_ctx;

/* For the stages of a restore, in this order. */
void engine_bind_types(struct pstree *t);
void engine_bind_type(struct file_desc *d);
int engine_plan(struct restore_ctx *ctx);
size_t engine_count(const struct restore_ctx *ctx);
void engine_service(struct restore_ctx *ctx, int *fd);
int engine_services_up(struct restore_ctx *ctx);
int engine_run(struct restore_ctx *ctx, struct pstree_item *me);
void engine_left(struct restore_ctx *ctx, const struct filedesc *fdt);
int engine_open_now(struct restore_ctx *ctx, struct file_desc *d);
int engine_aside(const struct pstree_item *me, int fd);
void engine_finish(struct restore_ctx *ctx, struct pstree_item *me);
int engine_close_rest(struct restore_ctx *ctx, struct pstree_item *me, const int *keep, size_t n);
void engine_free(struct restore_ctx *ctx);

/* For ops->prepare(): who needs what. */
struct fdinfo_list_entry *engine_need(struct pstree *t, struct file_desc *d,
				      struct pstree_item *who);
void engine_force_master(struct fdinfo_list_entry *fle);

/* For ops->open(). */
struct restore_ctx *engine_ctx(const struct pstree *t);
struct pstree_item *engine_here(const struct pstree *t);
struct pstree_item *engine_master(const struct file_desc *d);
bool file_stage_reached(struct file_desc *d, enum fle_stage stage);
int file_fd(const struct file_desc *d);
int table_pidfd(const struct filedesc *fdt);
int table_fetch(const struct filedesc *fdt, int fd);
void engine_progress(struct pstree *t);

#endif
