/*
 * files_map - files that a task holds without a descriptor: what it has
 * mapped, its executable, its working and its root directory. They go
 * through the same table; such a file has no fle unless it is a memfd that
 * is open as well.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/locks.h"

/* A file met before by its inode, its name and how it was opened. */
struct path_file {
	struct path_file *next;
	struct file_desc *d; /* NULL: a blocker, recorded once */
	dev_t dev;
	ino_t ino;
	uint32_t flags;
	const char *link;
};

static struct path_file *path_find(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct path_file *p = idmap_get(&ctx->files->by_path, fi->st.st_ino);

	while (p && (p->dev != fi->st.st_dev || p->flags != fi->flags || strcmp(p->link, fi->link)))
		p = p->next;
	return p;
}

static struct path_file *path_add(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct path_file *p = arena_new_of(ctx->arena, struct path_file), *first;

	*p = (struct path_file){
		.dev = fi->st.st_dev, .ino = fi->st.st_ino, .flags = fi->flags, .link = fi->link
	};
	first = idmap_put(&ctx->files->by_path, fi->st.st_ino, p);
	if (first != p) {
		p->next = first->next;
		first->next = p;
	}
	return p;
}

/* Fills @fi from a link below /proc/PID; its target is opened only when that is needed. */
static int link_info(struct dump_ctx *ctx, struct fd_info *fi, const char *name)
{
	char buf[PATH_MAX + 16];
	ssize_t n = readlinkat(fi->task->dump->proc_fd, name, buf, sizeof(buf) - 1);

	if (n < 0)
		return fail(ctx->report, "file-link", errno, "pid %d: readlink /proc/%d/%s",
			    fi->task->pid, fi->task->pid, name);
	buf[n] = 0;
	fi->link = arena_strdup(ctx->arena, buf);
	fi->fdinfo = "";
	if (fstatat(fi->task->dump->proc_fd, name, &fi->st, 0) == 0)
		return 0;
	/* Without CAP_CHECKPOINT_RESTORE the links of map_files cannot be followed. */
	if (errno == EPERM && stat(buf, &fi->st) == 0)
		return 0;
	return fail(ctx->report, "file-link", errno, "pid %d: stat /proc/%d/%s (%.200s)",
		    fi->task->pid, fi->task->pid, name, buf);
}

static void link_open(const struct dump_ctx *ctx, struct fd_info *fi, const char *name)
{
	bool content = S_ISREG(fi->st.st_mode);

	if (content && locks_leased(ctx, &fi->st)) {
		fi->local = locks_copy_leased(ctx, &fi->st);
		return;
	}
	fi->local = openat(fi->task->dump->proc_fd, name,
			   content ? O_RDONLY | O_CLOEXEC | O_NONBLOCK : O_PATH | O_CLOEXEC);
	if (fi->local < 0)
		fi->local =
			openat(AT_FDCWD, fi->link,
			       content ? O_RDONLY | O_CLOEXEC | O_NONBLOCK : O_PATH | O_CLOEXEC);
}

/* The ring of a packet socket, which the tree must have open too. */
static struct file_desc *mapped_socket(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct file_desc *d = file_seen(ctx, FILE_KIND_packetsk, fi->st.st_ino);

	if (!d && !ctx->files->blocked)
		file_blocker(
			ctx, fi, "memory-socket", EOPNOTSUPP,
			"the ring of a packet socket that no task has open any more is mapped");
	return d;
}

static struct file_desc *link_desc(struct dump_ctx *ctx, struct pstree_item *it, const char *name,
				   uint32_t flags)
{
	struct fd_info fi = { .task = it, .fd = -1, .local = -1, .mnt_id = -1, .flags = flags };
	struct path_file *p;

	if (link_info(ctx, &fi, name))
		return NULL;
	if (S_ISSOCK(fi.st.st_mode))
		return mapped_socket(ctx, &fi);
	p = path_find(ctx, &fi);
	if (p)
		return p->d;
	p = path_add(ctx, &fi);
	link_open(ctx, &fi, name);
	p->d = file_probe(ctx, &fi);
	file_info_put(&fi);
	return p->d;
}

/**
 * dump_mapped_file - the description of a mapped file
 * @ctx: the dump, after dump_files()
 * @it: the task
 * @start: first address of the mapping
 * @end: first address after it
 * @open_flags: how restore is to open the file: O_RDONLY or O_RDWR
 *
 * Return: the description, or NULL with the cause recorded.
 */
struct file_desc *dump_mapped_file(struct dump_ctx *ctx, struct pstree_item *it, uint64_t start,
				   uint64_t end, uint32_t open_flags)
{
	char name[64];

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)start,
		 (unsigned long long)end);
	return link_desc(ctx, it, name, open_flags);
}

/**
 * dump_link_file - the description of a task's executable or directory
 * @ctx: the dump, after dump_files()
 * @it: the task
 * @name: "exe", "cwd" or "root"
 *
 * Return: the description, or NULL with the cause recorded.
 */
struct file_desc *dump_link_file(struct dump_ctx *ctx, struct pstree_item *it, const char *name)
{
	return link_desc(ctx, it, name, O_RDONLY);
}
