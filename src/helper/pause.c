#include "helper/pause.h"

#include "base/clock.h"
#include "base/mem.h"
#include "node/agent_processes.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const struct timespec look_every = {.tv_sec = 2}, soon = {.tv_nsec = 100 * 1000 * 1000};

// Is there another process in this name space? What an exec started is no child of ours.
static bool is_alone(void)
{
	bool alone = true;
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && alone && (e = readdir(d));)
		alone = !isdigit((unsigned char)*e->d_name) || atoi(e->d_name) == getpid();
	if (d)
		closedir(d);
	return alone && d;
}

static bool has_agents(void)
{
	autofree pid_t *agents = NULL;
	return agent_processes_find(&agents) > 0;
}

static void tell_agents(void)
{
	autofree pid_t *agents = NULL;
	size_t count = agent_processes_find(&agents);
	for (size_t i = 0; i < count; i++)
		kill(agents[i], SIGTERM);
}

// Takes the ended: the status of the last one, -1 when none has.
static int reap(void)
{
	int status = 0, last = -1;
	while (waitpid(-1, &status, WNOHANG) > 0)
		last = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return last;
}

int pause_main(double seconds)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	double since = clock_mono();
	bool told = false;
	for (;;) {
		int got = sigtimedwait(&set, NULL, told ? &soon : &look_every);
		if (got == SIGTERM || got == SIGINT) {
			told = true;
			tell_agents();
		}
		int last = reap();
		if (told && !has_agents())
			return 128 + SIGTERM;
		bool alone = is_alone();
		if (last >= 0 && alone)
			return last;
		if (!alone)
			since = clock_mono();
		else if (clock_mono() - since > seconds)
			return 0;
	}
}
