#include "compare/compare.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "compare/repeat_noise.h"
#include "compare/scaling_model.h"
#include "compare/variant.h"
#include "job/plan.h"
#include "predict/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLAN_BYTES = 1 << 30, QUANTILES = 5, ALL_PAIRS = 100 };

struct compare {
	const json_t *prices;
	struct variant *sides;
	size_t nsides;
};

struct compare *compare_new(const json_t *prices)
{
	struct compare *c = mem_alloc(sizeof *c);
	c->prices = prices;
	return c;
}

void compare_free(struct compare *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nsides; i++)
		variant_fini(&c->sides[i]);
	free(c->sides);
	free(c);
}

// --- adding ---------------------------------------------------------------------

static struct variant *side_of(struct compare *c, const char *name, json_t *plan, const json_t *sets)
{
	autofree char *made = name ? mem_strdup(name) : variant_name(plan);
	for (size_t i = 0; i < c->nsides; i++)
		if (strcmp(c->sides[i].name, made) == 0)
			return &c->sides[i];
	c->sides = mem_resize(c->sides, (c->nsides + 1) * sizeof *c->sides);
	c->sides[c->nsides] = variant_make(made, plan, (json_t *)sets);
	return &c->sides[c->nsides++];
}

int compare_add(struct compare *c, const struct run *run, const char *name, const json_t *sets, struct error *err)
{
	size_t len;
	autofree char *path = run_path(run, "plan.json"), *text = fs_read(path, PLAN_BYTES, &len, err);
	json_error_t why;
	autojson json_t *plan = text ? json_loadb(text, len, 0, &why) : NULL;
	if (text && !json_is_object(plan))
		return error_set(err, ERROR_USAGE, "%s is not a plan: %s", path, why.text);
	return plan ? variant_add(side_of(c, name, plan, sets), run, plan, err) : -1;
}

void compare_add_lost(struct compare *c, const char *id, const char *name, const json_t *sets, const char *why)
{
	autojson json_t *nothing = json_object();
	variant_add_lost(side_of(c, name, nothing, sets), id, why);
}

// From a little before the first difference on.
static char *excerpt(const char *text, const char *other)
{
	size_t same = 0;
	while (text[same] && text[same] == other[same])
		same++;
	size_t from = same > 40 ? same - 30 : 0;
	while (from && ((unsigned char)text[from] & 0xc0) == 0x80) // not within a character
		from--;
	return mem_printf("%s%.100s%s", from ? "..." : "", text + from, strlen(text + from) > 100 ? "..." : "");
}

bool compare_differs(const struct compare *c, char **a, char **b)
{
	for (size_t i = 0; i < c->nsides; i++) {
		const char *first = c->sides[0].does,
			   *other = c->sides[i].differs ? c->sides[i].differs : c->sides[i].does;
		if (strcmp(first, other) == 0 && strcmp(first, c->sides[i].does) == 0)
			continue;
		*a = excerpt(first, other);
		*b = excerpt(other, first);
		return true;
	}
	return false;
}

// --- clusters that were not run -------------------------------------------------

static bool is_nodes(const json_t *set)
{
	return str_starts(json_string_value(set), "cluster.nodes=");
}

static bool is_there(const struct variant *sides, size_t count, const struct variant *like, size_t nodes)
{
	for (size_t i = 0; i < count; i++)
		if (sides[i].nodes == nodes && variant_same_kind(&sides[i], like))
			return true;
	return false;
}

// The points of one kind, as far as they ended well.
static size_t points_of(
	const struct variant *sides, size_t count, const struct variant *like, struct scaling_model_point *points)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		if (sides[i].good && variant_same_kind(&sides[i], like))
			points[n++] = (struct scaling_model_point){(double)sides[i].nodes, sides[i].seconds.value,
				(sides[i].seconds.high - sides[i].seconds.low) / 2 / sides[i].seconds.value};
	return n;
}

static json_t *describe_model(const char *name, const struct scaling_model *model)
{
	return mem_json("{s:s, s:o, s:o, s:o, s:o, s:i}", "name", name, "serial", series_number(model->serial),
		"parallel", series_number(model->parallel), "talk", series_number(model->talk), "error",
		series_number(model->error), "points", (int)model->points);
}

