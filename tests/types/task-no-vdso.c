/*
 * A program that has unmapped the vdso and kept what the kernel maps before it, as valgrind does.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static volatile sig_atomic_t gone_on;

static void go(int sig)
{
	gone_on = sig;
}

/* Which of the kernel's own mappings are there, and where the vdso is. */
static unsigned look(unsigned long *start, unsigned long *end)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned seen = 0;
	char line[256];

	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "[vvar"))
			seen |= 1;
		if (strstr(line, "[vdso]") && sscanf(line, "%lx-%lx", start, end) == 2)
			seen |= 2;
	}
	fclose(f);
	return seen;
}

int main(void)
{
	unsigned long start, end;
	unsigned seen = look(&start, &end);

	signal(SIGUSR1, go);
	if (seen != 3) {
		printf("SKIP the kernel maps no vdso\n");
		return 0;
	}
	munmap((void *)start, end - start);
	printf("READY\n");
	fflush(stdout);
	while (!gone_on)
		pause();
	seen = look(&start, &end);
	printf(seen == 1 ? "PASS\n" : "FAIL mappings: %u\n", seen);
	return seen != 1;
}
