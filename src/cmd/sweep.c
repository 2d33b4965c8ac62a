#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/compare_input.h"
#include "cmd/options.h"
#include "cmd/sweep_runner.h"
#include "compare/compare_files.h"
#include "compare/compare_table.h"
#include "compare/sweep_record.h"
#include "exec/executor.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "job/prices.h"
#include "job/site_file.h"
#include "job/sweep_points.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct options_usage usage = {
	.arguments = "JOB",
	.least = 1,
	.most = 1,
	.about = "Runs a job once for each point of its parameter sweep, in random order, each as a run of its own, "
		 "and compares the clusters. Repeat the command to resume an interrupted sweep: points that are done "
		 "are not run again.\n\n"
		 "Exit status: 0 all runs succeeded, 1 some failed, 2 the command line or the job file is wrong, "
		 "130 interrupted.",
};

enum { JOB_MAX = 1 << 20, ASK_FROM = 100 };

struct options {
	struct options_list sets;
	const char *job, *runs, *site, *prices;
	bool dry_run, yes;
};

// --- what is to be done ---------------------------------------------------------

// 1: go on, 0: --help was asked for.
static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	const struct option_row rows[] = {
		OPTIONS_SET(&o->sets),
		{"dry-run", 0, NULL, "print the points, and run nothing", &o->dry_run},
		{"yes", 'y', NULL, "do not ask for confirmation of more than 100 runs", &o->yes},
		OPTIONS_PRICES(&o->prices),
		OPTIONS_RUNS(&o->runs),
		OPTIONS_SITE(&o->site),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	o->job = argv[first];
	return 1;
}

static json_t *all_sets(const struct options *o, const json_t *point, const json_t *common)
{
	json_t *sets = json_array();
	for (size_t i = 0; i < o->sets.count; i++)
		json_array_append_new(sets, json_string(o->sets.items[i]));
	if (common)
		json_array_extend(sets, (json_t *)common);
	if (point)
		json_array_extend(sets, json_object_get(point, "sets"));
	return sets;
}

// Is the job at this point one that could run? What is wrong is found before anything was done.
static int check_point(const struct options *o, const char *text, size_t len, const json_t *site, const char *dir,
	const json_t *sets, struct error *err)
{
	size_t count = json_array_size(sets);
	autofree const char **list = mem_alloc(count * sizeof *list);
	for (size_t i = 0; i < count; i++)
		list[i] = json_string_value(json_array_get(sets, i));
	struct job *job = job_parse(text, len, o->job, list, count, err);
	autojson json_t *plan = job ? plan_make(job, site, dir, err) : NULL;
	job_free(job);
	const struct executor *executor = plan ? executor_find(plan_executor(plan), err) : NULL;
	return executor ? executor->check(plan, err) : -1;
}

static int check_points(const struct options *o, const char *text, size_t len, const json_t *points,
	const json_t *common, struct error *err)
{
	autojson json_t *site = o->site ? site_file_load(o->site, err) : NULL;
	autofree char *dir = fs_absolute(o->job, err);
	if (!dir || (o->site && !site))
		return -1;
	*strrchr(dir, '/') = '\0';
	size_t i;
	const json_t *point;
	json_array_foreach (points, i, point) {
		struct error why;
		autojson json_t *sets = all_sets(o, point, common);
		if (check_point(o, text, len, site, *dir ? dir : "/", sets, &why) < 0)
			return error_set(err, why.code, "%s: at the point '%s': %s", o->job,
				json_string_value(json_object_get(point, "name")), why.text);
	}
	return 0;
}

static const char *hash_of(const struct options *o, const char *text, size_t len, char hex[CRYPTO_HEX])
{
	struct crypto_hash *hash = crypto_hash_new();
	crypto_hash_add(hash, text, len);
	for (size_t i = 0; i < o->sets.count; i++)
		crypto_hash_add(hash, o->sets.items[i], strlen(o->sets.items[i]) + 1);
	crypto_hash_end(hash, hex);
	return hex;
}

static int ask(size_t count, const struct options *o, struct error *err)
{
	if (o->yes || count <= ASK_FROM)
		return 0;
	if (!isatty(0) || !isatty(2))
		return error_set(err, ERROR_USAGE, "sweep: found %zu runs, expected --yes to confirm so many", count);
	fprintf(stderr, "The sweep has %zu runs. Continue? [y/N] ", count);
	char answer[8];
	if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return error_set(err, ERROR_CANCELLED, "sweep: not started");
}

// --- what came of it ------------------------------------------------------------

// Its files lie in the sweep's directory, its table is what was asked for.
static int show(const struct options *o, const struct sweep_record *record, bool any, struct error *err)
{
	struct compare_input_options options = {.runs = o->runs, .prices = o->prices};
	autojson json_t *tree = compare_input_of(&options, record, NULL, 0, err);
	if (!tree || compare_files_write(tree, record->dir, err) < 0)
		return -1;
	autofree char *text = compare_table_text(tree);
	fputs(text, stdout);
	fprintf(stderr, "\npage with plots: %s/compare.html; compare.json, compare.csv and times.txt are next to it\n",
		record->dir);
	if (any)
		fprintf(stderr,
			"`muster choose %s --deadline TIME` (or --budget, --cheapest, --fastest) chooses a cluster and "
			"writes its job file\n",
			record->id);
	return 0;
}

