#include "agent/forked_task.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4 << 20 };

struct forked_task {
	struct forked_task_options options;
	pid_t pid;
	struct loop_watch *out, *exit;
	int control; // write end: closing it is the word
	bool dead;   // it was killed, and nobody wants to hear of it
	bool paused; // its lines wait
	bool ended;  // no more come than are there, and those do not wait
	struct str line;
};

static void take_lines(struct forked_task *c)
{
	char *start = c->line.text, *end;
	while (start && (end = memchr(start, '\n', c->line.len - (size_t)(start - c->line.text)))) {
		autojson json_t *tree = json_loadb(start, (size_t)(end - start), 0, NULL);
		if (json_is_object(tree) && !c->dead)
			c->options.on_line(tree, c->options.data);
		start = end + 1;
	}
	if (start && start > c->line.text) {
		c->line.len -= (size_t)(start - c->line.text);
		memmove(c->line.text, start, c->line.len);
	}
	if (c->line.len > LINE_MAX_BYTES)
		c->line.len = 0;
}

// Reads what there is, or as long as somebody wants it; true at the end.
static bool drain(struct forked_task *c)
{
	char buf[16384];
	ssize_t n = -1;
	while ((!c->paused || c->ended) && (n = read(loop_watch_fd(c->out), buf, sizeof buf)) > 0) {
		str_add(&c->line, buf, (size_t)n);
		take_lines(c);
	}
	return n == 0;
}

static void on_out(enum loop_event event, void *data)
{
	struct forked_task *c = data;
	c->ended = c->ended || event == LOOP_CLOSED;
	bool end = drain(c);
	if (event == LOOP_CLOSED)
		c->out = NULL;
	else if (end)
		loop_unwatch(steal(c->out));
}

static void on_exit_ready(enum loop_event event, void *data)
{
	struct forked_task *c = data;
	int status = SIGKILL; // when somebody else has reaped it
	if (waitpid(c->pid, &status, WNOHANG) == 0)
		return;
	if (c->out) {
		c->ended = true;
		drain(c);
		loop_unwatch(c->out);
	}
	if (event != LOOP_CLOSED)
		loop_unwatch(c->exit);
	forked_task_end(c);
	if (!c->dead)
		c->options.on_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), c->options.data);
	str_fini(&c->line);
	free(c);
}

static void run_child(const struct forked_task_options *o, int out, int control, pid_t parent)
	__attribute__((noreturn));
static void run_child(const struct forked_task_options *o, int out, int control, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	// The agent's connection must not live on in a copy: put what is needed at 3, 4 and 5 and close the rest.
	int keep[3] = {fcntl(out, F_DUPFD, 100), fcntl(control, F_DUPFD, 100),
		o->keep >= 0 ? fcntl(o->keep, F_DUPFD, 100) : -1};
	for (int i = 0; i < 3; i++)
		if (keep[i] >= 0)
			dup2(keep[i], 3 + i);
	syscall(SYS_close_range, 6U, ~0U, 0);
	signal(SIGPIPE, SIG_IGN);
	_exit(o->work(3, 4, o->work_data));
}

struct forked_task *forked_task_start(struct loop *loop, const struct forked_task_options *options, struct error *err)
{
	int out[2] = {-1, -1}, control[2] = {-1, -1};
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(control, O_CLOEXEC) < 0) {
		error_errno(err, "cannot make a pipe");
		mem_cleanup_fd(&out[0]);
		mem_cleanup_fd(&out[1]);
		return NULL;
	}
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		run_child(options, out[1], control[0], parent);
	close(out[1]);
	close(control[0]);
	if (pid < 0) {
		error_errno(err, "cannot start a process");
		close(out[0]);
		close(control[1]);
		return NULL;
	}
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	struct forked_task *c = mem_alloc(sizeof *c);
	*c = (struct forked_task){.options = *options, .pid = pid, .control = control[1]};
	c->out = loop_watch(loop, out[0], on_out, c);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	c->exit = pidfd < 0 ? NULL : loop_watch(loop, pidfd, on_exit_ready, c);
	if (c->exit)
		return c;
	error_errno(err, "cannot watch a process");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	loop_unwatch(c->out);
	forked_task_end(c);
	free(c);
	return NULL;
}

void forked_task_end(struct forked_task *child)
{
	if (child && child->control >= 0)
		close(steal_fd(&child->control));
}

void forked_task_pause(struct forked_task *child, bool paused)
{
	if (child->paused == paused || child->ended)
		return;
	child->paused = paused;
	if (child->out)
		loop_watch_pause(child->out, paused);
}

void forked_task_kill(struct forked_task *child)
{
	if (!child)
		return;
	child->dead = true;
	kill(child->pid, SIGKILL);
}
