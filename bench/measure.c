// measure [-t SECONDS] COMMAND...: how long a command took and what it cost. It does not judge: prints "WALL CPU
// STATUS" on descriptor 3.
//
// WALL is seconds from start to the command's exit. CPU is user and system seconds of the command and of everything it
// left behind, whoever became its parent: orphans come to us, and we wait for them. STATUS is the exit status, 128 + a
// signal, or "hang" when SECONDS were over.
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double orphans_may_last = 10;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec * 1e-6;
}

// Whatever is still below us.
static void kill_children(void)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *f = fopen(path, "r");
	int pid;
	while (f && fscanf(f, "%d", &pid) == 1)
		kill(pid, SIGKILL);
	if (f)
		fclose(f);
}

static pid_t start(char **argv, const sigset_t *mask)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	sigprocmask(SIG_SETMASK, mask, NULL);
	close(3);
	execvp(argv[0], argv);
	fprintf(stderr, "measure: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

// Takes the exit of every child until there is none, or it is `until`. SIGCHLD is blocked and waited for.
static int wait_all(pid_t pid, double until, double *end, int *status)
{
	sigset_t child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		int how;
		pid_t gone;
		while ((gone = waitpid(-1, &how, WNOHANG)) > 0)
			if (gone == pid) {
				*end = now();
				*status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
				until = *end + orphans_may_last;
			}
		if (gone < 0)
			return 0;
		double left = until - now();
		if (left <= 0)
			return -1;
		struct timespec t = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
		sigtimedwait(&child, NULL, &t);
	}
}

int main(int argc, char **argv)
{
	double limit = 600;
	if (argc > 2 && strcmp(argv[1], "-t") == 0) {
		limit = strtod(argv[2], NULL);
		argv += 2;
		argc -= 2;
	}
	if (argc < 2 || limit <= 0) {
		fputs("usage: measure [-t SECONDS] COMMAND... 3>RESULT\n", stderr);
		return 2;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigset_t child, before;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	double began = now(), end = 0;
	int status = -1;
	pid_t pid = start(argv + 1, &before);
	bool hung = false;
	while (wait_all(pid, began + limit, &end, &status) < 0) {
		hung = hung || end == 0;
		kill_children(); // theirs come to us and are killed in the next round
		limit = now() - began + 0.1;
	}
	struct rusage used;
	getrusage(RUSAGE_CHILDREN, &used);
	double wall = end - began;
	dprintf(3, "%.6f %.6f ", wall, seconds(used.ru_utime) + seconds(used.ru_stime));
	dprintf(3, hung ? "hang\n" : "%d\n", status);
	return hung ? 124 : status;
}
