/*
 * test_state - two models that differ in one thing have snapshots that differ
 * in one line; models of the same tree with other ids have equal ones.
 */
#include "../image/fixture.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>

#include "model/memhash.h"
#include "model/state.h"

#include "proto/eventpoll.pb-c.h"

static struct report *report;
static char *text;
static size_t ndiff;

static void setup(void)
{
	report = quiet();
}

static void teardown(void)
{
	free(text);
	text = NULL;
	report_free(report);
}

static struct json_object *state_of(struct pstree *t)
{
	struct json_object *o = NULL;

	ck_assert_int_eq(state_json(t, &o), 0);
	return o;
}

/* Compares and frees both; lines are in text. */
static size_t compare(struct json_object *a, struct json_object *b)
{
	size_t len;
	FILE *f;

	free(text);
	f = open_memstream(&text, &len);
	ck_assert_int_eq(state_diff(a, b, f, &ndiff), 0);
	fclose(f);
	json_object_put(a);
	json_object_put(b);
	return ndiff;
}

static struct pstree_item *task(struct pstree *t, pid_t pid)
{
	struct pstree_item *it = pstree_find(t, pid);

	ck_assert_ptr_nonnull(it);
	return it;
}

static struct fdinfo_list_entry *slot(struct pstree *t, int fd)
{
	struct fdinfo_list_entry *fle;

	list_for_each(fle, &task(t, 100)->fdt->fles, in_table)
		if (fle->fd == fd)
			return fle;
	ck_abort();
}

static TaskCoreEntry *process(struct pstree *t)
{
	return item_core(task(t, 100))->tc;
}

static ThreadCoreEntry *thread(struct pstree *t)
{
	return task(t, 100)->threads[1].core->thread_core;
}

/* A tree as tree_make() has it, with other ids, tasks and tables added in another order. */
static struct pstree *make_renumbered(void)
{
	struct pstree *t = pstree_new(report);
	struct filedesc *fdt = filedesc_new(&t->files, 1024);
	struct file_desc *exe, *in, *out, *ev;
	struct pstree_item *root;

	t->files.last_id = 5000;
	ev = add_eventfd(t, 0x1234567890ull);
	out = add_pipe(t, 9, O_WRONLY);
	exe = add_reg(t, "/bin/fixture");
	in = add_pipe(t, 9, O_RDONLY);
	fdt->id = 40;
	root = add_task(t, NULL, 100, TASK_ALIVE, fdt, exe);
	add_thread(t, root, 103, TASK_ALIVE);
	add_task(t, root, 102, TASK_DEAD, NULL, NULL);
	add_task(t, root, 101, TASK_STOPPED, fdshare(fdt), exe);
	ck_assert_ptr_nonnull(fle_new(ev, fdt, 700, 0));
	ck_assert_ptr_nonnull(fle_new(out, fdt, 2, FD_CLOEXEC));
	ck_assert_ptr_nonnull(fle_new(out, fdt, 1, 0));
	ck_assert_ptr_nonnull(fle_new(in, fdt, 0, 0));
	pstree_shmem(t, 77)->shmid = 1234;
	task(t, 100)->vmas[2].e->shmid = task(t, 101)->vmas[2].e->shmid = 1234;
	return t;
}

START_TEST(equal)
{
	struct pstree *a = tree_make(report), *b = tree_make(report), *c = make_renumbered();

	ck_assert_msg(compare(state_of(a), state_of(b)) == 0, "%s", text);
	ck_assert_msg(compare(state_of(a), state_of(c)) == 0, "%s", text);
	pstree_free(a);
	pstree_free(b);
	pstree_free(c);
}
END_TEST

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

