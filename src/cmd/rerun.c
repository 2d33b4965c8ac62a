#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/start_and_follow.h"
#include "compare/compare.h"
#include "exec/executor.h"
#include "job/plan.h"
#include "report/bundle.h"

#include <stdio.h>
#include <stdlib.h>

enum { PLAN_BYTES = 1 << 30, JOB_BYTES = 1 << 20 };

static json_t *read_plan(const struct run *then, struct error *err)
{
	autofree char *path = run_path(then, "plan.json");
	size_t len;
	autofree char *text = fs_read(path, PLAN_BYTES, &len, err);
	json_t *plan = text ? json_loadb(text, len, 0, NULL) : NULL;
	if (text && !plan)
		error_set(err, ERROR_USAGE, "its plan.json is damaged");
	return plan;
}

static json_t *contrast(const struct run *then, const struct run *now, struct error *err)
{
	struct compare *c = compare_new(NULL);
	json_t *tree = compare_add(c, then, "then", NULL, err) == 0 && compare_add(c, now, "now", NULL, err) == 0
			       ? compare_make(c, NULL, 0)
			       : NULL;
	compare_free(c);
	return tree;
}

static const json_t *row_of(const json_t *tree, const char *name)
{
	size_t i;
	const json_t *row;
	json_array_foreach (json_object_get(tree, "rows"), i, row)
		if (json_is(row, "name", name))
			return row;
	return NULL;
}

static void print_rows(const json_t *tree)
{
	static const char *const names[] = {"then", "now"};
	const json_t *pair = json_array_get(json_object_get(tree, "pairs"), 0);
	for (size_t i = 0; i < countof(names); i++) {
		const json_t *row = row_of(tree, names[i]),
			     *failure = json_array_get(json_object_get(row, "failures"), 0);
		const json_t *seconds = json_array_get(json_object_get(row, "seconds"), 0);
		printf("  %-4s  %s", names[i], json_text(row, "kind"));
		if (json_is_number(seconds))
			printf(", %.4g s", json_number_value(seconds));
		if (json_text(failure, "why"))
			printf(": %s", json_text(failure, "why"));
		puts("");
	}
	if (pair)
		printf("  %s\n", json_text(pair, "verdict"));
}

static void print(const json_t *before, const json_t *after, const json_t *tree)
{
	autojson json_t *differences = bundle_differences(before, after);
	size_t i;
	const json_t *text;
	printf("\n%s, repeated as %s\n  was %s, is %s\n", json_text(before, "id"), json_text(after, "id"),
		json_text(before, "outcome"), json_text(after, "outcome"));
	print_rows(tree);
	json_array_foreach (differences, i, text)
		printf("  different: %s\n", json_string_value(text));
}

// The plan says everything, so it is done as it was, whatever the job file would mean today.
static int do_again(const struct run *then, const json_t *before, const char *runs, bool quiet, struct error *err)
{
	autojson json_t *plan = read_plan(then, err);
	autofree char *path = run_path(then, "job.yaml");
	size_t len;
	autofree char *job = plan ? fs_read(path, JOB_BYTES, &len, err) : NULL;
	const struct executor *executor = job ? executor_find(plan_executor(plan), err) : NULL;
	if (!executor || executor->check(plan, err) < 0)
		return -1;
	struct run *run = run_create(runs, plan_name(plan), job, len, plan, err);
	if (!run)
		return -1;
	struct start_and_follow_options options = {
		.controller = {.run = run, .plan = plan, .executor = executor}, .quiet = quiet};
	int status = start_and_follow(&options, err);
	struct error why;
	autojson json_t *after = status >= 0 ? bundle_describe(run, &why) : NULL,
			*tree = after ? contrast(then, run, &why) : NULL;
	if (tree)
		print(before, after, tree);
	run_free(run);
	return status;
}

static const struct options_usage usage = {
	.arguments = "BUNDLE",
	.least = 1,
	.most = 1,
	.about = "Repeats the run of a bundle (a file that `muster export` wrote), exactly as its plan says, and "
		 "compares: outcome, times, inputs, version, machines.",
};

int cmd_rerun(int argc, char **argv, struct error *err)
{
	const char *runs = NULL;
	bool quiet = false;
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"quiet", 'q', NULL, "print only problems and the comparison", &quiet},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	const char *tmp = getenv("TMPDIR");
	autofree char *dir = mem_printf("%s/muster-rerun-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return error_errno(err, "cannot make a temporary directory");
	autojson json_t *before = bundle_open(argv[first], dir, err);
	autofree char *below = before ? fs_join(dir, json_text(before, "id")) : NULL;
	struct run *then = below ? run_open(dir, below, err) : NULL;
	int status = then ? do_again(then, before, runs, quiet, err) : -1;
	run_free(then);
	fs_remove(dir, NULL);
	return status;
}
