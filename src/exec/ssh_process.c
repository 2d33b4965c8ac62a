#include "exec/ssh_process.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "job/plan.h"

#include <assert.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 64 * 1024, ARGS = 24 };

int ssh_process_start(struct ssh_process *s, const json_t *host, const char *script, int in, int out, double connect,
	struct error *err)
{
	assert(!strpbrk(script, "'\\!\n"));
	struct plan_host to = plan_host_read(host);
	autofree char *command = mem_printf("exec /bin/sh -c '%s'", script);
	autofree char *timeout = mem_printf("ConnectTimeout=%d", connect > 1 ? (int)connect : 1);
	autofree char *port = mem_printf("%d", to.port);
	// What the user's configuration may say for people at a terminal is in the way here: forwarded ports, a command
	// of its own.
	char *argv[ARGS] = {"ssh", "-T", "-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes", "-o",
		"RemoteCommand=none", "-o", timeout};
	size_t n = 10;
	char *const options[][2] = {{"-p", to.port ? port : NULL}, {"-l", (char *)to.user}, {"-i", (char *)to.key}};
	for (size_t i = 0; i < countof(options); i++)
		if (options[i][1]) {
			argv[n++] = options[i][0];
			argv[n++] = options[i][1];
		}
	argv[n++] = "--";
	argv[n++] = (char *)to.host;
	argv[n++] = command;
	s->said = memfd_create("ssh", MFD_CLOEXEC);
	struct proc_options how = {.argv = argv, .in = in, .out = out, .err = s->said, .die_with_parent = true};
	s->pid = proc_spawn(&how, &s->fd, err);
	if (s->pid > 0)
		return 0;
	s->pid = 0;
	mem_cleanup_fd(&s->said);
	return -1;
}

// The last line, and for a host key the reason, which stands far above it.
static char *last_words(int fd)
{
	autofree char *all = mem_alloc(WORDS_MAX + 1);
	ssize_t n = pread(fd, all, WORDS_MAX, 0);
	while (n > 0 && strchr("\r\n .", all[n - 1]))
		n--;
	all[n > 0 ? n : 0] = 0;
	const char *line = strrchr(all, '\n') ? strrchr(all, '\n') + 1 : all;
	autofree char *clean = str_utf8_clean(line, strcspn(line, "\r"));
	if (!strstr(clean, "Host key verification failed"))
		return steal(clean);
	if (strstr(all, "IDENTIFICATION HAS CHANGED"))
		return mem_printf("%s: the host key differs from the known one", clean);
	return mem_printf("%s: the host key is unknown; connect once with `ssh` and verify it", clean);
}

int ssh_process_end(struct ssh_process *s, double seconds, char **words)
{
	*words = NULL;
	int status = 0;
	if (!s->pid)
		return 255;
	struct pollfd wait = {.fd = s->fd, .events = POLLIN};
	if (poll(&wait, 1, (int)(seconds * 1000)) <= 0)
		kill(s->pid, SIGKILL);
	waitpid(s->pid, &status, 0);
	*words = last_words(s->said);
	close(s->fd);
	close(s->said);
	s->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

char *ssh_process_name(const json_t *host)
{
	struct plan_host to = plan_host_read(host);
	autofree char *port = to.port ? mem_printf(":%d", to.port) : NULL;
	return mem_printf("%s%s%s%s", to.user ? to.user : "", to.user ? "@" : "", to.host, port ? port : "");
}