static json_t *sets_with(const json_t *sets, size_t nodes)
{
	autofree char *mine = mem_printf("cluster.nodes=%zu", nodes);
	json_t *list = json_array();
	size_t i;
	json_t *set;
	json_array_append_new(list, json_string(mine));
	json_array_foreach (sets, i, set)
		if (!is_nodes(set))
			json_array_append(list, set);
	return list;
}

static char *name_with(const json_t *sets)
{
	struct str s = {0};
	for (size_t i = 0; i < json_array_size(sets); i++)
		str_printf(&s, "%s%s", i ? " " : "", json_string_value(json_array_get(sets, i)));
	return str_steal(&s);
}

static struct variant modelled(
	const struct compare *c, const struct variant *like, const struct scaling_model *model, size_t nodes)
{
	autojson json_t *plan = plan_with_nodes(like->plan, nodes), *sets = sets_with(like->sets, nodes);
	autofree char *name = like->sets ? name_with(sets) : variant_name(plan);
	struct variant s = variant_make(name, plan, sets);
	double v = scaling_model_at(model, (double)nodes), half = v * scaling_model_doubt(model, (double)nodes),
	       cores = 0;
	for (size_t i = 0; i < like->ntrials; i++)
		cores = fmax(cores, like->record[i].cores);
	s.modelled = true;
	s.good = 1;
	s.turn = variant_unknown;
	s.init = NAN;
	s.mean = v;
	s.overhead = like->overhead;
	s.seconds = (struct variant_range){v, fmax(v - half, 0), v + half};
	s.cost = variant_cost(&s, c->prices, cores);
	return s;
}

// What a kind of cluster is called, apart from its nodes.
static char *kind_name(const struct variant *s)
{
	autojson json_t *rest = json_array(), *one = plan_with_nodes(s->plan, 1);
	size_t i;
	json_t *set;
	json_array_foreach (s->sets, i, set)
		if (!is_nodes(set))
			json_array_append(rest, set);
	if (json_array_size(rest))
		return name_with(rest);
	autofree char *name = variant_name(one);
	return mem_strdup(str_starts(name, "1 x ") ? name + 4 : name);
}

// A model for each kind of node that was run with different numbers of them, and its rows.
static struct variant *add_modelled(
	const struct compare *c, struct variant *sides, size_t *count, const size_t *at, size_t nat, json_t *models)
{
	size_t had = *count;
	autofree struct scaling_model_point *points = mem_alloc((had + 1) * sizeof *points);
	for (size_t i = 0; i < had; i++) {
		struct scaling_model model;
		bool first = true;
		for (size_t k = 0; k < i && first; k++)
			first = !variant_same_kind(&sides[k], &sides[i]);
		if (!first || scaling_model_fit(&model, points, points_of(sides, had, &sides[i], points)) < 0)
			continue;
		autofree char *name = kind_name(&sides[i]);
		json_array_append_new(models, describe_model(name, &model));
		for (size_t k = 0; k < nat; k++) {
			if (is_there(sides, *count, &sides[i], at[k]))
				continue;
			sides = mem_resize(sides, (*count + 1) * sizeof *sides);
			sides[*count] = modelled(c, &sides[i], &model, at[k]);
			(*count)++;
		}
	}
	return sides;
}

// --- the tree -------------------------------------------------------------------

