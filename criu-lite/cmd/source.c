/*
 * source - where a snapshot comes from: a PID, an image directory, or a file
 * that `state --json` has printed. A directory with a number for a name is
 * given as ./NUMBER.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "dump/dump.h"
#include "image/image.h"
#include "model/pstree.h"
#include "model/state.h"

#define STATE_FILE_MAX (256l << 20) /* bytes */

/**
 * source_live - the model of a live tree
 * @c: the command
 * @how: which one, and what of it: pid, like, attached, outline
 * @out: gets the model
 *
 * A look changes nothing, so it needs no permission by option.
 *
 * Return: 0 or -errno, recorded.
 */
int source_live(struct cmd *c, const struct dump_opts *how, struct pstree **out)
{
	struct dump_opts opts = *how;

	opts.images_fd = -1;
	opts.shell_job = opts.tcp_established = opts.file_locks = opts.link_remap = true;
	opts.ext_unix_sk = opts.evasive_devices = true;
	opts.ghost_limit = UINT64_MAX;
	opts.timeout = c->o->timeout;
	return dump_state(&opts, c->r, out);
}

static int state_of_pid(struct cmd *c, const char *what, bool outline, struct json_object **out)
{
	unsigned long pid = strtoul(what, NULL, 10);
	struct dump_opts how = { .pid = (pid_t)pid, .outline = outline };
	struct pstree *tree = NULL;
	int ret;

	if (!pid || pid > INT32_MAX)
		return fail(c->r, "option-value", 0, "%s is not a pid", what);
	ret = source_live(c, &how, &tree);
	if (ret < 0)
		return ret;
	ret = state_json(tree, out);
	pstree_free(tree);
	return ret;
}

static int state_of_image(struct cmd *c, int dir_fd, bool outline, struct json_object **out)
{
	struct pstree *tree = NULL;
	struct image_dir *d = NULL;
	int ret = image_dir_open(&d, dir_fd, c->r, c->o->arena);

	if (ret < 0)
		return ret;
	ret = image_verify(d);
	if (ret >= 0)
		ret = image_load_tree(d, c->r, &tree);
	if (ret >= 0 && !outline)
		ret = state_hash_image(d, tree);
	if (ret >= 0)
		ret = state_json(tree, out);
	pstree_free(tree);
	image_dir_close(d);
	return ret;
}

static int state_of_file(struct cmd *c, int fd, const char *path, off_t size,
			 struct json_object **out)
{
	enum json_tokener_error err;
	struct json_object *o;
	char *text;
	int ret;

	if (size > STATE_FILE_MAX)
		return fail(c->r, "state-file", EFBIG, "%s", path);
	text = malloc((size_t)size + 1);
	if (!text)
		return fail(c->r, "state-file", ENOMEM, "%s", path);
	ret = read_all(fd, text, (size_t)size);
	text[ret < 0 ? 0 : size] = '\0';
	o = ret < 0 ? NULL : json_tokener_parse_verbose(text, &err);
	free(text);
	if (ret < 0)
		return fail(c->r, "state-file", -ret, "cannot read %s", path);
	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return fail(c->r, "state-file", 0, "%s is not a snapshot of state --json: %s", path,
			    err == json_tokener_success ? "not an object"
							: json_tokener_error_desc(err));
	}
	*out = o;
	return 0;
}

static int source(struct cmd *c, const char *what, bool outline, struct json_object **out)
{
	cleanup_close int fd = -1;
	struct stat st;

	if (*what && !what[strspn(what, "0123456789")])
		return state_of_pid(c, what, outline, out);
	fd = open(what, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(c->r, "state-file", errno, "cannot open %s", what);
	if (S_ISDIR(st.st_mode))
		return state_of_image(c, fd, outline, out);
	if (S_ISREG(st.st_mode))
		return state_of_file(c, fd, what, st.st_size, out);
	return fail(c->r, "state-file", EINVAL, "%s is neither a directory nor a file", what);
}

/**
 * source_state - the snapshot that an argument stands for
 * @c: the run
 * @what: a pid, a directory or a file
 * @out: the snapshot; the caller releases it
 *
 * Return: 0 or -errno, recorded.
 */
int source_state(struct cmd *c, const char *what, struct json_object **out)
{
	return source(c, what, false, out);
}

/**
 * source_outline - the same without a look at the contents of memory
 * @c: the run
 * @what: a pid, a directory or a file
 * @out: the snapshot; checksums in it mean nothing; the caller releases it
 *
 * Return: 0 or -errno, recorded.
 */
int source_outline(struct cmd *c, const char *what, struct json_object **out)
{
	return source(c, what, true, out);
}
