/*
 * test_state - models of the same tree with other ids have equal snapshots;
 * snapshots of images, of parts that are not there, printed and read again.
 */
#include "state_fixture.h"

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
	TCase *tc = tcase_create("state");

	tcase_add_test(tc, equal);
	tcase_add_test(tc, clocks);
	tcase_add_test(tc, merged);
	tcase_add_test(tc, holes);
	tcase_add_test(tc, image);
	tcase_add_test(tc, foreign);
	tcase_add_test(tc, outside);
	tcase_add_test(tc, epoll);
	tcase_add_test(tc, parsed);
	tcase_add_test(tc, printed);
	return state_tests(tc);
}
