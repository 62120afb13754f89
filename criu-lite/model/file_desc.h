/*
 * file_desc - the typed part of an open file description, and the fles
 * (struct fdinfo_list_entry) that say which slots of which tables hold it.
 *
 * Both halves share this file. Dump makes descs and fills their messages;
 * restore loads them and runs the state machine of docs/ARCHITECTURE.md over
 * their fles. The first fle of a desc is its master.
 */
#ifndef CL_MODEL_FILE_DESC_H
#define CL_MODEL_FILE_DESC_H

#include <stdint.h>

#include "base/list.h"
#include "base/report.h"
#include "model/filetab.h"

#include "proto/fdinfo.pb-c.h"

struct file_desc;
struct pstree;
struct pstree_item;

/* The registry's rows in file_types.def, in probe order. */
enum file_kind {
#define FILE_TYPE(name, fd_type, field, msg) FILE_KIND_##name,
#include "model/file_types.def"
#undef FILE_TYPE
	FILE_KINDS
};

struct file_type {
	const char *name;
	FdTypes fd_type;                       /* FileEntry.type */
	const ProtobufCMessageDescriptor *msg; /* the typed message */
	size_t field; /* offset of its pointer in FileEntry; of the wrapper's for FD_TYPES__EXT */
};

extern const struct file_type file_types[FILE_KINDS];
const struct file_type *file_type_find(FdTypes type, const char *own);

/* restore/: how a type comes back. Each restore/types/<type>.c defines <name>_desc_ops. */
struct file_desc_ops {
	/*
	 * Run in the master's process until it says 0.
	 *   0   restored
	 *   1   in progress, or cannot start yet: call again
	 *  -1   failed; the cause has been recorded
	 * *new_fd is set at most once in a file's life, as soon as the
	 * descriptor exists, whatever is returned; the engine takes it over.
	 */
	int (*open)(struct file_desc *d, int *new_fd);
	/* Before any prepare(): gives files that are in no table a task that holds them. 0 or
	 * -errno, recorded. */
	int (*place)(struct pstree *t, struct file_desc *d);
	/* After every desc is loaded, before any fork: links to other descs. 0 or -errno, recorded.
	 */
	int (*prepare)(struct pstree *t, struct file_desc *d);
	/* Before any fork, in the tool: what would fail is reported (all causes, not the first). */
	int (*check)(struct pstree *t, struct file_desc *d);
	/* In the tool, when memory and threads are there and stand still. 0 or -errno, recorded. */
	int (*late)(struct pstree *t, struct file_desc *d);
	/* The name by which --inherit-fd knows it; NULL if the type has none, false if this one. */
	bool (*key)(struct pstree *t, const struct file_desc *d, char *buf, size_t size);
	bool takes;       /* a descriptor from outside goes through the type: outside_fd() has it */
	size_t priv_size; /* bytes of restore-time state, zeroed: file_desc_priv() */
	/*
	 * open() leaves nothing in the process but *new_fd, with the flags of the master, and
	 * gives it when it says 0. So it may run in whichever process has the table, and the
	 * kernel may choose the number: see restore/engine_claim.c and engine_ahead.c.
	 */
	bool lands;
};

struct file_desc {
	uint32_t id;
	enum file_kind kind;
	ProtobufCMessage *msg; /* the type's message */
	struct file *file;     /* one to one; the desc has a reference */
	struct list_head list; /* filetab.descs */
	struct list_head fles; /* fdinfo_list_entry.of_desc; master first; empty if only mapped */
	const struct file_desc_ops *ops; /* restore only */
	bool outside;                    /* somebody else brings it at restore: not compared */
	void *priv; /* restore only: ops->priv_size bytes, per process after fork */
	struct pstree *tree;
	struct file_desc_dump *dump; /* dump only */
};

/*
 * The state machine of an fle; docs/fle.svg is the picture. A stage moves
 * forward only, through fle_set_stage() of restore/.
 *
 *   INITIALIZED  the slot is larval: a number that is planned
 *   OPEN         the slot leads to the file, which may not be complete yet
 *   RESTORED     the file is complete; the creator's reference is released
 *
 * A master, the first fle of its file, becomes OPEN when open() has given
 * *new_fd and RESTORED when it has said 0. Its file goes to every slave, any
 * other fle, as soon as the master is OPEN; a slave that gets it becomes OPEN
 * and RESTORED at once. Types wait for stages of masters only.
 */
enum fle_stage { FLE_INITIALIZED, FLE_OPEN, FLE_RESTORED };

struct fdinfo_list_entry {
	struct list_head of_desc;  /* file_desc.fles */
	struct list_head in_table; /* filedesc.fles */
	struct file_desc *desc;
	struct filedesc *fdt;
	int fd;
	uint32_t fdflags; /* FD_CLOEXEC */
	bool fake;        /* held only while files are restored */
	bool forced;      /* master, whatever its pid */
	bool lands;       /* restore: its number is free for its open() to take */
	bool opened;      /* restore: its open() is done, in another process; it is at its number */
	size_t index;     /* into the stages, which all processes share */
};

struct file_desc *file_desc_new(struct pstree *t, enum file_kind kind, ProtobufCMessage *msg);
struct file_desc *file_desc_adopt(struct pstree *t, struct file *fp, enum file_kind kind,
				  ProtobufCMessage *msg);
struct file_desc *file_desc_add(struct pstree *t, uint32_t id, enum file_kind kind,
				ProtobufCMessage *msg);
struct file_desc *file_desc_find(const struct pstree *t, uint32_t id);
struct fdinfo_list_entry *fle_new(struct file_desc *d, struct filedesc *fdt, int fd,
				  uint32_t fdflags);
struct fdinfo_list_entry *fle_merge(struct file_desc *d, struct filedesc *fdt, int fd,
				    uint32_t fdflags, struct file *larval);
pid_t filedesc_pid(const struct filedesc *fdt);
struct fdinfo_list_entry *fle_find(const struct filedesc *fdt, int fd,
				   struct fdinfo_list_entry *from);
void fle_mature(struct fdinfo_list_entry *fle);
void file_desc_sort(struct file_desc *d);

/* The typed message; the caller knows its type. */
static inline const void *file_desc_entry(const struct file_desc *d)
{
	return d->msg;
}

static inline void *file_desc_priv(const struct file_desc *d)
{
	return d->priv;
}

/* file_fail(d, errno, "bind to port %u", port): records the cause; returns -1, open()'s failure. */
int file_fail_at(const struct file_desc *d, const char *file, int line, int err, const char *fmt,
		 ...) __attribute__((format(printf, 5, 6)));
#define file_fail(d, err, ...) \
	report_negative(file_fail_at(d, __FILE_NAME__, __LINE__, err, __VA_ARGS__))

#endif
