#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "exec/executor.h"
#include "job/plan.h"
#include "run/clusters.h"
#include "wire/event.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct options_usage usage = {
	.arguments = "NAME",
	.least = 1,
	.most = 1,
	.about = "Stops a persistent cluster: cancels the jobs that run on it and fetches their outputs, then removes "
		 "its nodes.",
};

static const double notice = 1; // for the controller to hear one signal before the next

static int find_jobs(const char *name, const struct run *run, json_t **jobs, struct error *err)
{
	autojson json_t *status = clusters_status(name, run, err);
	if (!status)
		return -1;
	*jobs = json_array();
	size_t i;
	json_t *job;
	json_array_foreach (json_object_get(status, "jobs"), i, job)
		if (!json_has(job, "end"))
			json_array_append(*jobs, job);
	return 0;
}

static int say_jobs(const char *name, const struct run *run, struct error *err)
{
	autojson json_t *jobs = NULL;
	if (find_jobs(name, run, &jobs, err) < 0)
		return -1;
	size_t i;
	json_t *job;
	json_array_foreach (jobs, i, job)
		fprintf(stderr, "cancelling run %s on the cluster\n", json_text(job, "run"));
	return 0;
}

// Waits for the controller to end.
static int end_controller(pid_t pid, bool now, struct error *err)
{
	autoclose int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return 0; // it has gone meanwhile
	struct pollfd gone = {.fd = fd, .events = POLLIN};
	for (int signals = now ? 2 : 1; signals-- > 0;) {
		if (syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) < 0 && errno != ESRCH)
			return error_errno(err, "cannot signal the controller, process %d", (int)pid);
		if (signals && poll(&gone, 1, (int)(notice * 1000)) > 0)
			return 0;
	}
	while (poll(&gone, 1, -1) < 0 && errno == EINTR)
		;
	return 0;
}

static int on_receipt(json_t *event, void *data)
{
	if (event_is(event, "receipt"))
		*(size_t *)data = json_count(event, "left");
	return 0;
}

static int check_receipt(const struct run *run, struct error *err)
{
	size_t left = 0;
	uint64_t offset = 0;
	if (run_read(run, false, &offset, on_receipt, &left, err) < 0)
		return -1;
	return left ? error_set(err, ERROR_SYSTEM,
			      "down: %zu things of the cluster are still there; `muster reap %s` removes them", left,
			      run->id)
		    : 0;
}

// Nobody is there to be told: the executor looks for the label.
static int remove_all(const struct run *run, struct error *err)
{
	autojson json_t *plan = clusters_plan(run, err), *left = json_array();
	const struct executor *executor = plan ? executor_find(plan_executor(plan), err) : NULL;
	struct cluster c = {.label = run->id, .plan = plan, .run_dir = run->dir};
	if (!executor || executor->down(&c, err) < 0 || executor->left(&c, left, err) < 0)
		return -1;
	return json_array_size(left) ? error_set(err, ERROR_SYSTEM, "down: %zu things of the cluster are still there",
					       json_array_size(left))
				     : 0;
}

static int down(const char *name, const struct run *run, bool now, struct error *err)
{
	autojson json_t *control = NULL;
	if (run_alive(run, &control)) {
		pid_t pid = (pid_t)json_integer_value(json_object_get(control, "pid"));
		if (say_jobs(name, run, err) < 0 || end_controller(pid, now, err) < 0 || check_receipt(run, err) < 0)
			return -1;
	}
	return remove_all(run, err); // also when there was a controller: it may have been killed half way
}

int cmd_down(int argc, char **argv, struct error *err)
{
	bool now = false, quiet = false;
	const struct option_row rows[] = {
		{"now", 0, NULL, "at once: do not wait for the jobs' outputs", &now},
		OPTIONS_QUIET(&quiet),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	const char *name = argv[first];
	struct run *run = clusters_open(name, err);
	if (!run)
		return -1;
	int rc = down(name, run, now, err);
	run_free(run);
	if (rc == 0)
		rc = clusters_remove(name, err);
	if (rc == 0 && !quiet)
		printf("cluster %s is down; nothing is left\n", name);
	return rc;
}