static size_t count_todo(struct sweep_record *record)
{
	size_t todo = 0;
	for (size_t i = sweep_record_next(record, 0); i < sweep_record_count(record);
		i = sweep_record_next(record, i + 1))
		todo++;
	return todo;
}

// Sweeps of the same file are told apart by what it says: who changed it shall know that nothing of the others counts.
static void say_others(const struct options *o, const struct sweep_record *record)
{
	autojson json_t *ids = sweep_record_list(o->runs);
	size_t i;
	const json_t *id;
	json_array_foreach (ids, i, id) {
		struct error why;
		struct sweep_record *other = strcmp(json_string_value(id), record->id)
						     ? sweep_record_open(o->runs, json_string_value(id), &why)
						     : NULL;
		if (other && json_equal(json_object_get(other->tree, "job"), json_object_get(record->tree, "job"))) {
			size_t done = sweep_record_count(other) - count_todo(other);
			fprintf(stderr,
				"this is a new sweep: the job file or --set has changed since %s, of which %zu of %zu "
				"runs are done\n",
				other->id, done, sweep_record_count(other));
			sweep_record_free(other);
			return;
		}
		sweep_record_free(other);
	}
}

static int go(const struct options *o, struct sweep_record *record, const struct sweep_runner_options *runner,
	struct error *err)
{
	size_t todo = count_todo(record), failed = 0, all = sweep_record_count(record);
	fprintf(stderr, "sweep %s: %zu points, %zu runs", record->id, json_count(record->tree, "points"), all);
	fprintf(stderr, todo == all ? "\n" : todo ? ", %zu of them not done yet\n" : ", all of them done\n", todo);
	if (record->fresh)
		say_others(o, record);
	int rc = sweep_runner_run(runner, record, err);
	if (rc == ERROR_CANCELLED)
		fprintf(stderr,
			"interrupted; repeat the command to resume it; `muster compare %s` compares the runs that are "
			"done\n",
			record->id);
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < all; i++)
		failed += !json_is(sweep_record_get(record, i), "outcome", "ok");
	return show(o, record, failed < all, err) < 0 ? -1 : failed ? ERROR_JOB : 0;
}

// Kept with the sweep, so that it is compared by the prices that it was made with.
static int keep_prices(const struct options *o, const struct sweep_record *record, struct error *err)
{
	size_t len;
	autofree char *path = fs_join(record->dir, "prices.yaml"),
		      *text = o->prices ? fs_read(o->prices, JOB_MAX, &len, err) : NULL;
	return !o->prices ? 0 : text ? fs_write(path, text, len, 0644, err) : -1;
}

static int make(const struct options *o, const struct job *job, const char *text, size_t len, json_t *points,
	const json_t *common, struct error *err)
{
	char hash[CRYPTO_HEX];
	size_t repeat = (size_t)job->sweep.repeat;
	autojson json_t *before = all_sets(o, NULL, NULL);
	if (!sweep_record_exist(o->runs, job->name, hash_of(o, text, len, hash)) &&
		ask(json_array_size(points) * repeat, o, err) < 0)
		return -1;
	struct sweep_record *record = sweep_record_begin(
		o->runs, job->name, hash, o->job, text, before, points, repeat, (unsigned long)job->sweep.seed, err);
	struct sweep_runner_options runner = {.job = o->job,
		.runs = o->runs,
		.site = o->site,
		.prices = o->prices,
		.before = before,
		.after = common,
		.at_once = (size_t)job->sweep.at_once,
		.iterations = job->sweep.stop.iterations > 0 ? (double)job->sweep.stop.iterations : 0};
	int rc = record && keep_prices(o, record, err) == 0 ? go(o, record, &runner, err) : -1;
	sweep_record_free(record);
	return rc;
}

static int sweep(const struct options *o, struct error *err)
{
	size_t len, i;
	autofree char *text = fs_read(o->job, JOB_MAX, &len, err);
	if (!text) {
		err->code = ERROR_USAGE;
		return -1;
	}
	struct job *job = job_parse(text, len, o->job, o->sets.items, o->sets.count, err);
	autojson json_t *points = job ? sweep_points_make(job, err) : NULL,
			*common = job ? sweep_points_sets(job) : NULL;
	autojson json_t *prices = points && o->prices ? prices_load(o->prices, err) : NULL;
	int rc = points && (prices || !o->prices) ? check_points(o, text, len, points, common, err) : -1;
	const json_t *point;
	if (rc == 0 && o->dry_run)
		json_array_foreach (points, i, point)
			puts(json_text(point, "name"));
	else if (rc == 0)
		rc = make(o, job, text, len, points, common, err);
	job_free(job);
	return rc;
}

int cmd_sweep(int argc, char **argv, struct error *err)
{
	struct options o = {0};
	int rc = parse(argc, argv, &o, err);
	if (rc > 0)
		rc = sweep(&o, err);
	free(o.sets.items);
	return rc;
}
