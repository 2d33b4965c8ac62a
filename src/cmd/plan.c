#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "job/job.h"
#include "job/plan_make.h"
#include "job/site_file.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct options_usage usage = {
	.arguments = "JOB",
	.most = 1,
	.about = "Prints the plan of a job as JSON: exactly what `muster run JOB` would do. Does nothing else.",
};

struct options {
	struct options_list sets;
	const char *site;
	bool schema;
};

static json_t *make(const char *path, const struct options *options, struct error *err)
{
	autojson json_t *site = options->site ? site_file_load(options->site, err) : NULL;
	autofree char *dir = fs_absolute(path, err);
	if ((options->site && !site) || !dir)
		return NULL;
	*strrchr(dir, '/') = 0;
	struct job *job = job_load(path, options->sets.items, options->sets.count, err);
	if (!job)
		return NULL;
	json_t *plan = plan_make(job, site, *dir ? dir : "/", err);
	job_free(job);
	return plan;
}

static int print(json_t *tree, struct error *err)
{
	if (!tree)
		return -1;
	int rc = json_dumpf(tree, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	json_decref(tree);
	if (rc || putchar('\n') == EOF || fflush(stdout))
		return error_errno(err, "cannot write the plan");
	return 0;
}

int cmd_plan(int argc, char **argv, struct error *err)
{
	struct options o = {0};
	const struct option_row rows[] = {
		OPTIONS_SET(&o.sets),
		OPTIONS_SITE(&o.site),
		{"schema", 0, NULL, "print the JSON Schema of the job file instead; without JOB", &o.schema},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err), rc = first;
	if (first > 0 && !o.schema && !argv[first])
		rc = error_set(err, ERROR_USAGE, "plan: missing argument, expected `muster plan JOB`");
	else if (first > 0)
		rc = print(o.schema ? job_schema() : make(argv[first], &o, err), err);
	free(o.sets.items);
	return rc;
}
