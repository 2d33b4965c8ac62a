#include "cmd/controller_process.h"

#include "base/mem.h"
#include "base/proc.h"
#include "report/preflight_matrix.h"
#include "report/report.h"
#include "run/run.h"
#include "tui/viewer.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// The controller's process. leash: what it cannot say in the run directory it says here, and while somebody watches it
// ends with them.
static void be_controller(const struct controller_process_options *options, int leash) __attribute__((noreturn));
static void be_controller(const struct controller_process_options *options, int leash)
{
	struct error err = {0};
	struct controller_options own = options->controller;
	own.leash = options->detach ? -1 : fcntl(leash, F_DUPFD_CLOEXEC, 3);
	if (options->detach || own.persistent) {
		setsid();
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
	} else
		setpgid(0, 0); // Ctrl-C goes to the watcher, who passes it on
	if (own.persistent && chdir("/") < 0)
		_exit(ERROR_SYSTEM);
	int status = controller_main(&own, &err);
	if (status < 0)
		send(leash, err.text, strlen(err.text), MSG_NOSIGNAL);
	_exit(status < 0 ? ERROR_SYSTEM : status);
}

// The controller has ended without a word in the run directory: why it could not start. 0 when it said nothing here
// either.
static int read_why(int leash, struct error *err)
{
	char why[sizeof err->text];
	ssize_t n = recv(leash, why, sizeof why - 1, MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	why[n] = '\0';
	return error_set(err, ERROR_SYSTEM, "%s", why);
}

// Waits until the controller has written its control.json (there may be one of a dead controller) or has ended.
static int wait_started(const struct run *run, pid_t pid, int leash, struct error *err)
{
	while (!run_alive(run, NULL)) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return read_why(leash, err);
		usleep(1000);
	}
	return 0;
}

// Those that controller and watcher read as they come.
static void own_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

static void print_matrix(const struct run *run)
{
	autojson json_t *report = report_make(run, NULL);
	autofree char *text = preflight_matrix_text(report);
	fputs(text, stdout);
}

static int follow(
	const struct controller_process_options *o, pid_t pid, unsigned long long started, int leash, struct error *err)
{
	bool left = false;
	const struct run *run = o->controller.run;
	struct viewer_options options = {.json = o->json,
		.quiet = o->quiet,
		.owner = true,
		.until = o->controller.persistent ? "holding" : NULL,
		.left = &left,
		.controller = pid,
		.started = started};
	int status = viewer_follow(run, &options, err);
	sigset_t set;
	own_signals(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (left) {
		send(leash, "g", 1, MSG_NOSIGNAL); // go on without us
		return 0;
	}
	int ended;
	bool finished = waitpid(pid, &ended, 0) == pid && status >= 0 && WIFEXITED(ended);
	if (finished && o->controller.preflight_only && !o->json)
		print_matrix(run);
	if (finished)
		return WEXITSTATUS(ended);
	read_why(leash, err);
	return status;
}

int controller_process_start(const struct controller_process_options *o, struct error *err)
{
	struct run *run = o->controller.run;
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, "cannot make a pair of sockets");
	autoclose int ours = ends[0], theirs = ends[1];
	fflush(NULL);
	// A signal that comes before controller and watcher are ready for it waits until they are.
	sigset_t set;
	own_signals(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(steal_fd(&ours));
		be_controller(o, theirs);
	}
	close(steal_fd(&theirs));
	if (pid < 0)
		return error_errno(err, "cannot start a process");
	unsigned long long started = proc_started(pid);
	if (!o->detach)
		return follow(o, pid, started, ours, err);
	if (wait_started(run, pid, ours, err) < 0)
		return -1;
	return 0;
}
