#include "cmd/compare_input.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "compare/compare.h"
#include "compare/sweep_record.h"
#include "compare/variant.h"
#include "job/plan.h"
#include "job/prices.h"
#include "run/run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { AT_MAX = 64, PLAN_BYTES = 1 << 30 };

static int read_at(const char *text, size_t *at, size_t *count, struct error *err)
{
	*count = 0;
	while (text && *text) {
		char *end;
		errno = 0;
		long n = strtol(text, &end, 10);
		if (end == text || errno || n < 1 || n > 10000 || (*end && *end != ',') || *count == AT_MAX)
			return error_set(
				err, ERROR_USAGE, "--at: found '%s', expected numbers of nodes such as 8,16", text);
		at[(*count)++] = (size_t)n;
		text = *end ? end + 1 : end;
	}
	return 0;
}

static int add_run(
	struct compare *c, const char *runs, const char *id, const char *name, const json_t *sets, struct error *err)
{
	struct run *run = run_open(runs, id, err);
	if (!run)
		return -1;
	int rc = compare_add(c, run, name, sets, err);
	run_free(run);
	return rc;
}

// Trials that are over. What cannot be read of one, be it that its directory was removed, is no reason not to compare
// the others.
static void add_sweep(struct compare *c, const struct sweep_record *t)
{
	autojson json_t *lost = json_array();
	size_t i;
	const json_t *item;
	for (i = 0; i < sweep_record_count(t); i++) {
		const json_t *trial = sweep_record_get(t, i), *point = sweep_record_point(t, i);
		struct error why;
		if (!json_has(trial, "outcome"))
			continue;
		if (!json_text(trial, "run"))
			json_array_append_new(
				lost, mem_json("{s:i, s:s?}", "trial", (int)i, "why", json_text(trial, "why")));
		else if (add_run(c, t->runs, json_text(trial, "run"), json_text(point, "name"),
				 json_object_get(point, "sets"), &why) < 0)
			json_array_append_new(lost, mem_json("{s:i, s:s, s:s}", "trial", (int)i, "run",
							    json_text(trial, "run"), "why", why.text));
	}
	json_array_foreach (lost, i, item) {
		const json_t *point = sweep_record_point(t, (size_t)json_number(item, "trial"));
		compare_add_lost(c, json_text(item, "run"), json_text(point, "name"), json_object_get(point, "sets"),
			json_text(item, "why"));
	}
}

// The plan of a run whose job file `muster choose` wrote for this sweep; else NULL.
static json_t *chosen_plan(const struct run *run, const char *sweep)
{
	size_t len;
	struct error none;
	autofree char *path = run_path(run, "plan.json"), *text = fs_read(path, PLAN_BYTES, &len, &none);
	json_t *plan = text ? json_loadb(text, len, 0, NULL) : NULL;
	const char *from = plan_expected(plan).from;
	if (from && strcmp(from, sweep) == 0)
		return plan;
	json_decref(plan);
	return NULL;
}

static bool is_trial(const struct sweep_record *t, const char *id)
{
	for (size_t i = 0; i < sweep_record_count(t); i++)
		if (json_is(sweep_record_get(t, i), "run", id))
			return true;
	return false;
}

// What was predicted stands beside what came: runs of chosen clusters. They bear the sweep's name.
static void add_chosen(struct compare *c, const struct sweep_record *t)
{
	autojson json_t *ids = run_list(t->runs);
	autofree char *begin = mem_printf("%s-", json_text(t->tree, "name"));
	size_t i;
	const json_t *id;
	json_array_foreach (ids, i, id) {
		struct error none;
		struct run *run = str_starts(json_string_value(id), begin) && !is_trial(t, json_string_value(id))
					  ? run_open(t->runs, json_string_value(id), &none)
					  : NULL;
		autojson json_t *plan = run ? chosen_plan(run, t->id) : NULL;
		autofree char *cluster = plan ? variant_name(plan) : NULL,
			      *name = plan ? mem_printf("%s, as chosen", cluster) : NULL;
		if (plan)
			compare_add(c, run, name, NULL, &none);
		run_free(run);
	}
}

