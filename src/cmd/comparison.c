#include "cmd/comparison.h"

#include "base/mem.h"
#include "job/prices.h"
#include "run/compare.h"
#include "run/run.h"
#include "run/tree.h"
#include "run/trials.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { AT_MAX = 64 };

static int read_at(const char *text, size_t *at, size_t *count, struct error *err)
{
	*count = 0;
	while (text && *text) {
		char *end;
		errno = 0;
		long n = strtol(text, &end, 10);
		if (end == text || errno || n < 1 || n > 10000 || (*end && *end != ',') || *count == AT_MAX)
			return error_set(err, ERROR_USAGE, "--at: found '%s', expected numbers of nodes such as 8,16", text);
		at[(*count)++] = (size_t)n;
		text = *end ? end + 1 : end;
	}
	return 0;
}

static int add_run(struct compare *c, const char *runs, const char *id, const char *name, const json_t *sets, struct error *err)
{
	struct run *run = run_open(runs, id, err);
	if (!run)
		return -1;
	int rc = compare_add(c, run, name, sets, err);
	run_free(run);
	return rc;
}

static int add_sweep(struct compare *c, const struct trials *t, struct error *err)
{
	for (size_t i = 0; i < trials_count(t); i++) {
		const json_t *trial = trials_get(t, i), *point = trials_point(t, i);
		if (tree_text(trial, "run") && tree_has(trial, "outcome") &&
			add_run(c, t->runs, tree_text(trial, "run"), tree_text(point, "name"), json_object_get(point, "sets"), err) < 0)
			return -1;
	}
	return 0;
}

// A name that no sweep has is a run's.
static struct trials *find_sweep(const struct comparison_options *o, char *const *names, int count, struct error *err)
{
	struct error other;
	if (count > 1)
		return NULL;
	return trials_open(o->runs, count ? names[0] : NULL, count ? &other : err);
}

static int add_runs(struct compare *c, const struct comparison_options *o, char *const *names, int count, struct error *err)
{
	const char *a, *b;
	for (int i = 0; i < count; i++)
		if (add_run(c, o->runs, names[i], NULL, NULL, err) < 0)
			return -1;
	if (!o->different && compare_differs(c, &a, &b))
		return error_set(err, ERROR_USAGE, "these runs did different things: '%.200s' and '%.200s'; --different compares them all the same", a, b);
	return 0;
}

json_t *comparison_make(const struct comparison_options *o, char *const *names, int count, struct error *err)
{
	size_t at[AT_MAX], nat;
	struct error why = {0};
	autojson json_t *prices = prices_find(o->prices, &why);
	if (read_at(o->at, at, &nat, err) < 0)
		return NULL;
	if (why.code) {
		*err = why;
		return NULL;
	}
	struct trials *t = find_sweep(o, names, count, err);
	json_t *tree = NULL;
	if (t || count > 0) {
		struct compare *c = compare_new(prices);
		if ((t ? add_sweep(c, t, err) : add_runs(c, o, names, count, err)) == 0) {
			tree = compare_make(c, at, nat);
			json_object_set_new(tree, "name", json_string(t ? tree_text(t->tree, "name") : "runs"));
			if (t) {
				json_object_set_new(tree, "sweep", json_string(t->id));
				json_object_set(tree, "job", json_object_get(t->tree, "job"));
				json_object_set(tree, "sets", json_object_get(t->tree, "sets"));
			}
		}
		compare_free(c);
	}
	trials_free(t);
	if (tree && !tree_count(tree, "rows")) {
		json_decref(tree);
		tree = NULL;
		error_set(err, ERROR_USAGE, "nothing to compare: no run of the sweep is over");
	}
	return tree;
}
