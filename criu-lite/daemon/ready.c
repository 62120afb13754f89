/*
 * ready - workers that are made before there is a request for them: making one
 * takes a tenth of what a small dump does, another tenth goes into pages that a
 * new process has to get one by one, and one into the guardian of a dump. They
 * are made while nothing is at work and nobody has asked for a while, as who asks
 * again at once would share the processors with those that get ready; and do one
 * request each, as any worker.
 */
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/server.h"
#include "dump/dump.h"
#include "kernel/arch.h"
#include "kernel/procfs.h"
#include "lib/fdpass.h"

#define READY_NAME "criu-lite-ready" /* as /proc/PID/comm has it */
#define WORKER_NAME "criu-lite"
#define PAGE ((uintptr_t)4096)
#define STACK (96 << 10) /* bytes that a request may take of it */
#define HEAP (256 << 10)

/* Pages that are there already are no faults later. Since Linux 5.14. */
static int populate(struct dl_phdr_info *info, size_t size, void *arg)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + h->p_vaddr) & ~(PAGE - 1);
		uintptr_t to = info->dlpi_addr + h->p_vaddr + h->p_memsz;

		if (h->p_type == PT_LOAD)
			madvise((void *)from, (to - from + PAGE - 1) & ~(PAGE - 1),
				h->p_flags & PF_W ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
	}
	return 0;
}

static void populate_at(const char *p, size_t size)
{
	uintptr_t from = ((uintptr_t)p + PAGE - 1) & ~(PAGE - 1);

	madvise((void *)from, ((uintptr_t)p + size - from) & ~(PAGE - 1), MADV_POPULATE_WRITE);
}

static void warm_up(void)
{
	volatile char stack[STACK];
	char *heap;

	/* What is free stays ours. */
	mallopt(M_TRIM_THRESHOLD, 4 * HEAP);
	mallopt(M_MMAP_THRESHOLD, 4 * HEAP);
	dl_iterate_phdr(populate, NULL);
	/* The stack grows first. */
	stack[0] = 0;
	populate_at((char *)stack, sizeof(stack));
	heap = malloc(HEAP);
	if (heap)
		populate_at(heap, HEAP);
	free(heap);
	for (unsigned int i = 2; i < 63; i++)
		if (arch_xsave_mask() >> i & 1)
			arch_xsave_part(i);
}

/* The connection of the client comes as the first descriptor of its request. */
static int ready_main(struct server *s, int sock, pid_t service)
{
	struct dump_guardian guardian = { 0 };
	struct proc_namespaces own_ns;
	struct wire_request *m;
	int err, ret = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != service)
		return 0;
	worker_begin(s, NULL);
	prctl(PR_SET_NAME, READY_NAME);
	/* Before the pages are there, which it would share. */
	dump_guardian_new(&guardian);
	proc_namespaces_own(&own_ns);
	warm_up();
	m = wire_recv(sock, 0, &err);
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_NAME, WORKER_NAME);
	close(sock);
	if (m && m->req && m->nr_fds)
		ret = worker_serve(s->host, m->fds[0], m->req, m->fds + 1, m->nr_fds - 1, &guardian,
				   &own_ns);
	else
		dump_guardian_end(&guardian);
	wire_free(m);
	return ret;
}

static void make_one(struct server *s, size_t i)
{
	pid_t service = getpid(), pid;
	int p[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		return;
	pid = fork();
	if (pid == 0) {
		close(p[0]);
		_exit(ready_main(s, p[1], service));
	}
	close(p[1]);
	if (pid < 0) {
		close(p[0]);
		return;
	}
	s->ready[i].pid = pid;
	s->ready[i].sock = p[0];
}

/**
 * ready_wanted - is a worker to be made ahead, as soon as the service has nothing else to do?
 * @s: the server
 *
 * Return: true then.
 */
bool ready_wanted(const struct server *s)
{
	if (s->nr_served || s->ending || s->leaving || !s->served_any)
		return false;
	for (size_t i = 0; i < READY_MAX; i++)
		if (!s->ready[i].pid)
			return true;
	return false;
}

/**
 * ready_make - have workers ready, if they are wanted
 * @s: the server
 */
void ready_make(struct server *s)
{
	for (size_t i = 0; ready_wanted(s) && i < READY_MAX; i++)
		if (!s->ready[i].pid)
			make_one(s, i);
}

static void forget_one(struct server *s, size_t i)
{
	close(s->ready[i].sock);
	s->ready[i].pid = 0;
}

/**
 * ready_give - give a request to a worker that is ready
 * @s: the server
 * @c: the client with its request
 *
 * Return: its pid, or 0: there is none, or it cannot have this one.
 */
pid_t ready_give(struct server *s, const struct client *c)
{
	const struct wire_request *ask = c->ask;
	int fds[FD_MSG_MAX] = { c->fd };
	size_t i = 0;
	pid_t pid;

	while (i < READY_MAX && !s->ready[i].pid)
		i++;
	if (i == READY_MAX || ask->nr_fds >= FD_MSG_MAX)
		return 0;
	memcpy(fds + 1, ask->fds, ask->nr_fds * sizeof(*fds));
	if (fd_send_msg(s->ready[i].sock, ask->raw, ask->len, fds, ask->nr_fds + 1, MSG_DONTWAIT) <
	    0)
		return 0;
	pid = s->ready[i].pid;
	forget_one(s, i);
	return pid;
}

/**
 * ready_forget - a child of the service has nothing to do with the workers that are ready
 * @s: the child's copy of the server
 */
void ready_forget(struct server *s)
{
	for (size_t i = 0; i < READY_MAX; i++)
		if (s->ready[i].pid)
			forget_one(s, i);
}

/**
 * ready_end - let the workers that are ready go, and wait until they have
 * @s: the server
 */
void ready_end(struct server *s)
{
	for (size_t i = 0; i < READY_MAX; i++) {
		pid_t pid = s->ready[i].pid;

		if (!pid)
			continue;
		/* Whoever else has the socket, it learns that there is nothing to come. */
		shutdown(s->ready[i].sock, SHUT_RDWR);
		kill(pid, SIGCONT);
		forget_one(s, i);
		waitpid(pid, NULL, 0);
	}
}

/**
 * ready_ended - a child of the service has ended: was it one that is ready?
 * @s: the server
 * @pid: the child
 */
void ready_ended(struct server *s, pid_t pid)
{
	for (size_t i = 0; i < READY_MAX; i++)
		if (s->ready[i].pid == pid)
			forget_one(s, i);
}
