/*
 * stats - the figures of a dump or a restore: as an image beside the log, as
 * JSON, and as text.
 */
#ifndef CL_CMD_STATS_H
#define CL_CMD_STATS_H

struct cmd;
struct dump_stats;
struct restore_stats;

void stats_dump(struct cmd *c, const struct dump_stats *s);
void stats_restore(struct cmd *c, const struct restore_stats *s);

#endif
