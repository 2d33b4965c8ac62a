#include "helper/pause.h"

#include "base/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const long look_every = 2; // seconds

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

int pause_main(double seconds)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	double since = clock_mono();
	for (;;) {
		int got = sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = look_every});
		if (got == SIGTERM || got == SIGINT)
			return 0;
		int status = 0, last = 0;
		pid_t gone;
		bool some = false;
		while ((gone = waitpid(-1, &status, WNOHANG)) > 0) {
			some = true;
			last = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		bool alone = is_alone();
		if (some && alone)
			return last;
		if (!alone)
			since = clock_mono();
		else if (clock_mono() - since > seconds)
			return 0;
	}
}