// A name that no sweep has is a run's.
static struct sweep_record *find_sweep(
	const struct compare_input_options *o, char *const *names, int count, struct error *err)
{
	struct error other;
	if (count > 1)
		return NULL;
	return sweep_record_open(o->runs, count ? names[0] : NULL, count ? &other : err);
}

static int add_runs(
	struct compare *c, const struct compare_input_options *o, char *const *names, int count, struct error *err)
{
	autojson json_t *ids = json_object();
	for (int i = 0; i < count; i++) {
		struct run *run = run_open(o->runs, names[i], err);
		int rc = run ? compare_add(c, run, NULL, NULL, err) : -1;
		if (rc == 0 && json_object_get(ids, run->id))
			rc = error_set(err, ERROR_USAGE, "found the run %s twice, expected each run once", run->id);
		if (run)
			json_object_set_new(ids, run->id, json_true());
		run_free(run);
		if (rc < 0)
			return -1;
	}
	autofree char *a = NULL, *b = NULL;
	if (!o->different && compare_differs(c, &a, &b))
		return error_set(err, ERROR_USAGE,
			"these runs are of different jobs: '%s' and '%s'; compare them with --different", a, b);
	return 0;
}

// Those that were named for this comparison, else those that the sweep was made with, else the user's.
static json_t *find_prices(const struct compare_input_options *o, const struct sweep_record *t, struct error *err)
{
	autofree char *own = t ? fs_join(t->dir, "prices.yaml") : NULL;
	struct error why = {0};
	json_t *prices = prices_find(o->prices || !own || !fs_exists(own) ? o->prices : own, &why);
	if (why.code) {
		*err = why;
		return NULL;
	}
	return prices ? prices : json_null();
}

static json_t *compare_all(const struct compare_input_options *o, const struct sweep_record *t, char *const *names,
	int count, const json_t *prices, struct error *err)
{
	size_t at[AT_MAX], nat;
	if (read_at(o->at, at, &nat, err) < 0)
		return NULL;
	struct compare *c = compare_new(json_is_object(prices) ? prices : NULL);
	json_t *tree = NULL;
	if (t)
		add_sweep(c, t);
	if (t && o->chosen)
		add_chosen(c, t);
	if (t || add_runs(c, o, names, count, err) == 0)
		tree = compare_make(c, at, nat);
	compare_free(c);
	if (!tree || !nat || json_count(tree, "models"))
		return tree;
	json_decref(tree);
	error_set(err, ERROR_USAGE,
		"--at: no kind of cluster was run with two numbers of nodes (cluster.nodes), so there is nothing to "
		"predict others from");
	return NULL;
}

json_t *compare_input_of(const struct compare_input_options *o, const struct sweep_record *t, char *const *names,
	int count, struct error *err)
{
	autojson json_t *prices = find_prices(o, t, err);
	autojson json_t *tree = prices ? compare_all(o, t, names, count, prices, err) : NULL;
	if (!tree)
		return NULL;
	json_object_set_new(tree, "name", json_string(t ? json_text(t->tree, "name") : "runs"));
	if (t) {
		json_object_set_new(tree, "sweep", json_string(t->id));
		json_object_set(tree, "job", json_object_get(t->tree, "job"));
		json_object_set(tree, "sets", json_object_get(t->tree, "sets"));
	}
	if (json_count(tree, "rows"))
		return steal(tree);
	error_set(err, ERROR_USAGE, "nothing to compare: no run of the sweep has ended");
	return NULL;
}

json_t *compare_input_make(const struct compare_input_options *o, char *const *names, int count, struct error *err)
{
	struct sweep_record *t = find_sweep(o, names, count, err);
	struct run *run = t || count != 1 ? NULL : run_open(o->runs, names[0], err);
	bool nothing = !t && count == 1 && !run;
	json_t *tree = !nothing && (t || count > 0) ? compare_input_of(o, t, names, count, err) : NULL;
	if (nothing)
		error_wrap(err, "'%s' is neither a sweep nor a run", names[0]);
	run_free(run);
	sweep_record_free(t);
	return tree;
}
