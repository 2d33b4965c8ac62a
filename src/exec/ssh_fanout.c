#include "exec/ssh_fanout.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const double patience = 30; // seconds for a host to do it

struct ssh_fanout *ssh_fanout_list(const json_t *hosts, double connect)
{
	size_t count = json_array_size(hosts);
	struct ssh_fanout *all = mem_alloc((count + 1) * sizeof *all);
	for (size_t i = 0; i < count; i++)
		all[i] = (struct ssh_fanout){.host = json_array_get(hosts, i), .connect = connect, .out = -1};
	return all;
}

void ssh_fanout_free(struct ssh_fanout *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(all[i].text);
		free(all[i].words);
	}
	free(all);
}

static void finish(struct ssh_fanout *e, double seconds)
{
	size_t len;
	int status = ssh_process_end(&e->ssh, seconds, &e->words);
	e->text = fs_read_all(e->out, &len);
	e->done = status == 0 && strstr(e->text, "muster-done");
	e->silent = status == 255;
	const char *last = strstr(e->text, "muster-trouble ");
	if (!e->done && last) {
		free(e->words);
		e->words =
			mem_strndup(last + strlen("muster-trouble "), strcspn(last, "\n") - strlen("muster-trouble "));
	}
	mem_cleanup_fd(&e->out);
}

void ssh_fanout_run(struct ssh_fanout *all, size_t count, const char *script, size_t at_a_time)
{
	double end = clock_mono() + patience * (double)(1 + count / at_a_time);
	for (size_t i = 0, started = 0; i < count; i++) {
		for (; started < count && started < i + at_a_time; started++) {
			struct ssh_fanout *e = &all[started];
			struct error err = {0};
			e->out = memfd_create("ssh", MFD_CLOEXEC);
			ssh_process_start(&e->ssh, e->host, script, -1, e->out, e->connect, &err);
		}
		double left = end - clock_mono();
		finish(&all[i], left > 0 ? left : 0);
	}
}
