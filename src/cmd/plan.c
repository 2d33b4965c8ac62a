#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "job/job.h"
#include "job/plan_make.h"
#include "job/site_file.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
	"usage: muster plan JOB [--set PATH=VALUE]... [--site FILE]\n"
	"       muster plan --schema\n"
	"\n"
	"Prints exactly what `muster run JOB` would do, as JSON, and does nothing.\n"
	"\n"
	"  -s, --set PATH=VALUE  override a key of the job file: run.env.X=1, cluster.nodes=4, inputs[0].from=a.tar\n"
	"      --site FILE       defaults of this site: deadline, heartbeat, lease, grace\n"
	"      --schema          print the JSON Schema of the job file\n"
	"  -h, --help            print this text\n";

struct options {
	const char **sets;
	size_t nsets;
	const char *site;
	bool schema, help;
};

static int parse(int argc, char **argv, struct options *options, struct error *err)
{
	static const struct option known[] = {{"set", required_argument, NULL, 's'},
		{"site", required_argument, NULL, 'S'}, {"schema", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int c;
	optind = 1;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":s:h", known, NULL)) >= 0) {
		switch (c) {
		case 's':
			options->sets[options->nsets++] = optarg;
			break;
		case 'S':
			options->site = optarg;
			break;
		case 'j':
			options->schema = true;
			break;
		case 'h':
			options->help = true;
			break;
		case ':':
			return error_set(err, ERROR_USAGE, "plan: '%s' needs a value", argv[optind - 1]);
		default:
			return error_set(err, ERROR_USAGE,
				"plan: unknown option '%s', expected --set, --site, --schema or --help",
				argv[optind - 1]);
		}
	}
	if (options->help || options->schema)
		return 0;
	if (argc - optind != 1)
		return error_set(err, ERROR_USAGE, "plan: found %d job files, expected one", argc - optind);
	return 0;
}

static json_t *make(const char *path, const struct options *options, struct error *err)
{
	autojson json_t *site = options->site ? site_file_load(options->site, err) : NULL;
	autofree char *dir = fs_absolute(path, err);
	if ((options->site && !site) || !dir)
		return NULL;
	*strrchr(dir, '/') = 0;
	struct job *job = job_load(path, options->sets, options->nsets, err);
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
	autofree const char **sets = mem_alloc((size_t)argc * sizeof *sets);
	struct options options = {.sets = sets};
	if (parse(argc, argv, &options, err))
		return -1;
	if (options.help)
		return fputs(usage, stdout) == EOF;
	return print(options.schema ? job_schema() : make(argv[optind], &options, err), err);
}
