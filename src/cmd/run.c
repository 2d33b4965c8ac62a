#include "run/run.h"

#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/live_target.h"
#include "cmd/options.h"
#include "cmd/start_and_follow.h"
#include "controller/budget.h"
#include "exec/attached.h"
#include "exec/executor.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "job/prices.h"
#include "job/site_file.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct options_usage usage = {
	.arguments = "JOB",
	.least = 1,
	.most = 1,
	.about = "Runs a job: starts its cluster, runs the job on it, stores output, metrics and results below "
		 "runs/ID, and removes the cluster. Ctrl-C stops the run; a second Ctrl-C stops it at once.\n\n"
		 "Exit status: 0 the job succeeded, 1 it failed, 2 the command line or the job file is wrong, "
		 "3 muster or the executor failed, 130 the run was cancelled.",
};

enum { JOB_MAX = 1 << 20 };

struct options {
	struct options_list sets;
	const char *job, *runs, *site, *on, *prices;
	bool share, detach, preflight_only, json, quiet;
};

// 1: go on, 0: --help was asked for.
static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	const struct option_row rows[] = {
		OPTIONS_SET(&o->sets),
		{"detach", 'd', NULL, "print the run's id and return; the run continues (see attach, logs, cancel)",
			&o->detach},
		{"on", 0, "CLUSTER", "run on this persistent cluster (default: on all of its nodes)", &o->on},
		{"share", 0, NULL, "with --on: also while other jobs run there", &o->share},
		{"preflight-only", 0, NULL,
			"only check that every pair of nodes can connect, print the matrix, and remove the nodes",
			&o->preflight_only},
		OPTIONS_RUNS(&o->runs),
		OPTIONS_SITE(&o->site),
		OPTIONS_PRICES(&o->prices),
		{"json", 'j', NULL, "print only the events, one JSON object per line", &o->json},
		{"quiet", 'q', NULL, "print only problems and the end", &o->quiet},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	if (o->share && !o->on)
		return error_set(err, ERROR_USAGE, "run: found --share without --on CLUSTER, expected both");
	o->job = argv[first];
	return 1;
}

// On a persistent cluster, whose controller is started again if it is gone.
static int place(const struct options *o, struct job *job, struct error *err)
{
	struct live_target t;
	if (!o->on)
		return 0;
	if (live_target_open_cluster(&t, o->on, err) < 0)
		return -1;
	int rc = job_on(job, o->on, t.nodes, o->share, err);
	live_target_close(&t);
	return rc;
}

// Who lists four hosts and runs on two should know.
static void note_spare_hosts(const struct job *job, const json_t *plan)
{
	size_t hosts = json_array_size(job->cluster.list), nodes = plan_nodes(plan);
	if (hosts > nodes && plan)
		fprintf(stderr, "muster: found %zu hosts, using the first %zu as `cluster.nodes` says\n", hosts, nodes);
}

// What the job file asks for, as a plan; the file's text is kept for the record.
static json_t *load(const struct options *o, char **text, size_t *len, struct error *err)
{
	*text = fs_read(o->job, JOB_MAX, len, err);
	if (!*text) {
		err->code = ERROR_USAGE;
		return NULL;
	}
	struct job *job = job_parse(*text, *len, o->job, o->sets.items, o->sets.count, err);
	if (!job)
		return NULL;
	autojson json_t *site = o->site ? site_file_load(o->site, err) : NULL;
	autofree char *path = fs_absolute(o->job, err);
	json_t *plan = NULL;
	if (path && (!o->site || site) && place(o, job, err) == 0) {
		*strrchr(path, '/') = '\0';
		plan = plan_make(job, site, *path ? path : "/", err);
	}
	if (!o->quiet && !o->json && !o->on)
		note_spare_hosts(job, plan);
	job_free(job);
	return plan;
}

// A budget in money needs to know what the nodes cost; the record keeps what was known.
static int add_prices(json_t *plan, const char *file, struct error *err)
{
	struct error why = {0};
	if (isinf(plan_budget(plan).max_cost))
		return 0;
	json_t *prices = prices_find(file, &why);
	if (why.code) {
		*err = why;
		return -1;
	}
	if (prices)
		plan_set_prices(plan, prices);
	return 0;
}

// A path that is wrong is better said before nodes are made than by each of them.
static int check_inputs(const json_t *plan, struct error *err)
{
	for (size_t i = 0; i < plan_inputs(plan); i++) {
		struct plan_input input = plan_input(plan, i);
		if (input.kind == PLAN_INPUT_HTTP || input.kind == PLAN_INPUT_GIT || access(input.from, R_OK) == 0)
			continue;
		error_errno(err, "input '%s': cannot read '%s'", input.name, input.from);
		err->code = ERROR_USAGE;
		return -1;
	}
	return 0;
}

static int run(const struct options *o, struct error *err)
{
	autofree char *text = NULL;
	size_t len = 0;
	autojson json_t *plan = load(o, &text, &len, err);
	const struct executor *executor = !plan   ? NULL
					  : o->on ? &executor_attached
						  : executor_find(plan_executor(plan), err);
	if (!executor || executor->check(plan, err) < 0 || check_inputs(plan, err) < 0 ||
		add_prices(plan, o->prices, err) < 0 || budget_check(plan, err) < 0)
		return -1;
	struct run *run = run_create(o->runs, plan_name(plan), text, len, plan, err);
	if (!run)
		return -1;
	struct start_and_follow_options options = {
		.controller = {.run = run, .plan = plan, .executor = executor, .preflight_only = o->preflight_only},
		.detach = o->detach,
		.json = o->json,
		.quiet = o->quiet};
	int status = start_and_follow(&options, err);
	if (status == 0 && o->detach)
		puts(run->id);
	run_free(run);
	return status;
}

int cmd_run(int argc, char **argv, struct error *err)
{
	struct options o = {0};
	int rc = parse(argc, argv, &o, err);
	if (rc > 0)
		rc = run(&o, err);
	free(o.sets.items);
	return rc;
}
