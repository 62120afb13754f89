/*
 * verify - the restored tree against its image, before its first instruction:
 * the same snapshot is taken of both, and every difference is a cause.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd/cmd.h"
#include "dump/dump.h"
#include "image/image.h"
#include "model/pstree.h"
#include "model/state.h"

#define DIFFERENCES_SHOWN 20

static int image_state(struct cmd *c, struct pstree *image, struct json_object **out)
{
	struct image_dir *d = NULL;
	int ret = image_dir_open(&d, c->images_fd, c->r, c->o->arena);

	if (ret < 0)
		return ret;
	ret = state_hash_image(d, image);
	image_dir_close(d);
	return ret < 0 ? ret : state_json(image, out);
}

/*
 * A traced task does not show that it is in job control stop underneath. The
 * restore has waited for that stop before it traced the task.
 */
static void note_stopped(struct pstree *live, const struct pstree *image)
{
	struct pstree_item *it;

	list_for_each(it, &live->items, list) {
		const struct pstree_item *was = pstree_find(image, it->pid);

		if (was && was->state == TASK_STOPPED && it->state == TASK_ALIVE) {
			it->state = was->state;
			item_core(it)->tc->task_state = item_core(was)->tc->task_state;
			item_core(it)->tc->has_stop_signo = item_core(was)->tc->has_stop_signo;
			item_core(it)->tc->stop_signo = item_core(was)->tc->stop_signo;
		}
	}
}

/* A SIGSTOP that was pending is sent when the task is let go: until then it would stop it. */
static void note_stops(struct pstree *live, SignalQueueEntry **q, const SignalQueueEntry *was)
{
	for (size_t i = 0; was && i < was->n_signals; i++) {
		siginfo_t si;

		if (was->signals[i]->siginfo.len != sizeof(si))
			continue;
		memcpy(&si, was->signals[i]->siginfo.data, sizeof(si));
		if (si.si_signo != SIGSTOP)
			continue;
		if (!*q) {
			*q = arena_new_of(live->arena, SignalQueueEntry);
			signal_queue_entry__init(*q);
		}
		arena_push(live->arena, (*q)->signals, (*q)->n_signals) = was->signals[i];
	}
}

static void note_pending(struct pstree *live, const struct pstree *image)
{
	struct pstree_item *it;

	list_for_each(it, &live->items, list) {
		const struct pstree_item *was = pstree_find(image, it->pid);

		if (!was || !item_alive(was) || !item_alive(it))
			continue;
		note_stops(live, &item_core(it)->tc->signals_s, item_core(was)->tc->signals_s);
		for (size_t i = 0; i < it->nr_threads && i < was->nr_threads; i++)
			note_stops(live, &it->threads[i].core->thread_core->signals_p,
				   was->threads[i].core->thread_core->signals_p);
	}
}

static int live_state(struct cmd *c, const struct pstree *image, struct json_object **out)
{
	struct dump_opts how = { .pid = image->root->pid, .like = image, .attached = true };
	struct pstree *tree = NULL;
	int ret = source_live(c, &how, &tree);

	if (ret < 0)
		return ret;
	note_stopped(tree, image);
	note_pending(tree, image);
	ret = state_json(tree, out);
	pstree_free(tree);
	return ret;
}

static int compare(struct cmd *c, struct json_object *image, struct json_object *live)
{
	char *text = NULL, *save = NULL;
	size_t len, n = 0, shown = 0;
	FILE *out = open_memstream(&text, &len);
	int ret;

	if (!out)
		return fail(c->r, "internal", errno, "verify: open_memstream");
	ret = state_diff(image, live, out, &n);
	fclose(out);
	if (ret >= 0 && n) {
		for (char *l = strtok_r(text, "\n", &save); l && shown < DIFFERENCES_SHOWN;
		     l = strtok_r(NULL, "\n", &save), shown++)
			fail(c->r, "verify-mismatch", 0, "image against restored tree: %s", l);
		ret = fail(c->r, "verify-mismatch", 0, "%zu differences in all", n);
	}
	free(text);
	return ret;
}

/**
 * verify_tree - compare the restored, stopped tree with what was loaded
 * @c: the run; c->images_fd has the pages
 * @image: the loaded model
 *
 * Runs in the thread that traces the tasks.
 *
 * Return: 0, or -errno with every difference recorded.
 */
int verify_tree(struct cmd *c, struct pstree *image)
{
	struct json_object *a = NULL, *b = NULL;
	int ret = image_state(c, image, &a);

	if (ret >= 0)
		ret = live_state(c, image, &b);
	if (ret >= 0)
		ret = compare(c, a, b);
	json_object_put(a);
	json_object_put(b);
	return ret;
}
