/*
 * files_tty - terminals that the tool makes before the first task is born.
 * restore/types/tty.c includes this.
 */
#ifndef CL_RESTORE_FILES_TTY_H
#define CL_RESTORE_FILES_TTY_H

#include "restore/files.h"

#include "proto/regfile.pb-c.h"
#include "proto/tty.pb-c.h"

/* A pseudoterminal whose master is in the image, or that is hung up. */
struct pty {
	uint32_t index;
	struct file_desc *master;
	bool has_slave;           /* somebody is to have the slave */
	const TtyInfoEntry *info; /* the master's, or what there is */
	const TtyInfoEntry *slave_info;
	const RegFileEntry *slave_reg;
	pid_t sid, pgrp;
	int mfd, sfd; /* ours; -1 */
};

/* The terminal of the tool, once for all files on it. */
struct own_tty {
	int fd;
	int in;                 /* our standard input itself, if it is the terminal; or -1 */
	int flags;              /* of in */
	struct file_desc *heir; /* who gets it, as a job shares it with its shell */
};

/* What a description of a terminal knows. */
struct tty_priv {
	const TtyInfoEntry *info;
	const RegFileEntry *reg;
	struct pty *pty;   /* of a master or slave of the image */
	bool master, ctty; /* ctty: it was opened as /dev/tty, and we are of that session */
	int hung;          /* the descriptor itself, or -1 */
	bool given;        /* the master's descriptor */
	struct own_tty *own;
	bool sets; /* puts back the settings of own, or of a device */
};

#define TTY_PTS "/dev/pts/"

/* restore_files.seen[tty], by these bits and a number: */
#define TTY_SEEN_OWN (1ull << 32)
#define TTY_SEEN_PTY (2ull << 32)
#define TTY_SEEN_HUNG (3ull << 32)
#define TTY_SEEN_CTTY (4ull << 32)
#define TTY_SEEN_READY (5ull << 32)

/* files_ttyload.c */
int tty_load(struct pstree *t);
const TtyInfoEntry *tty_info_find(const struct pstree *t, uint32_t id);
bool tty_is_slave(const TtyInfoEntry *i);

/* files_tty.c */
int tty_open_peer(int master, uint32_t flags);
int tty_pty_make(struct pstree *t, struct file_desc *d, struct pty *p);
int tty_pty_finish(struct file_desc *d, const struct pty *p);
int tty_pty_hung(struct file_desc *d, struct pty *p, uint32_t flags);
int tty_set_termios(struct file_desc *d, int fd, const TermiosEntry *e);
void tty_ctty_is(struct pstree *t, pid_t sid, pid_t pgrp, int *fd);

#endif
