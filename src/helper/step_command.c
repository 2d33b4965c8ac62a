#include "helper/step_command.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/proc.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

bool step_command_pause(double seconds)
{
	struct pollfd line = {.fd = 0, .events = POLLIN};
	return poll(&line, 1, (int)(seconds * 1000)) <= 0;
}

int step_command_run(const char *const *argv, const char *dir, int out)
{
	struct proc_options options = {.argv = (char *const *)argv,
		.dir = dir,
		.in = -1,
		.out = out,
		.err = 2,
		.group = true,
		.die_with_parent = true};
	struct error err;
	autoclose int pidfd = -1;
	int status;
	if (!step_command_pause(0))
		return STEP_COMMAND_OVER;
	pid_t pid = proc_spawn(&options, &pidfd, &err);
	if (pid < 0) {
		dprintf(2, "%s\n", err.text);
		return STEP_COMMAND_CANNOT;
	}
	struct pollfd fds[] = {{.fd = 0, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};
	while (!fds[0].revents && !fds[1].revents)
		poll(fds, countof(fds), -1);
	if (!fds[1].revents)
		kill(-pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid || !fds[1].revents)
		return STEP_COMMAND_OVER;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