static json_t *describe_range(struct variant_range r)
{
	return isnan(r.value)
		       ? json_null()
		       : mem_json("[o, o, o]", series_number(r.value), series_number(r.low), series_number(r.high));
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static json_t *quantiles(const struct variant *s)
{
	static const double at[QUANTILES] = {0, 0.25, 0.5, 0.75, 1};
	if (!s->nturns)
		return json_null();
	qsort(s->turns, s->nturns, sizeof *s->turns, by_value);
	json_t *list = json_array();
	for (size_t i = 0; i < QUANTILES; i++)
		json_array_append_new(list, series_number(s->turns[(size_t)(at[i] * (double)(s->nturns - 1) + 0.5)]));
	return list;
}

// What was predicted, and how far off that was. Of a run that did not come to its end nothing can be said.
static json_t *describe_expected(const struct variant *s)
{
	struct plan_expected e = plan_expected(s->plan);
	json_t *said = json_copy(plan_expected_json(s->plan));
	if (isnan(e.time))
		return said ? said : json_null();
	double is = s->predicted || s->modelled ? NAN : s->seconds.value;
	json_object_set_new(said, "off", series_number(is / e.time - 1));
	json_object_set_new(said, "held",
		isnan(is) || isnan(e.low) || isnan(e.high) ? json_null() : json_boolean(is >= e.low && is <= e.high));
	return said;
}

static double share_of(const struct variant *s, const struct variant *least)
{
	bool cpus = !isnan(s->cpus) && !isnan(least->cpus);
	return cpus ? s->cpus / least->cpus : (double)s->nodes / (double)least->nodes;
}

static json_t *describe_side(const struct variant *s, const struct variant *least)
{
	struct plan_node node = plan_node(s->plan, 0);
	double speedup = least ? least->seconds.value / s->seconds.value : NAN, size = (double)plan_size(s->plan);
	double samples = plan_samples(s->plan) > 0 ? plan_samples(s->plan) : 1;
	json_t *row = mem_json("{s:s, s:O?, s:s?, s:s?, s:I, s:o, s:o, s:o, s:O, s:I, s:s}", "name", s->name, "sets",
		s->sets, "executor", plan_executor(s->plan), "type", node.type, "nodes", (json_int_t)s->nodes, "cpus",
		plan_limit(node.cpus), "memory", plan_limit((double)node.memory), "size",
		s->modelled ? json_null() : json_real(size), "runs", s->runs, "failed",
		(json_int_t)(s->modelled ? 0 : s->ntrials - s->good), "kind",
		!s->good       ? "failed"
		: s->modelled  ? "modelled"
		: s->predicted ? "predicted"
			       : "measured");
	json_object_set_new(row, "seconds", describe_range(s->seconds));
	json_object_set_new(row, "mean", series_number(s->mean));
	json_object_set_new(row, "turn", describe_range(s->turn));
	json_object_set_new(row, "rate", series_number(size * samples / s->turn.value));
	json_object_set_new(row, "init", series_number(s->init));
	json_object_set_new(row, "overhead", series_number(s->overhead));
	json_object_set_new(row, "speedup", series_number(speedup));
	json_object_set_new(row, "share", series_number(least ? share_of(s, least) : NAN));
	json_object_set_new(row, "efficiency", series_number(least ? speedup / share_of(s, least) : NAN));
	json_object_set_new(row, "cost", describe_range(s->cost));
	json_object_set_new(row, "expected", describe_expected(s));
	json_object_set(row, "doubts", s->doubts);
	json_object_set(row, "failures", s->failures);
	json_object_set_new(row, "spread", quantiles(s));
	return row;
}

// Where nothing was repeated, what was within the runs is all that is known of how sure their times are.
static char *verdict_of(const struct variant *x, const struct variant *y, struct variant_range ratio, bool repeated)
{
	if (isnan(ratio.low))
		return mem_strdup("a single run gives no estimate of the variation");
	if (ratio.low <= 1 && ratio.high >= 1)
		return mem_strdup("no difference");
	return mem_printf("%s %s %.2f times as fast%s", ratio.value > 1 ? y->name : x->name, repeated ? "is" : "was",
		fmax(ratio.value, 1 / ratio.value), repeated ? "" : ", from single runs");
}

// The ratio of two times. Their errors are taken for independent.
static json_t *describe_pair(size_t a, size_t b, const struct variant *x, const struct variant *y, bool repeated)
{
	double ratio = x->seconds.value / y->seconds.value;
	double ex = (x->seconds.high - x->seconds.low) / 2 / x->seconds.value,
	       ey = (y->seconds.high - y->seconds.low) / 2 / y->seconds.value;
	double error = hypot(ex, ey);
	struct variant_range range = {ratio, ratio / (1 + error), ratio * (1 + error)};
	autofree char *verdict = verdict_of(x, y, range, repeated);
	return mem_json("{s:I, s:I, s:o, s:s}", "a", (json_int_t)a, "b", (json_int_t)b, "ratio", describe_range(range),
		"verdict", verdict);
}

// Both were run; and one of them is that which all are measured by, where pairs of any two would be too many.
static bool is_pair(const struct variant *x, const struct variant *y, const struct variant *only)
{
	return x->good && y->good && !x->modelled && !y->modelled && (!only || x == only || y == only);
}

static int by_size(const void *a, const void *b)
{
	const struct variant *x = a, *y = b;
	if (x->nodes != y->nodes)
		return x->nodes < y->nodes ? -1 : 1;
	if (x->cpus != y->cpus && !isnan(x->cpus) && !isnan(y->cpus))
		return x->cpus < y->cpus ? -1 : 1;
	if (!x->sets != !y->sets) // a sweep's own come first, so that they are what others are measured by
		return x->sets ? -1 : 1;
	return strcmp(x->name, y->name);
}

static const struct variant *smallest(const struct variant *sides, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sides[i].good && !sides[i].modelled)
			return &sides[i];
	return NULL;
}

