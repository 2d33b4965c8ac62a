#include "agent/termination.h"

#include "base/mem.h"
#include "node/agent_processes.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const double look_again = 0.1; // seconds

struct termination {
	struct loop_watch *watch;
	struct loop_timer *timer;
	void (*on_told)(void *data);
	void (*on_alone)(void *data);
	void *data;
	bool told;
};

static sigset_t set_of_it(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	return set;
}

void termination_block(void)
{
	sigset_t set = set_of_it();
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void on_time(void *data)
{
	struct termination *t = data;
	autofree pid_t *pids = NULL;
	if (agent_processes_find_below(&pids))
		loop_timer_set(t->timer, look_again);
	else
		t->on_alone(t->data);
}

static void tell_others(void)
{
	autofree pid_t *pids = NULL;
	size_t count = agent_processes_find_below(&pids);
	for (size_t i = 0; i < count; i++)
		kill(pids[i], SIGTERM);
}

static void on_signal(enum loop_event event, void *data)
{
	struct termination *t = data;
	struct signalfd_siginfo info;
	if (event != LOOP_READABLE || read(loop_watch_fd(t->watch), &info, sizeof info) != sizeof info || t->told)
		return;
	t->told = true;
	t->on_told(t->data);
	tell_others();
	on_time(t);
}

struct termination *termination_watch(
	struct loop *loop, void (*on_told)(void *data), void (*on_alone)(void *data), void *data, struct error *err)
{
	sigset_t set = set_of_it();
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		error_errno(err, "cannot watch signals");
		return NULL;
	}
	struct termination *t = mem_alloc(sizeof *t);
	*t = (struct termination){.on_told = on_told, .on_alone = on_alone, .data = data};
	t->timer = loop_timer_new(loop, on_time, t);
	t->watch = loop_watch(loop, fd, on_signal, t);
	if (t->watch)
		return t;
	termination_free(t);
	error_set(err, ERROR_SYSTEM, "cannot watch signals");
	return NULL;
}

void termination_free(struct termination *t)
{
	if (!t)
		return;
	loop_unwatch(t->watch);
	loop_timer_free(t->timer);
	free(t);
}