static void mut_pending(struct pstree *t)
{
	SignalQueueEntry *q = arena_new_of(t->arena, SignalQueueEntry);
	siginfo_t *si = arena_new_of(t->arena, siginfo_t);

	signal_queue_entry__init(q);
	q->n_signals = 1;
	q->signals = arena_array(t->arena, SiginfoEntry *, 1);
	q->signals[0] = arena_new_of(t->arena, SiginfoEntry);
	siginfo_entry__init(q->signals[0]);
	memset(si, 0, sizeof(*si));
	si->si_signo = SIGUSR1;
	si->si_pid = 7;
	q->signals[0]->siginfo = (ProtobufCBinaryData){ sizeof(*si), (uint8_t *)si };
	thread(t)->signals_p = q;
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

static void mut_shared_content(struct pstree *t)
{
	static const char page[PAGE] = "x";

	memhash_shmem(pstree_shmem(t, 77), PAGE, page, 1);
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

static void mut_lost_alarm(struct pstree *t)
{
	ItimerEntry *e = arena_new_of(t->arena, ItimerEntry);

	itimer_entry__init(e);
	e->vsec = 60;
	process(t)->timers->real = e;
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

START_TEST(clocks)
{
	struct pstree *a = tree_make(report), *b = tree_make(report);
	ItimerEntry *x = arena_new_of(a->arena, ItimerEntry),
		    *y = arena_new_of(b->arena, ItimerEntry);

	itimer_entry__init(x);
	itimer_entry__init(y);
	x->isec = y->isec = 10;
	x->vsec = 9;
	y->vsec = 2;
	process(a)->timers->real = x;
	process(b)->timers->real = y;
	ck_assert_msg(!compare(state_of(a), state_of(b)), "%s", text);
	y->vsec = 0;
	ck_assert_uint_eq(compare(state_of(a), state_of(b)), 1);
	x->vsec = 1;
	ck_assert_msg(!compare(state_of(a), state_of(b)), "%s", text);
	y->isec = 11;
	ck_assert_uint_eq(compare(state_of(a), state_of(b)), 1);
	pstree_free(a);
	pstree_free(b);
}
END_TEST

/* A tree of which each mapping is cut in two has the same snapshot. */
START_TEST(merged)
{
	struct pstree *a = tree_make(report), *b = tree_make(report);
	struct pstree_item *ia = task(a, 100), *it = task(b, 100);
	struct vma *v = arena_array(b->arena, struct vma, 6);
	unsigned char pages[4][PAGE];

	for (size_t i = 0; i < sizeof(pages); i++)
		((unsigned char *)pages)[i] = (unsigned char)(i * 7 + i / PAGE);
	for (size_t i = 0; i < 6; i++) {
		const VmaEntry *from = it->vmas[i / 2].e;
		uint64_t half = (from->end - from->start) / 2;

		v[i] = it->vmas[i / 2];
		v[i].e = arena_memdup(b->arena, from, sizeof(*from));
		if (i % 2) {
			v[i].e->start += half;
			v[i].e->pgoff += half;
		} else {
			v[i].e->end -= half;
		}
	}
	v[3].e->status |= VMA_AREA_HEAP;
	v[3].e->pgoff = 0;
	it->vmas = v;
	it->nr_vmas = 6;
	memhash_vma(&ia->vmas[1], NULL, 0x402000, pages, 4);
	memhash_vma(&v[3], NULL, 0x404000, pages[2], 2);
	memhash_vma(&v[2], NULL, 0x403000, pages[1], 1);
	memhash_vma(&v[2], NULL, 0x402000, pages[0], 1);
	ck_assert_msg(!compare(state_of(a), state_of(b)), "%s", text);
	v[5].e->pgoff += PAGE;
	ck_assert_uint_gt(compare(state_of(a), state_of(b)), 0);
	pstree_free(a);
	pstree_free(b);
}
END_TEST

START_TEST(holes)
{
	struct pstree *t = tree_make(report);
	struct pstree_item *it = task(t, 100);
	unsigned char page[2][PAGE] = { 0 };
	struct vma *file = &it->vmas[0], *anon = &it->vmas[1];
	RseqEntry e = RSEQ_ENTRY__INIT;
	struct memhash_task mt;
	uint64_t one;

	e.rseq_abi_pointer = 0x402ff0; /* over the end of a page */
	e.rseq_abi_size = 32;
	it->threads[1].core->thread_core->rseq_entry = &e;
	memhash_task_init(&mt, it, t->arena);
	ck_assert_uint_eq(mt.n, 1);
	memhash_vma(anon, &mt, 0x402000, page, 2);
	ck_assert_uint_eq(anon->hashed_pages, 0);
	memset(page[0] + 0xff0, 1, 32);
	memhash_vma(anon, &mt, 0x402000, page, 2);
	ck_assert_uint_eq(anon->hashed_pages, 0);
	page[0][0] = 1;
	memhash_vma(anon, &mt, 0x402000, page, 2);
	ck_assert_uint_eq(anon->hashed_pages, 1);
	one = anon->hash;
	anon->hash = 0;
	memset(page[0] + 0xff0, 2, 32);
	memhash_vma(anon, &mt, 0x402000, page, 2);
	ck_assert_uint_eq(anon->hash, one);
	memset(page, 0, sizeof(page));
	memhash_vma(file, NULL, 0x400000, page, 2);
	ck_assert_uint_eq(file->hashed_pages, 2);
	pstree_free(t);
}
END_TEST

START_TEST(image)
{
	char *one = image_make(1), *same = image_make(1), *other = image_make(2);
	struct json_object *s[3];
	char *dirs[3] = { one, same, other };
	unsigned char page[PAGE];
	uint64_t file_hash = 0;

	for (int i = 0; i < 3; i++) {
		struct image_dir *d = dir_open(dirs[i], report);
		struct vma v = { 0 };
		struct pstree *t;

		ck_assert_int_eq(image_load_tree(d, report, &t), 0);
		ck_assert_int_eq(state_hash_image(d, t), 0);
		ck_assert_int_eq(state_hash_image(d, t), 0);
		v.e = task(t, 100)->vmas[0].e;
		memset(page, i == 2 ? 2 : 1, PAGE);
		memhash_vma(&v, NULL, 0x401000, page, 1);
		file_hash = task(t, 100)->vmas[0].hash;
		ck_assert_uint_eq(file_hash, v.hash);
		ck_assert_uint_eq(task(t, 100)->vmas[1].hashed_pages, 2);
		ck_assert_uint_eq(pstree_shmem(t, 77)->hashed_pages, 2);
		s[i] = state_of(t);
		pstree_free(t);
		image_dir_close(d);
	}
	ck_assert_msg(!compare(json_object_get(s[0]), s[1]), "%s", text);
	/* Two mappings of each of two tasks, and the object they share. */
	ck_assert_msg(compare(s[0], s[2]) == 5, "%s", text);
	dir_remove(one);
	dir_remove(same);
	dir_remove(other);
}
END_TEST

/* What only our images have is no difference to another tool's. */
START_TEST(foreign)
{
	struct pstree *a = tree_make(report), *b = tree_make(report);
	PipeEntry *e = (PipeEntry *)slot(a, 0)->desc->msg;

	a->inventory->tool = b->inventory->tool = (char *)"x";
	e->has_data_hash = 1;
	e->data_hash = 5;
	ck_assert_uint_eq(compare(state_of(a), state_of(b)), 1);
	ck_assert_ptr_nonnull(strstr(text, "extra: {\"pipes\":{\"pipe:100/0\":\"0x5\"}} != none"));
	b->inventory->tool = NULL;
	ck_assert_msg(!compare(state_of(a), state_of(b)), "%s", text);
	pstree_free(a);
	pstree_free(b);
}
END_TEST

START_TEST(outside)
{
	struct pstree *a = tree_make(report), *b = tree_make(report);
	struct pstree_item *it;

	list_for_each(it, &a->items, list)
		it->sid = it->pgid = 50;
	list_for_each(it, &b->items, list)
		it->sid = it->pgid = 60;
	ck_assert_msg(!compare(state_of(a), state_of(b)), "%s", text);
	task(b, 101)->pgid = 101;
	ck_assert_uint_eq(compare(state_of(a), state_of(b)), 1);
	pstree_free(a);
	pstree_free(b);
}
END_TEST

/* Watches have no order; what is watched is named by its place. */
START_TEST(epoll)
{
	struct pstree *t[2] = { tree_make(report), make_renumbered() };

	for (int i = 0; i < 2; i++) {
		EventpollFileEntry *e = arena_new_of(t[i]->arena, EventpollFileEntry);
		struct file_desc *d = file_desc_new(t[i], FILE_KIND_eventpoll, &e->base);

		eventpoll_file_entry__init(e);
		e->id = d->id;
		e->fown = fown(t[i]->arena);
		e->n_tfd = 2;
		e->tfd = arena_array(t[i]->arena, EventpollTfdEntry *, 2);
		for (int k = 0; k < 2; k++) {
			int at = i ? 1 - k : k;

			e->tfd[at] = arena_new_of(t[i]->arena, EventpollTfdEntry);
			eventpoll_tfd_entry__init(e->tfd[at]);
			e->tfd[at]->tfd = (uint32_t)(k ? 700 : 0);
			e->tfd[at]->has_inode = 1;
			e->tfd[at]->inode = (uint64_t)(1000 + i);
		}
		ck_assert_ptr_nonnull(fle_new(d, task(t[i], 100)->fdt, 5, 0));
	}
	ck_assert_msg(!compare(state_of(t[0]), state_of(t[1])), "%s", text);
	pstree_free(t[0]);
	pstree_free(t[1]);
}
END_TEST

START_TEST(parsed)
{
	struct pstree *t = tree_make(report);
	struct json_object *a, *b, *empty = json_object_new_object();

	mut_lost_alarm(t);
	mut_pending(t);
	task(t, 100)->fs->has_umask = 1;
	a = state_of(t);
	b = json_tokener_parse(json_object_to_json_string(a));
	ck_assert_int_eq(state_diff(a, empty, stdout, &ndiff), -EINVAL);
	ck_assert_uint_eq(compare(a, b), 0);
	json_object_put(empty);
	pstree_free(t);
}
END_TEST

START_TEST(printed)
{
	static const char *const wanted[] = {
		"fixture", "zombie",   "stopped",       "/bin/fixture",  "Descriptors",
		"100/1",   "O_WRONLY", "402000-406000", "Shared memory", "counter=78187493520",
	};
	struct pstree *t = tree_make(report);
	struct json_object *o;
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	mut_shared_content(t);
	o = state_of(t);
	ck_assert_int_eq(state_print(f, o), 0);
	fclose(f);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
		ck_assert_msg(strstr(out, wanted[i]), "no %s in:\n%s", wanted[i], out);
	ck_assert_ptr_null(strchr(out, '\033'));
	free(out);
	json_object_put(o);
	pstree_free(t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("state");
	TCase *tc = tcase_create("state");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, equal);
	tcase_add_loop_test(tc, one_difference, 0, sizeof(mutations) / sizeof(*mutations));
	tcase_add_test(tc, clocks);
	tcase_add_test(tc, merged);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, image);
	tcase_add_test(tc, foreign);
	tcase_add_test(tc, outside);
	tcase_add_test(tc, epoll);
	tcase_add_test(tc, parsed);
	tcase_add_test(tc, printed);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