// On the front: no other is both faster and cheaper.
static bool on_front(const struct variant *sides, size_t count, size_t i)
{
	double time = sides[i].seconds.value, cost = sides[i].cost.value;
	for (size_t k = 0; k < count; k++) {
		double t = sides[k].seconds.value, c = sides[k].cost.value;
		if (k != i && t <= time && c <= cost && (t < time || c < cost))
			return false;
	}
	return !isnan(time + cost);
}

static struct repeat_noise *noise_of(const struct variant *sides, size_t count, size_t offset)
{
	autofree struct repeat_noise_group *groups = mem_alloc((count + 1) * sizeof *groups);
	for (size_t i = 0; i < count; i++)
		groups[i] = variant_spread(&sides[i], offset);
	return repeat_noise_new(groups, count);
}

// The sides with their sums, and those that models add; what they hold is the comparison's, but for the modelled ones'.
static struct variant *sum_up(const struct compare *c, size_t *count, const size_t *at, size_t nat, json_t *models)
{
	struct variant *sides = mem_alloc((c->nsides + 1) * sizeof *sides);
	struct repeat_noise *seconds = noise_of(c->sides, c->nsides, offsetof(struct variant_trial, seconds));
	struct repeat_noise *turns = noise_of(c->sides, c->nsides, offsetof(struct variant_trial, turn));
	*count = c->nsides;
	for (size_t i = 0; i < *count; i++) {
		sides[i] = c->sides[i];
		variant_sum(&sides[i], seconds, turns, c->prices);
	}
	repeat_noise_free(seconds);
	repeat_noise_free(turns);
	sides = add_modelled(c, sides, count, at, nat, models);
	qsort(sides, *count, sizeof *sides, by_size);
	return sides;
}

json_t *compare_make(const struct compare *c, const size_t *at, size_t nat)
{
	size_t count;
	json_t *rows = json_array(), *pairs = json_array(), *models = json_array();
	struct variant *sides = sum_up(c, &count, at, nat, models);
	const struct variant *least = smallest(sides, count);
	bool repeated = false, samples = least && plan_samples(least->plan) > 0;
	for (size_t i = 0; i < count; i++)
		repeated |= sides[i].good > 1;
	for (size_t i = 0; i < count; i++) {
		json_t *row = describe_side(&sides[i], least);
		size_t k = 0;
		while (!variant_same_kind(&sides[k], &sides[i]) && k < i)
			k++;
		json_object_set_new(row, "kind_of", json_integer((json_int_t)k));
		json_object_set_new(row, "front", json_boolean(on_front(sides, count, i)));
		json_array_append_new(rows, row);
		for (k = 0; k < i; k++)
			if (is_pair(&sides[k], &sides[i], count > ALL_PAIRS ? least : NULL))
				json_array_append_new(pairs, describe_pair(k, i, &sides[k], &sides[i], repeated));
	}
	for (size_t i = 0; i < count; i++)
		if (sides[i].modelled)
			variant_fini(&sides[i]);
	free(sides);
	return mem_json("{s:i, s:O?, s:O?, s:O?, s:s, s:o, s:o, s:o}", "compare", 1, "prices",
		json_object_get(c->prices, "file"), "currency", json_object_get(c->prices, "currency"), "as_of",
		json_object_get(c->prices, "as_of"), "unit", samples ? "samples" : "iterations", "rows", rows, "pairs",
		pairs, "models", models);
}
