/* files_only - `restore --files-only`. */
#ifndef CL_CMD_FILES_ONLY_H
#define CL_CMD_FILES_ONLY_H

struct cmd;

int files_only_run(struct cmd *c);

#endif
