/*
 * test_state_differences - two models that differ in one thing have snapshots
 * that differ in one line.
 */
#include "state_fixture.h"

static void mut_comm(struct pstree *t)
{
	process(t)->comm = arena_strdup(t->arena, "other");
}

static void mut_pgid(struct pstree *t)
{
	task(t, 102)->pgid = 102;
}

static void mut_alive(struct pstree *t)
{
	task(t, 101)->state = TASK_ALIVE;
}

static void mut_exit(struct pstree *t)
{
	item_core(task(t, 102))->tc->exit_code = 9;
}

static void mut_mask(struct pstree *t)
{
	thread(t)->has_blk_sigset = 1;
	thread(t)->blk_sigset = 0x200;
}

static void mut_register(struct pstree *t)
{
	task(t, 100)->threads[1].core->thread_info->gpregs->bx = 1;
}

static void mut_fpu(struct pstree *t)
{
	task(t, 100)->threads[0].core->thread_info->fpregs->xmm_space[7] = 1;
}

static void mut_uid(struct pstree *t)
{
	thread(t)->creds->euid = 33;
}

static void mut_nice(struct pstree *t)
{
	thread(t)->has_sched_nice = 1;
	thread(t)->sched_nice = -3;
}

static void mut_altstack(struct pstree *t)
{
	thread(t)->sas = arena_new_of(t->arena, ThreadSasEntry);
	thread_sas_entry__init(thread(t)->sas);
	thread(t)->sas->ss_sp = 0x402000;
	thread(t)->sas->ss_size = 4096;
}

static void mut_action(struct pstree *t)
{
	SaEntry *sa = arena_new_of(t->arena, SaEntry);

	sa_entry__init(sa);
	sa->sigaction = SIGINT; /* any address */
	process(t)->sigactions[SIGTERM - 2] = sa;
}

static void mut_limit(struct pstree *t)
{
	TaskRlimitsEntry *e = process(t)->rlimits;

	e->n_rlimits = 1;
	e->rlimits = arena_array(t->arena, RlimitEntry *, 1);
	e->rlimits[0] = arena_new_of(t->arena, RlimitEntry);
	rlimit_entry__init(e->rlimits[0]);
	e->rlimits[0]->cur = 5;
	e->rlimits[0]->max = UINT64_MAX;
}

static void mut_umask(struct pstree *t)
{
	task(t, 100)->fs->has_umask = 1;
	task(t, 100)->fs->umask = 077;
}

static void mut_brk(struct pstree *t)
{
	task(t, 100)->mm->mm_brk = 0x1000;
}

static void mut_prot(struct pstree *t)
{
	task(t, 101)->vmas[1].e->prot |= PROT_WRITE;
}

static void mut_content(struct pstree *t)
{
	static const char page[PAGE] = "x";

	memhash_vma(&task(t, 101)->vmas[1], NULL, 0x402000, page, 1);
}

static void mut_cloexec(struct pstree *t)
{
	slot(t, 1)->fdflags = FD_CLOEXEC;
}

static void mut_counter(struct pstree *t)
{
	((EventfdFileEntry *)slot(t, 700)->desc->msg)->counter++;
}

static void mut_other_pipe(struct pstree *t)
{
	((PipeEntry *)slot(t, 1)->desc->msg)->pipe_id = 6;
}

static void mut_more_fds(struct pstree *t)
{
	/* Held only while files are restored: not there. */
	ck_assert_ptr_nonnull(fle_new(slot(t, 700)->desc, task(t, 100)->fdt, 701, 0));
	slot(t, 701)->fake = true;
	ck_assert_ptr_nonnull(fle_new(add_eventfd(t, 0), task(t, 100)->fdt, 702, 0));
}

static void mut_subreaper(struct pstree *t)
{
	process(t)->has_child_subreaper = process(t)->child_subreaper = 1;
}

static void mut_shared_fs(struct pstree *t)
{
	task(t, 100)->ids->fs_id = task(t, 101)->ids->fs_id = 5;
}

static void mut_posix_timer(struct pstree *t)
{
	TaskTimersEntry *e = process(t)->timers;

	e->n_posix = 1;
	e->posix = arena_array(t->arena, PosixTimerEntry *, 1);
	e->posix[0] = arena_new_of(t->arena, PosixTimerEntry);
	posix_timer_entry__init(e->posix[0]);
}

static const struct mutation {
	void (*apply)(struct pstree *t);
	const char *line; /* how it begins */
} mutations[] = {
	{ mut_comm, "tasks[100].comm: fixture != other" },
	{ mut_pgid, "tasks[102].pgid: 100 != 102" },
	{ mut_alive, "tasks[101].state: stopped != alive" },
	{ mut_exit, "tasks[102].exit_code: 0 != 9" },
	{ mut_mask, "tasks[100].threads[103].sigmask: 0 != 0x200" },
	{ mut_register, "tasks[100].threads[103].registers.bx: 0 != 0x1" },
	{ mut_fpu, "tasks[100].threads[100].fpu.xmm_space: none != xxh3:" },
	{ mut_uid, "tasks[100].threads[103].creds.euid: 0 != 33" },
	{ mut_nice, "tasks[100].threads[103].nice: none != -3" },
	{ mut_altstack, "tasks[100].threads[103].altstack: none != {\"ss_sp\":\"0x402000\"" },
	{ mut_action, "tasks[100].sigactions: none != {\"SIGTERM\":" },
	{ mut_pending, "tasks[100].threads[103].pending: none != [{\"signal\":\"SIGUSR1\"" },
	{ mut_limit, "tasks[100].limits: none != {\"cpu\":\"5:unlimited\"}" },
	{ mut_umask, "tasks[100].umask: 000 != 077" },
	{ mut_brk, "tasks[100].mm.brk: 0-0 != 0-0x1000" },
	{ mut_prot, "tasks[101].vmas[402000-406000].prot: r--p != rw-p" },
	{ mut_content, "tasks[101].vmas[402000-406000].content: none != 1 pages xxh3:" },
	{ mut_shared_content, "shared_memory[100@7f0000000000]: none != 1 pages xxh3:" },
	{ mut_cloexec, "tasks[100].fds[1].cloexec: none != true" },
	{ mut_counter, "tasks[100].fds[700].file.counter: 78187493520 != 78187493521" },
	{ mut_other_pipe, "tasks[100].fds[1].file.pipe_id: 100/0 != 100/1" },
	{ mut_more_fds, "tasks[100].fds[702]: none != {\"kind\":\"eventfd\"" },
	{ mut_subreaper, "tasks[100].subreaper: none != true" },
	{ mut_shared_fs, "tasks[101].shares.fs: none != 100" },
	{ mut_posix_timer, "tasks[100].timers: none != {\"posix\":{\"0\":" },
	{ mut_lost_alarm, "tasks[100].timers: none != {\"real\":{\"remaining_s\":60}}" },
};

START_TEST(one_difference)
{
	struct pstree *a = tree_make(report), *b = tree_make(report);

	mutations[_i].apply(b);
	compare(state_of(a), state_of(b));
	ck_assert_msg(ndiff == 1, "%zu lines instead of one:\n%s", ndiff, text);
	ck_assert_msg(!strncmp(text, mutations[_i].line, strlen(mutations[_i].line)),
		      "got: %sinstead of: %s", text, mutations[_i].line);
	pstree_free(a);
	pstree_free(b);
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("differences");

	tcase_add_loop_test(tc, one_difference, 0, sizeof(mutations) / sizeof(*mutations));
	return state_tests(tc);
}
