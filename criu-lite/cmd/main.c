/*
 * main - criu-lite: the only place that leaves the process.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"

/*
 * The standard descriptors exist, so that no image lands on their numbers; a
 * reader that goes away is an error of write(), not the end of a dump.
 */
static void prepare_process(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct options o = { .arena = arena_new() };
	struct cmd c = { .o = &o, .images_fd = -1, .work_fd = -1, .log_fd = -1 };
	int status;

	prepare_process();
	c.r = report_new();
	report_log_to(c.r, -1, LOG_MSG);
	status = result_finish(&c, cmd_run(&c, argc, argv));
	report_free(c.r);
	arena_free(o.arena);
	return status;
}
