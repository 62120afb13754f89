/*
 * interrupted CALL WHO - the leader, or a second thread, waits in CALL. SIGUSR1
 * has a handler that ends it, SIGUSR2 one that restarts it (SA_RESTART). Says
 * how the call has ended.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

static const char *call;
static int fds[2];

static void handler(int sig)
{
	(void)sig;
}

static int wait_in_call(void)
{
	struct pollfd p = { .fd = fds[0], .events = POLLIN };
	sigset_t none;
	char c;

	sigemptyset(&none);
	if (!strcmp(call, "pause"))
		return pause();
	if (!strcmp(call, "sigsuspend"))
		return sigsuspend(&none);
	if (!strcmp(call, "poll"))
		return poll(&p, 1, -1);
	if (!strcmp(call, "ppoll"))
		return ppoll(&p, 1, NULL, NULL);
	if (!strcmp(call, "select"))
		return select(0, NULL, NULL, NULL, NULL);
	return (int)read(fds[0], &c, 1);
}

static void *waiter(void *unused)
{
	int ret;

	(void)unused;
	printf("READY\n");
	fflush(stdout);
	ret = wait_in_call();
	printf("%s %d %s\n", call, ret, ret < 0 ? strerror(errno) : "");
	fflush(stdout);
	return NULL;
}

int main(int argc, char **argv)
{
	struct sigaction ends = { .sa_handler = handler };
	struct sigaction restarts = { .sa_handler = handler, .sa_flags = SA_RESTART };
	sigset_t both;
	pthread_t t;

	call = argv[1];
	if (argc < 3 || pipe(fds) < 0)
		return 1;
	sigaction(SIGUSR1, &ends, NULL);
	sigaction(SIGUSR2, &restarts, NULL);
	if (!strcmp(argv[2], "leader"))
		return waiter(NULL) != NULL;
	pthread_create(&t, NULL, waiter, NULL);
	sigemptyset(&both);
	sigaddset(&both, SIGUSR1);
	sigaddset(&both, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &both, NULL);
	return pthread_join(t, NULL);
}
