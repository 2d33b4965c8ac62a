#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "controller/interrupt.h"
#include "run/run.h"
#include "tui/follow.h"
#include "wire/event.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct options_usage usage = {
	.arguments = "[RUN]",
	.most = 1,
	.about =
		"Stops a run (default: the latest) as Ctrl-C would: ends its ranks, fetches the outputs, removes the "
		"nodes; then prints the outcome.\n\n"
		"Exit status: 0 the run has ended, 2 it had ended before, 3 it could not be stopped." OPTIONS_ABOUT_RUN,
};

static const double PATIENCE = 60; // seconds for the run to end
static const double FOREVER = 1e9; // with --wait
static const double NOTICE = 1;    // for the controller to notice one signal before it is sent another
static const double FAREWELL = 10; // to end itself after the run's end
static const double BLIND = 0.1;   // between readings when nobody tells that something was written

struct cancel {
	const struct run *run;
	pid_t pid;
	int pidfd;
	struct follow *follow;
	bool stopping;
	json_t *end;
};

static int on_event(json_t *event, const char *line, size_t len, void *data)
{
	struct cancel *c = data;
	const char *to = json_string_value(json_object_get(event, "to"));
	if (event_is(event, "state"))
		c->stopping = to && strcmp(to, "stopping") == 0;
	if (event_is(event, "end") && !c->end)
		c->end = json_incref(event);
	return 0;
}

static bool has_ended(const struct cancel *c)
{
	return c->end;
}

static bool is_stopping(const struct cancel *c)
{
	return c->stopping || c->end;
}

// Reads events until it is so, the controller is gone (then all of them) or the time is over. 1 when it is so, 0 when
// not.
static int await(struct cancel *c, bool (*is_so)(const struct cancel *c), double seconds, struct error *err)
{
	double until = clock_mono() + seconds;
	bool gone = false;
	for (;;) {
		int rc = gone ? follow_finish(c->follow, err) : follow_read(c->follow, NULL, err);
		double left = until - clock_mono();
		if (rc < 0 || is_so(c) || gone || left <= 0)
			return rc < 0 ? -1 : is_so(c);
		struct pollfd fds[] = {
			{.fd = c->pidfd, .events = POLLIN}, {.fd = follow_fd(c->follow), .events = POLLIN}};
		double wait = fds[1].fd < 0 && left > BLIND ? BLIND : left < 3600 ? left : 3600;
		poll(fds, countof(fds), rc == FOLLOW_MORE ? 0 : (int)(wait * 1000) + 1);
		gone = fds[0].revents;
	}
}

static int send_interrupt(const struct cancel *c, struct error *err)
{
	return interrupt_send(c->pidfd, err) < 0 ? error_wrap(err, "run %s", c->run->id) : 0;
}

static int say_end(const struct cancel *c)
{
	const char *outcome = json_string_value(json_object_get(c->end, "outcome"));
	autofree char *took = str_seconds(json_number_value(json_object_get(c->end, "seconds")));
	printf("run %s: %s after %s\n", c->run->id, outcome ? outcome : "over", took);
	return fflush(stdout) == 0 ? 0 : ERROR_SYSTEM;
}

// Two signals of one kind that wait together are one: the second has to come after the first was heard.
static int stop(struct cancel *c, bool now, double patience, struct error *err)
{
	if (send_interrupt(c, err) < 0)
		return -1;
	if (now && (await(c, is_stopping, NOTICE, err) < 0 || send_interrupt(c, err) < 0))
		return -1;
	int over = await(c, has_ended, patience, err);
	if (over < 0)
		return -1;
	struct pollfd gone = {.fd = c->pidfd, .events = POLLIN};
	if (over) {
		poll(&gone, 1, (int)(FAREWELL * 1000));
		return say_end(c);
	}
	if (poll(&gone, 1, 0) > 0)
		return error_set(err, ERROR_SYSTEM,
			"the controller (pid %d) of the run %s was killed; `muster reap` removes what it left",
			(int)c->pid, c->run->id);
	return error_set(err, ERROR_SYSTEM,
		"the run %s is still stopping after %.0f s; `muster cancel --now %s` stops it at once", c->run->id,
		patience, c->run->id);
}

static int refuse(const struct cancel *c, struct error *err)
{
	const char *outcome = json_string_value(json_object_get(c->end, "outcome"));
	if (c->end)
		return error_set(err, ERROR_USAGE, "the run %s has ended before (%s): there is nothing to cancel",
			c->run->id, outcome ? outcome : "unknown outcome");
	return error_set(err, ERROR_SYSTEM,
		"the run %s has no controller any more, it was killed; `muster reap` removes what it left", c->run->id);
}

static int cancel_run(const struct run *run, bool now, double patience, struct error *err)
{
	struct cancel c = {.run = run};
	const struct follow_calls calls = {.on_event = on_event, .data = &c};
	autojson json_t *control = NULL;
	bool alive = run_alive(run, &control);
	c.pid = (pid_t)json_integer_value(json_object_get(control, "pid"));
	autoclose int pidfd = alive ? (int)syscall(SYS_pidfd_open, c.pid, 0) : -1;
	c.pidfd = pidfd;
	c.follow = follow_open(run, &calls, err);
	int rc = c.follow ? follow_read(c.follow, NULL, err) : -1;
	// Looked at again, for the descriptor may be of somebody else who has got the number since.
	if (rc >= 0)
		rc = pidfd >= 0 && !c.end && run_alive(run, NULL) ? stop(&c, now, patience, err) : refuse(&c, err);
	follow_close(c.follow);
	json_decref(c.end);
	return rc;
}

int cmd_cancel(int argc, char **argv, struct error *err)
{
	const char *runs = NULL;
	bool now = false, wait = false;
	const struct option_row rows[] = {
		{"now", 0, NULL, "stop at once, without a grace period for the ranks", &now},
		{"wait", 0, NULL, "wait without a limit (default: at most 60 seconds)", &wait},
		OPTIONS_RUNS(&runs),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	struct run *run = run_open(runs, argv[first], err);
	if (!run)
		return -1;
	int rc = cancel_run(run, now, wait ? FOREVER : PATIENCE, err);
	run_free(run);
	return rc;
}
