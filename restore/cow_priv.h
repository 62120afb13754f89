/*
 * cow_priv - what cow_plan.c finds out and cow.c does.
 */
#ifndef CL_RESTORE_COW_PRIV_H
#define CL_RESTORE_COW_PRIV_H

#include "restore/cow.h"

/* Pages that a task has when it is born, or gives to its children. */
struct cow_run {
	uint64_t start, end;
	bool born; /* the midwife has the same */
};

/* restore_task.cow */
struct cow_task {
	struct cow_range *kept;  /* by mapping, shared with the task: what stands of it */
	const struct vma **from; /* by mapping: the midwife's that it is taken from, or NULL */
	bool *wanted;            /* by mapping: children want pages of it */
	struct cow_run *runs;    /* ascending */
	size_t nr_runs;
};

static inline struct cow_task *cow_of(const struct pstree_item *it)
{
	return it ? it->restore->cow : NULL;
}

/* Where two mappings are both. */
static inline struct cow_range cow_common(const struct vma *a, const struct vma *b)
{
	const VmaEntry *x = a->e, *y = b->e;

	return (struct cow_range){ x->start > y->start ? x->start : y->start,
				   x->end < y->end ? x->end : y->end };
}

#endif
