#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/start.h"
#include "cmd/target.h"
#include "controller/budget.h"
#include "exec/executor.h"
#include "exec/live.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/prices.h"
#include "job/site.h"
#include "run/run.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: muster run JOB [OPTION]...\n"
			    "\n"
			    "Brings the job's cluster together, runs the job on it, collects what it leaves under runs/ID and leaves\n"
			    "nothing else behind. Ctrl-C stops it gently, a second Ctrl-C at once.\n"
			    "\n"
			    "  -s, --set PATH=VALUE   override a key of the job file: run.env.X=1, cluster.nodes=4, inputs[0].from=a.tar\n"
			    "  -d, --detach           print the run's id and return; the run goes on (muster attach, logs -f, cancel)\n"
			    "      --on CLUSTER       on a cluster that `muster up` keeps, all of its nodes unless the job says how many\n"
			    "      --share            with --on: also while other jobs are on it\n"
			    "      --preflight-only   bring the nodes up, check every pair of them, print the matrix, run nothing\n"
			    "      --runs DIR         where runs are kept (default $MUSTER_RUNS or ./runs)\n"
			    "      --site FILE        defaults of this site: deadline, heartbeat, lease, grace\n"
			    "  -j, --json             print the run's events, one JSON object a line, and nothing else\n"
			    "  -q, --quiet            print problems and the end only\n"
			    "  -h, --help             print this text\n"
			    "\n"
			    "Exit status: 0 the job succeeded, 1 it failed, 2 the command line or the job file is wrong,\n"
			    "3 muster or the executor failed, 130 cancelled.\n";

enum { JOB_MAX = 1 << 20 };

struct options {
	const char **sets;
	size_t nsets;
	const char *job, *runs, *site, *on;
	bool share, detach, preflight_only, json, quiet, help;
};

static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	enum { SITE = 256, PREFLIGHT, RUNS, ON, SHARE };
	static const struct option known[] = {{"set", required_argument, NULL, 's'}, {"detach", no_argument, NULL, 'd'},
		{"preflight-only", no_argument, NULL, PREFLIGHT}, {"runs", required_argument, NULL, RUNS}, {"site", required_argument, NULL, SITE},
		{"on", required_argument, NULL, ON}, {"share", no_argument, NULL, SHARE}, {"json", no_argument, NULL, 'j'}, {"quiet", no_argument, NULL, 'q'}, {"help", no_argument, NULL, 'h'}, {0}};
	optind = 1;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":s:djqh", known, NULL)) >= 0;) {
		switch (c) {
		case 's':
			o->sets[o->nsets++] = optarg;
			break;
		case 'd':
			o->detach = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'q':
			o->quiet = true;
			break;
		case 'h':
			o->help = true;
			break;
		case PREFLIGHT:
			o->preflight_only = true;
			break;
		case RUNS:
			o->runs = optarg;
			break;
		case ON:
			o->on = optarg;
			break;
		case SHARE:
			o->share = true;
			break;
		case SITE:
			o->site = optarg;
			break;
		case ':':
			return error_set(err, ERROR_USAGE, "run: '%s' needs a value", argv[optind - 1]);
		default:
			return error_set(err, ERROR_USAGE, "run: unknown option '%s'; `muster run --help` lists them", argv[optind - 1]);
		}
	}
	if (o->help)
		return 0;
	if (o->share && !o->on)
		return error_set(err, ERROR_USAGE, "run: --share goes with --on CLUSTER");
	if (optind + 1 != argc)
		return error_set(err, ERROR_USAGE, optind == argc ? "run: expected a job file" : "run: expected one job file, found '%s' too", argv[argc - 1]);
	o->job = argv[optind];
	return 0;
}

// On a cluster that is kept up, whose controller is started again if it is gone.
static int place(const struct options *o, struct job *job, struct error *err)
{
	struct target t;
	if (!o->on)
		return 0;
	if (target_open_cluster(&t, o->on, err) < 0)
		return -1;
	int rc = job_on(job, o->on, t.nodes, o->share, err);
	target_close(&t);
	return rc;
}

// What the job file asks for, as a plan; the file's text is kept for the record.
static json_t *load(const struct options *o, char **text, size_t *len, struct error *err)
{
	*text = fs_read(o->job, JOB_MAX, len, err);
	if (!*text) {
		err->code = ERROR_USAGE;
		return NULL;
	}
	struct job *job = job_parse(*text, *len, o->job, o->sets, o->nsets, err);
	if (!job)
		return NULL;
	autojson json_t *site = o->site ? site_load(o->site, err) : NULL;
	autofree char *path = fs_absolute(o->job, err);
	json_t *plan = NULL;
	if (path && (!o->site || site) && place(o, job, err) == 0) {
		*strrchr(path, '/') = '\0';
		plan = plan_make(job, site, *path ? path : "/", err);
	}
	job_free(job);
	return plan;
}

// A budget in money needs to know what the nodes cost; the record keeps what was known.
static int add_prices(json_t *plan, struct error *err)
{
	struct error why = {0};
	if (!json_object_get(json_object_get(plan, "budget"), "max_cost"))
		return 0;
	json_t *prices = prices_find(NULL, &why);
	if (why.code) {
		*err = why;
		return -1;
	}
	if (prices)
		json_object_set_new(plan, "prices", prices);
	return budget_check(plan, err);
}

int cmd_run(int argc, char **argv, struct error *err)
{
	autofree const char **sets = mem_alloc((size_t)argc * sizeof *sets);
	struct options o = {.sets = sets};
	if (parse(argc, argv, &o, err) < 0)
		return -1;
	if (o.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (!o.runs)
		o.runs = getenv("MUSTER_RUNS") ? getenv("MUSTER_RUNS") : "runs";
	autofree char *text = NULL;
	size_t len = 0;
	autojson json_t *plan = load(&o, &text, &len, err);
	const struct executor *executor = !plan ? NULL : o.on ? &executor_live : executor_find(plan_executor(plan), err);
	if (!executor || executor->check(plan, err) < 0 || add_prices(plan, err) < 0)
		return -1;
	struct run *run = run_create(o.runs, json_string_value(json_object_get(plan, "name")), text, len, plan, err);
	if (!run)
		return -1;
	struct start_options options = {
		.controller = {.run = run, .plan = plan, .executor = executor, .preflight_only = o.preflight_only},
		.detach = o.detach,
		.json = o.json,
		.quiet = o.quiet};
	int status = start_controller(&options, err);
	if (status == 0 && o.detach)
		puts(run->id);
	run_free(run);
	return status;
}
