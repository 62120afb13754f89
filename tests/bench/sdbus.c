/*
 * sdbus - what a method call with 64 bytes costs over D-Bus, by sd-bus, to an
 * echo in another process. Needs a session bus: dbus-run-session -- sdbus CPU,
 * which is the echo's; the caller has the first.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "measure.h"

#define SIZE 64
#define CALLS 3000

static int echo(sd_bus_message *m, void *arg, sd_bus_error *e)
{
	sd_bus_message *r = NULL;
	const void *p;
	size_t n;

	(void)arg;
	(void)e;
	sd_bus_message_read_array(m, 'y', &p, &n);
	sd_bus_message_new_method_return(m, &r);
	sd_bus_message_append_array(r, 'y', p, n);
	sd_bus_send(NULL, r, NULL);
	sd_bus_message_unref(r);
	return 1;
}

static const sd_bus_vtable table[] = {
	SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Echo", "ay", "ay", echo, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END
};

static void serve(void)
{
	sd_bus *b;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sd_bus_open_user(&b) < 0 ||
	    sd_bus_add_object_vtable(b, NULL, "/bench", "bench.Echo", table, NULL) < 0 ||
	    sd_bus_request_name(b, "bench.Echo", 0) < 0)
		_exit(1);
	for (;;) {
		while (sd_bus_process(b, NULL) > 0)
			;
		sd_bus_wait(b, (uint64_t)-1);
	}
}

static int call(sd_bus *b)
{
	sd_bus_message *m = NULL, *r = NULL;
	char buf[SIZE] = { 0 };
	int ret;

	sd_bus_message_new_method_call(b, &m, "bench.Echo", "/bench", "bench.Echo", "Echo");
	sd_bus_message_append_array(m, 'y', buf, SIZE);
	ret = sd_bus_call(b, m, 0, NULL, &r);
	sd_bus_message_unref(m);
	sd_bus_message_unref(r);
	return ret;
}

int main(int argc, char **argv)
{
	static double v[CALLS];
	pid_t pid = argc == 2 ? fork() : -1;
	sd_bus *b;

	if (!pid) {
		pin(atoi(argv[1]));
		serve();
	}
	pin(0);
	if (pid < 0 || sd_bus_open_user(&b) < 0)
		return 1;
	for (int i = 0; i < 100 && call(b) < 0; i++)
		usleep(20000);
	for (int i = 0; i < CALLS; i++) {
		double t = now_us();

		if (call(b) < 0)
			return 1;
		v[i] = now_us() - t;
	}
	kill(pid, SIGKILL);
	printf("D-Bus, %d bytes: p50 %.1f us\n", SIZE, percentile(v, CALLS, 0.5));
	return 0;
}
