#include "controller/controller_process.h"

#include "base/mem.h"
#include "base/proc.h"
#include "controller/controller.h"
#include "controller/interrupt.h"
#include "kube/kubeconfig.h"
#include "run/run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// The new process. leash: what it cannot say in the run directory it says here, and while somebody watches it ends with
// them.
static void be_controller(const struct controller_options *options, bool detach, int leash) __attribute__((noreturn));
static void be_controller(const struct controller_options *options, bool detach, int leash)
{
	struct error err = {0};
	struct controller_options own = *options;
	own.leash = detach ? -1 : fcntl(leash, F_DUPFD_CLOEXEC, 3);
	if (detach || own.persistent) {
		setsid();
		int null = open("/dev/null", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
	} else
		setpgid(0, 0); // Ctrl-C goes to the watcher, who passes it on
	if (own.persistent) {
		kubeconfig_keep_files();
		if (chdir("/") < 0)
			_exit(ERROR_SYSTEM);
	}
	int status = controller_main(&own, &err);
	if (status < 0)
		send(leash, err.text, strlen(err.text), MSG_NOSIGNAL);
	_exit(status < 0 ? ERROR_SYSTEM : status);
}

int controller_process_start(
	struct controller_process *p, const struct controller_options *options, bool detach, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, "cannot make a pair of sockets");
	autoclose int ours = ends[0], theirs = ends[1];
	fflush(NULL);
	interrupt_block(); // one that comes before controller and watcher are ready for it waits until they are
	pid_t pid = fork();
	if (pid == 0) {
		close(steal_fd(&ours));
		be_controller(options, detach, theirs);
	}
	if (pid < 0) {
		error_errno(err, "cannot start a process");
		interrupt_unblock();
		return -1;
	}
	*p = (struct controller_process){.pid = pid, .started = proc_started(pid), .leash = steal_fd(&ours)};
	return 0;
}

int controller_process_read_why(const struct controller_process *p, struct error *err)
{
	char why[sizeof err->text];
	ssize_t n = recv(p->leash, why, sizeof why - 1, MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	why[n] = '\0';
	return error_set(err, ERROR_SYSTEM, "%s", why);
}

// There may be a control.json of a dead controller.
int controller_process_wait_started(const struct controller_process *p, const struct run *run, struct error *err)
{
	while (!run_alive(run, NULL)) {
		if (waitpid(p->pid, NULL, WNOHANG) == p->pid)
			return controller_process_read_why(p, err);
		usleep(1000);
	}
	return 0;
}

void controller_process_let_go(const struct controller_process *p)
{
	send(p->leash, "g", 1, MSG_NOSIGNAL);
}

int controller_process_wait(const struct controller_process *p)
{
	int status;
	interrupt_unblock();
	return waitpid(p->pid, &status, 0) == p->pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void controller_process_close(struct controller_process *p)
{
	close(p->leash);
	interrupt_unblock();
}
