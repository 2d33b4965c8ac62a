#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/compare_input.h"
#include "cmd/options.h"
#include "job/absolute_paths.h"
#include "job/job.h"
#include "job/prices.h"
#include "job/set_option.h"
#include "job/units.h"
#include "job/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char header[] = "# Written by muster choose";

enum { JOB_MAX = 1 << 20 };

struct wish {
	double deadline, budget; // NAN: none
	bool cheapest, fastest;
};

static double part(const json_t *row, const char *name, size_t i)
{
	const json_t *value = json_object_get(row, name);
	if (json_is_array(value))
		value = json_array_get(value, i);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

// With what the cluster itself takes. The upper end of an interval: a promise is kept 39 times in 40.
static double whole(const json_t *row, size_t i)
{
	double value = part(row, "seconds", isnan(part(row, "seconds", i)) ? 0 : i),
	       overhead = part(row, "overhead", 0);
	return value + (isnan(overhead) ? 0 : overhead);
}

static double cost(const json_t *row, size_t i)
{
	return part(row, "cost", isnan(part(row, "cost", i)) ? 0 : i);
}

static bool fits(const struct wish *w, const json_t *row)
{
	if (isnan(whole(row, 0)))
		return false;
	return (isnan(w->deadline) || whole(row, 2) <= w->deadline) && (isnan(w->budget) || cost(row, 2) <= w->budget);
}

// What is to be small: cost, or time; without prices a smaller cluster is a cheaper one.
static double measure(const struct wish *w, const json_t *row, bool priced)
{
	bool time = w->fastest || (!w->cheapest && isnan(w->deadline));
	if (time)
		return whole(row, 0);
	double cpus = part(row, "cpus", 0), price = cost(row, 0);
	if (priced)
		return isnan(price) ? INFINITY : price; // what nobody knows the price of may be dear
	return part(row, "nodes", 0) * (isnan(cpus) ? 1 : cpus);
}

static const json_t *choose(const struct wish *w, const json_t *rows, bool priced)
{
	const json_t *best = NULL, *row;
	size_t i;
	json_array_foreach (rows, i, row)
		if (fits(w, row) && (!best || measure(w, row, priced) < measure(w, best, priced)))
			best = row;
	return best;
}

static bool has_prices(const json_t *rows)
{
	size_t i;
	const json_t *row;
	json_array_foreach (rows, i, row)
		if (!isnan(cost(row, 0)))
			return true;
	return false;
}

static const json_t *least(const json_t *rows, double (*of)(const json_t *row, size_t i))
{
	const json_t *best = NULL, *row;
	size_t i;
	json_array_foreach (rows, i, row)
		if (!isnan(whole(row, 0)) && !isnan(of(row, 2)) && (!best || of(row, 2) < of(best, 2)))
			best = row;
	return best;
}

// What comes nearest, and what could be done.
static int none_fits(const struct wish *w, const json_t *tree, bool more, struct error *err)
{
	const json_t *rows = json_object_get(tree, "rows"), *fast = least(rows, whole), *cheap = least(rows, cost);
	autostr struct str text = {0};
	if (!fast)
		return error_set(err, ERROR_JOB, "no cluster has a time: all runs failed");
	if (!isnan(w->deadline)) {
		autofree char *limit = str_seconds(w->deadline), *time = str_seconds(whole(fast, 0)),
			      *most = str_seconds(whole(fast, 2));
		str_printf(&text,
			"no cluster is certain to finish in %s%s: the nearest is %s with %s, at most %s (95 %%)", limit,
			isnan(w->budget) ? "" : " within the budget", json_text(fast, "name"), time, most);
		if (whole(fast, 0) <= w->deadline)
			str_puts(&text, "; more repeats or iterations would narrow the interval");
	}
	if (!isnan(w->budget) && cheap) {
		autofree char *limit = prices_text(w->budget), *price = prices_text(cost(cheap, 0)),
			      *most = prices_text(cost(cheap, 2));
		str_printf(&text, "%s the cheapest is %s with %s, %s at most (95 %%)", isnan(w->deadline) ? "" : ";",
			json_text(cheap, "name"), price, most);
		if (isnan(w->deadline)) {
			autofree char *only = str_steal(&text);
			str_printf(&text, "no cluster is certain to cost at most %s:%s", limit, only);
		}
	}
	if (more && json_count(tree, "models"))
		str_puts(&text, "; --at N,N considers other numbers of nodes");
	return error_set(err, ERROR_JOB, "%s", text.text);
}

// --- the job file ---------------------------------------------------------------

static int apply(struct yaml *tree, const json_t *sets, const char *name, struct error *err)
{
	size_t i;
	const json_t *set;
	json_array_foreach (sets, i, set)
		if (set_option_apply(&job_fields_job, tree, json_string_value(set), name, err))
			return -1;
	return 0;
}

static json_t *expectations(const json_t *tree, const json_t *row)
{
	static const char *const names[] = {"time", "low", "high"};
	json_t *sets = json_array();
	for (size_t i = 0; i < countof(names); i++) {
		autofree char *set = mem_printf("expected.%s=%.3f", names[i], part(row, "seconds", i));
		if (!isnan(part(row, "seconds", i)))
			json_array_append_new(sets, json_string(set));
	}
	autofree char *price = mem_printf("expected.cost=\"%.6f\"", cost(row, 0)),
		      *from = mem_printf("expected.from=%s", json_text(tree, "sweep"));
	if (!isnan(cost(row, 0)))
		json_array_append_new(sets, json_string(price));
	json_array_append_new(sets, json_string(from));
	return sets;
}

// elsewhere: it will not lie in the directory of the sweep's.
static char *job_text(const json_t *tree, const json_t *row, bool elsewhere, struct error *err)
{
	const char *path = json_text(tree, "job");
	autofree char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	size_t len;
	autofree char *text = fs_read(path, JOB_MAX, &len, err);
	struct yaml *yaml = text ? yaml_parse(text, len, &(struct yaml_origin){path, 1, 1}, err) : NULL;
	autojson json_t *expected = expectations(tree, row);
	char *made = NULL;
	if (yaml && apply(yaml, json_object_get(tree, "sets"), "--set", err) == 0 &&
		apply(yaml, json_object_get(row, "sets"), "the point", err) == 0 &&
		apply(yaml, expected, "expected", err) == 0) {
		yaml_remove(yaml, "sweep");
		if (elsewhere)
			absolute_paths_apply(yaml, dir);
		autofree char *body = yaml_print(yaml);
		made = mem_printf(
			"%s from the sweep %s: %s\n%s", header, json_text(tree, "sweep"), json_text(row, "name"), body);
	}
	yaml_discard(yaml);
	return made;
}

// Beside the job file, unless another place is named. A file that somebody else wrote is left alone.
static int write_job(const json_t *tree, const json_t *row, const char *out, char **written, struct error *err)
{
	const char *job = json_text(tree, "job");
	size_t dir = (size_t)(strrchr(job, '/') + 1 - job);
	*written = out ? mem_strdup(out) : mem_printf("%.*s%s-chosen.yaml", (int)dir, job, json_text(tree, "name"));
	autofree char *path = fs_absolute(*written, err);
	if (!path)
		return -1;
	bool elsewhere = (size_t)(strrchr(path, '/') + 1 - path) != dir || strncmp(path, job, dir) != 0;
	autofree char *text = job_text(tree, row, elsewhere, err);
	if (!text)
		return -1;
	autofree char *old = fs_exists(*written) ? fs_read(*written, JOB_MAX, NULL, err) : NULL;
	if (fs_exists(*written) && (!old || !str_starts(old, header)))
		return error_set(err, ERROR_USAGE,
			"%s exists and was not written by muster choose; name another file with --out", *written);
	return fs_write(*written, text, strlen(text), 0644, err);
}

// --- the command ----------------------------------------------------------------

static int read_wish(struct wish *w, const char *deadline, const char *budget, struct error *err)
{
	struct error why;
	w->deadline = w->budget = NAN;
	if (deadline && units_seconds(deadline, &w->deadline, &why))
		return error_set(err, ERROR_USAGE, "--deadline: found '%s', %s", deadline, why.text);
	char *end = NULL;
	if (budget)
		w->budget = strtod(budget, &end);
	if (budget && (end == budget || *end || !(w->budget > 0)))
		return error_set(err, ERROR_USAGE, "--budget: found '%s', expected a cost such as 5.00", budget);
	if (w->cheapest && w->fastest)
		return error_set(err, ERROR_USAGE, "choose: expected only one of --cheapest and --fastest");
	if (!w->cheapest && !w->fastest && !deadline && !budget)
		return error_set(err, ERROR_USAGE, "choose: expected --deadline, --budget, --cheapest or --fastest");
	return 0;
}

static void print(const json_t *tree, const json_t *row, bool by_size, const char *written)
{
	size_t i;
	const json_t *doubt;
	const char *kind = json_text(row, "kind"), *currency = json_text(tree, "currency");
	autofree char *time = str_seconds(whole(row, 0)), *most = str_seconds(whole(row, 2));
	printf("%s\n  time      %s with all it takes, %s at most (95 %%), %s\n", json_text(row, "name"), time, most,
		strcmp(kind, "modelled") ? kind : "predicted by a scaling model, not run");
	if (!isnan(cost(row, 0))) {
		autofree char *price = prices_text(cost(row, 0)), *dear = prices_text(cost(row, 2));
		printf("  cost      %s%s%s, %s at most\n", price, currency ? " " : "", currency ? currency : "", dear);
	} else
		printf("  cost      unknown (see `muster prices`)%s\n",
			by_size ? "; smaller clusters count as cheaper" : "");
	json_array_foreach (json_object_get(row, "doubts"), i, doubt)
		printf("  doubt     %s\n", json_string_value(doubt));
	printf("  job file  %s\n            after `muster run`, `muster compare %s` shows the result next to the "
	       "prediction\n",
		written, json_text(tree, "sweep"));
}

static const struct options_usage usage = {
	.arguments = "[SWEEP]",
	.most = 1,
	.about =
		"Chooses a cluster from a sweep (default: the latest) and writes the job file for it. Times and costs "
		"are judged by the upper ends of their intervals. Expects --deadline, --budget or both, or --cheapest, "
		"or --fastest.",
};

int cmd_choose(int argc, char **argv, struct error *err)
{
	const char *deadline = NULL, *budget = NULL, *out = NULL;
	bool as_json = false;
	struct wish w = {0};
	struct compare_input_options o = {0};
	const struct option_row rows[] = {
		{"deadline", 0, "TIME", "the cheapest cluster that meets this deadline, such as 2h", &deadline},
		{"budget", 0, "COST", "the fastest cluster that stays within this budget, such as 5.00", &budget},
		{"cheapest", 0, NULL, "the cheapest cluster", &w.cheapest},
		{"fastest", 0, NULL, "the fastest cluster", &w.fastest},
		{"at", 0, "N,N...", "consider clusters of these sizes too, predicted by a scaling model", &o.at},
		{"out", 'o', "FILE", "job file to write (default: NAME-chosen.yaml in the sweep's directory)", &out},
		OPTIONS_PRICES(&o.prices),
		OPTIONS_RUNS(&o.runs),
		{"json", 0, NULL, "print the cluster's row of the comparison and \"job_file\" as JSON", &as_json},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	if (read_wish(&w, deadline, budget, err) < 0)
		return -1;
	autojson json_t *tree = compare_input_make(&o, argv + first, argc - first, err);
	if (!tree)
		return -1;
	if (!json_text(tree, "sweep"))
		return error_set(err, ERROR_USAGE, "choose: %s is a run, expected a sweep", argv[first]);
	const json_t *all = json_object_get(tree, "rows");
	bool priced = has_prices(all);
	if (!priced && (budget || w.cheapest))
		return error_set(err, ERROR_USAGE,
			"choose: the cost of these nodes is unknown, expected a price list (--prices FILE)");
	const json_t *row = choose(&w, all, priced);
	autofree char *written = NULL;
	if (!row)
		return none_fits(&w, tree, !o.at, err);
	if (write_job(tree, row, out, &written, err) < 0)
		return -1;
	json_object_set_new((json_t *)row, "job_file", json_string(written));
	autofree char *text = as_json ? json_dumps(row, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
	if (text)
		puts(text);
	else
		print(tree, row, !priced && !w.fastest, written);
	return 0;
}
