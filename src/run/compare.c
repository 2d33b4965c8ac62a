#include "run/compare.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/prices.h"
#include "run/iterations.h"
#include "run/report.h"
#include "run/scaling.h"
#include "run/series.h"
#include "run/tree.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PLAN_BYTES = 1 << 30, QUANTILES = 5 };

// A number and where it lies with 95 %.
struct range {
	double value, low, high;
};

// What one run says.
struct trial {
	bool failed, predicted;
	struct range seconds, turn;
	double init, overhead, cores;
};

// One cluster: the repeats of a run on it.
struct side {
	char *name, *command;
	json_t *plan, *sets, *runs, *doubts, *expected;
	struct trial *trials;
	size_t ntrials;
	double *turns; // seconds of single turns, of all repeats
	size_t nturns;
	// The sum of it.
	size_t good;
	bool predicted, modelled;
	size_t nodes;
	double cpus;
	struct range seconds, turn, cost;
	double init, overhead;
};

struct compare {
	const json_t *prices;
	struct side *sides;
	size_t nsides;
};

static const struct range unknown = {NAN, NAN, NAN};

struct compare *compare_new(const json_t *prices)
{
	struct compare *c = mem_alloc(sizeof *c);
	c->prices = prices;
	return c;
}

static void side_fini(struct side *s)
{
	free(s->name);
	free(s->command);
	json_decref(s->plan);
	json_decref(s->sets);
	json_decref(s->runs);
	json_decref(s->doubts);
	json_decref(s->expected);
	free(s->trials);
	free(s->turns);
}

void compare_free(struct compare *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->nsides; i++)
		side_fini(&c->sides[i]);
	free(c->sides);
	free(c);
}

// --- reading a run --------------------------------------------------------------

static double cpus_of(const json_t *plan)
{
	double sum = 0;
	size_t i;
	const json_t *node;
	json_array_foreach(json_object_get(plan, "nodes"), i, node)
	{
		if (!tree_has(node, "cpus"))
			return NAN;
		sum += tree_number(node, "cpus");
	}
	return sum;
}

static char *name_of(const json_t *plan)
{
	const json_t *node = json_array_get(json_object_get(plan, "nodes"), 0);
	autofree char *memory = tree_has(node, "memory") ? str_bytes(tree_number(node, "memory")) : NULL;
	autofree char *cpus = tree_has(node, "cpus") ? mem_printf(", %g CPUs", tree_number(node, "cpus")) : NULL;
	return mem_printf("%zu x %s%s%s%s%s%s", tree_count(plan, "nodes"), tree_text(plan, "executor"), tree_text(node, "type") ? " " : "",
		tree_text(node, "type") ? tree_text(node, "type") : "", cpus ? cpus : "", memory ? ", " : "", memory ? memory : "");
}

static char *command_of(const json_t *plan)
{
	if (tree_text(plan, "command"))
		return mem_strdup(tree_text(plan, "command"));
	autofree char *argv = json_dumps(json_object_get(json_array_get(json_object_get(plan, "ranks"), 0), "argv"), 0);
	return mem_strdup(argv ? argv : "");
}

static struct side *side_of(struct compare *c, const char *name, const json_t *plan, const json_t *sets)
{
	autofree char *made = name ? mem_strdup(name) : name_of(plan);
	for (size_t i = 0; i < c->nsides; i++)
		if (strcmp(c->sides[i].name, made) == 0)
			return &c->sides[i];
	c->sides = mem_resize(c->sides, (c->nsides + 1) * sizeof *c->sides);
	struct side *s = &c->sides[c->nsides++];
	*s = (struct side){.name = steal(made),
		.command = command_of(plan),
		.plan = json_incref((json_t *)plan),
		.sets = sets ? json_incref((json_t *)sets) : NULL,
		.runs = json_array(),
		.doubts = json_array(),
		.nodes = tree_count(plan, "nodes"),
		.cpus = cpus_of(plan)};
	s->expected = json_incref(json_object_get(plan, "expected"));
	return s;
}

static int on_event(json_t *event, void *data)
{
	iterations_add(data, event);
	return 0;
}

// Everything that has a name of its own and is not the program's run.
static double overhead_of(const json_t *report)
{
	double sum = 0;
	size_t i;
	const json_t *phase;
	json_array_foreach(json_object_get(report, "phases"), i, phase)
		if (!tree_has(phase, "node") && !tree_is(phase, "name", "run"))
			sum += tree_number(phase, "seconds");
	return sum;
}

static double cores_of(const json_t *report)
{
	const json_t *node = json_array_get(json_object_get(report, "nodes"), 0);
	return tree_number(json_object_get(node, "facts"), "cores");
}

static void keep_turns(struct side *s, const struct estimate_input *in)
{
	s->turns = mem_resize(s->turns, (s->nturns + in->count + 1) * sizeof *s->turns);
	for (size_t i = 0; i < in->count; i++)
		s->turns[s->nturns++] = in->turns[i].seconds / in->turns[i].count;
}

static void keep_doubts(struct side *s, unsigned doubts)
{
	for (unsigned bit = 1; bit <= ESTIMATE_NOTHING; bit <<= 1) {
		autojson json_t *word = doubts & bit ? json_string(estimate_doubt(bit)) : NULL;
		size_t i = 0;
		while (word && i < json_array_size(s->doubts) && !json_equal(json_array_get(s->doubts, i), word))
			i++;
		if (word && i == json_array_size(s->doubts))
			json_array_append(s->doubts, word);
	}
}

// A whole run was measured; one that was stopped is predicted; one that shows no iteration has its run phase.
static struct trial judge(struct side *s, const json_t *report, const struct iterations *it)
{
	struct trial t = {.seconds = unknown, .turn = unknown, .init = NAN, .overhead = overhead_of(report), .cores = cores_of(report)};
	struct estimate_input in;
	long leader = iterations_leader(it);
	bool ok = tree_is(report, "outcome", "ok"), seen = iterations_input(it, leader, &in);
	double seconds = iterations_seconds(it, seen ? leader : 0), done = seen ? in.done : 0;
	for (size_t i = 0; seen && i < in.count; i++)
		done += in.turns[i].count;
	bool whole = ok && (!seen || isnan(in.total) || done >= in.total);
	t.failed = !ok || isnan(seconds);
	if (whole)
		t.seconds = (struct range){seconds, NAN, NAN};
	if (!seen || t.failed)
		return t;
	struct estimate e = estimate_make(&in);
	t.turn = (struct range){e.turn, e.turn_low, e.turn_high};
	t.init = e.init;
	double half = seconds * (e.turn_high - e.turn_low) / 2 / e.turn; // what another run may differ by at least
	if (whole)
		t.seconds = (struct range){seconds, seconds - half, seconds + half};
	keep_turns(s, &in);
	if (!whole) {
		t.predicted = true;
		t.seconds = (struct range){e.total, e.total_low, e.total_high};
		keep_doubts(s, e.doubts);
	}
	t.failed = isnan(t.seconds.value);
	return t;
}

int compare_add(struct compare *c, const struct run *run, const char *name, const json_t *sets, struct error *err)
{
	size_t len;
	autofree char *path = run_path(run, "plan.json"), *text = fs_read(path, PLAN_BYTES, &len, err);
	json_error_t why;
	autojson json_t *plan = text ? json_loadb(text, len, 0, &why) : NULL;
	if (text && !json_is_object(plan))
		return error_set(err, ERROR_USAGE, "%s is no plan: %s", path, why.text);
	autojson json_t *report = plan ? report_make(run, err) : NULL;
	if (!report)
		return -1;
	struct iterations *it = iterations_new();
	uint64_t events = 0, metrics = 0;
	int rc = run_read(run, false, &events, on_event, it, err);
	if (rc == 0)
		run_read(run, true, &metrics, on_event, it, NULL);
	if (rc == 0) {
		struct side *s = side_of(c, name, plan, sets);
		s->trials = mem_resize(s->trials, (s->ntrials + 1) * sizeof *s->trials);
		s->trials[s->ntrials++] = judge(s, report, it);
		json_array_append_new(s->runs, json_string(run->id));
	}
	iterations_free(it);
	return rc;
}

bool compare_differs(const struct compare *c, const char **a, const char **b)
{
	for (size_t i = 1; i < c->nsides; i++)
		if (strcmp(c->sides[0].command, c->sides[i].command) != 0) {
			*a = c->sides[0].command;
			*b = c->sides[i].command;
			return true;
		}
	return false;
}

// --- several repeats of one cluster ---------------------------------------------

// What repeats of a run differ by, relative to their mean, pooled over all clusters: two or three repeats of one say little.
struct noise {
	double variance;
	size_t freedom; // 0: nothing was repeated
};

static const struct range *range_at(const struct trial *t, size_t offset)
{
	return (const struct range *)((const char *)t + offset);
}

// The mean over the trials that have a value; how many in *n.
static double mean_value(const struct side *s, size_t offset, size_t *n)
{
	double sum = 0;
	*n = 0;
	for (size_t i = 0; i < s->ntrials; i++)
		if (!s->trials[i].failed && !isnan(range_at(&s->trials[i], offset)->value)) {
			sum += range_at(&s->trials[i], offset)->value;
			(*n)++;
		}
	return *n ? sum / (double)*n : NAN;
}

static struct noise noise_of(const struct side *sides, size_t count, size_t offset)
{
	struct noise noise = {0};
	double sum = 0;
	for (size_t k = 0; k < count; k++) {
		size_t n;
		double mean = mean_value(&sides[k], offset, &n);
		for (size_t i = 0; n > 1 && i < sides[k].ntrials; i++) {
			double off = range_at(&sides[k].trials[i], offset)->value / mean - 1;
			sum += sides[k].trials[i].failed || isnan(off) ? 0 : off * off;
		}
		noise.freedom += n > 1 ? n - 1 : 0;
	}
	noise.variance = noise.freedom ? sum / (double)noise.freedom : 0;
	return noise;
}

// The mean of repeats. Its interval holds what repeats differ by, and what each was unsure of.
static struct range mean_of(const struct side *s, size_t offset, const struct noise *noise)
{
	size_t n;
	double mean = mean_value(s, offset, &n), inside = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		const struct range *r = range_at(&s->trials[i], offset);
		if (!s->trials[i].failed && !isnan(r->value))
			inside += (r->high - r->low) * (r->high - r->low) / 4;
	}
	if (n == 0)
		return unknown;
	double half = sqrt(inside) / (double)n; // NAN from whole runs that show no iterations
	if (noise->freedom)
		half = fmax(half, mean * estimate_student((double)noise->freedom) * sqrt(noise->variance / (double)n));
	return (struct range){mean, fmax(mean - half, 0), mean + half};
}

static double plain_mean(const struct side *s, size_t offset)
{
	double sum = 0;
	size_t n = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		double value = *(const double *)((const char *)&s->trials[i] + offset);
		if (s->trials[i].failed || isnan(value))
			continue;
		sum += value;
		n++;
	}
	return n ? sum / (double)n : NAN;
}

static void sum_up(const struct compare *c, struct side *s, const struct noise *seconds, const struct noise *turns)
{
	double cores = 0;
	s->good = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		s->good += !s->trials[i].failed;
		s->predicted |= !s->trials[i].failed && s->trials[i].predicted;
		cores = fmax(cores, s->trials[i].cores);
	}
	s->seconds = mean_of(s, offsetof(struct trial, seconds), seconds);
	s->turn = mean_of(s, offsetof(struct trial, turn), turns);
	s->init = plain_mean(s, offsetof(struct trial, init));
	s->overhead = plain_mean(s, offsetof(struct trial, overhead));
	double more = isnan(s->overhead) ? 0 : s->overhead;
	s->cost = (struct range){prices_cost(c->prices, s->plan, s->seconds.value + more, cores),
		prices_cost(c->prices, s->plan, s->seconds.low + more, cores), prices_cost(c->prices, s->plan, s->seconds.high + more, cores)};
}

// --- clusters that were not run -------------------------------------------------

static bool is_nodes(const json_t *set)
{
	return str_starts(json_string_value(set), "cluster.nodes=");
}

// Were both varied in the same way, but for the number of nodes?
static bool same_sets(const json_t *a, const json_t *b)
{
	size_t i, k = 0;
	const json_t *set;
	json_array_foreach(a, i, set)
	{
		if (is_nodes(set))
			continue;
		while (k < json_array_size(b) && is_nodes(json_array_get(b, k)))
			k++;
		if (k == json_array_size(b) || !json_equal(set, json_array_get(b, k++)))
			return false;
	}
	while (k < json_array_size(b) && is_nodes(json_array_get(b, k)))
		k++;
	return k == json_array_size(b);
}

// Do they differ in the number of nodes alone?
static bool same_kind(const struct side *a, const struct side *b)
{
	static const char *const members[] = {"cpus", "memory", "type"};
	const json_t *x = json_array_get(json_object_get(a->plan, "nodes"), 0), *y = json_array_get(json_object_get(b->plan, "nodes"), 0);
	for (size_t i = 0; i < countof(members); i++) {
		const json_t *one = json_object_get(x, members[i]), *other = json_object_get(y, members[i]);
		if (one != other && !json_equal(one, other)) // neither may have it
			return false;
	}
	return tree_text(a->plan, "executor") && tree_is(b->plan, "executor", tree_text(a->plan, "executor")) && same_sets(a->sets, b->sets) &&
		strcmp(a->command, b->command) == 0;
}

static json_t *plan_with(const json_t *plan, size_t nodes)
{
	json_t *copy = json_copy((json_t *)plan), *list = json_array();
	for (size_t i = 0; i < nodes; i++)
		json_array_append(list, json_array_get(json_object_get(plan, "nodes"), 0));
	json_object_set_new(copy, "nodes", list);
	return copy;
}

static bool is_there(const struct side *sides, size_t count, const struct side *like, size_t nodes)
{
	for (size_t i = 0; i < count; i++)
		if (sides[i].nodes == nodes && same_kind(&sides[i], like))
			return true;
	return false;
}

// The points of one kind, as far as they ended well.
static size_t points_of(const struct side *sides, size_t count, const struct side *like, double *nodes, double *seconds, double *doubt)
{
	size_t n = 0;
	*doubt = 0;
	for (size_t i = 0; i < count; i++)
		if (sides[i].good && !sides[i].modelled && same_kind(&sides[i], like)) {
			nodes[n] = (double)sides[i].nodes;
			seconds[n++] = sides[i].seconds.value;
			*doubt = fmax(*doubt, (sides[i].seconds.high - sides[i].seconds.low) / 2 / sides[i].seconds.value);
		}
	return n;
}

static json_t *describe_model(const char *name, const struct scaling *model)
{
	return mem_json("{s:s, s:o, s:o, s:o, s:o, s:i}", "name", name, "serial", series_number(model->serial), "parallel", series_number(model->parallel),
		"talk", series_number(model->talk), "error", series_number(model->error), "points", (int)model->points);
}

static json_t *sets_with(const json_t *sets, size_t nodes)
{
	autofree char *mine = mem_printf("cluster.nodes=%zu", nodes);
	json_t *list = json_array();
	size_t i;
	json_t *set;
	json_array_append_new(list, json_string(mine));
	json_array_foreach(sets, i, set)
		if (!is_nodes(set))
			json_array_append(list, set);
	return list;
}

static char *set_name_of(const json_t *sets, size_t nodes)
{
	autojson json_t *list = sets_with(sets, nodes);
	struct str s = {0};
	for (size_t i = 0; i < json_array_size(list); i++)
		str_printf(&s, "%s%s", i ? " " : "", json_string_value(json_array_get(list, i)));
	return str_steal(&s);
}

static struct side modelled(const struct compare *c, const struct side *like, const struct scaling *model, size_t nodes, double doubt)
{
	struct side s = {.plan = plan_with(like->plan, nodes), .nodes = nodes, .modelled = true, .good = 1};
	double share = like->cpus / (double)like->nodes, v = scaling_at(model, (double)nodes);
	double off = fmax(doubt, isnan(model->error) ? 0.1 : model->error); // two points say nothing of how far they bend away
	s.name = like->sets ? set_name_of(like->sets, nodes) : name_of(s.plan);
	s.command = mem_strdup(like->command);
	s.runs = json_array();
	s.doubts = json_array();
	s.sets = sets_with(like->sets, nodes);
	s.cpus = share * (double)nodes;
	s.turn = unknown;
	s.init = NAN;
	s.overhead = like->overhead;
	s.seconds = (struct range){v, v * (1 - off), v * (1 + off)};
	double more = isnan(s.overhead) ? 0 : s.overhead;
	s.cost = (struct range){prices_cost(c->prices, s.plan, v + more, 0), prices_cost(c->prices, s.plan, s.seconds.low + more, 0),
		prices_cost(c->prices, s.plan, s.seconds.high + more, 0)};
	return s;
}

// A model for each kind of node that was run with different numbers of them, and its rows.
static struct side *add_modelled(const struct compare *c, struct side *sides, size_t *count, const size_t *at, size_t nat, json_t *models)
{
	size_t had = *count;
	for (size_t i = 0; i < had; i++) {
		double nodes[64], seconds[64], doubt;
		struct scaling model;
		bool first = true;
		for (size_t k = 0; k < i; k++)
			first &= !same_kind(&sides[k], &sides[i]);
		if (!first || had > 64 || scaling_fit(&model, nodes, seconds, points_of(sides, had, &sides[i], nodes, seconds, &doubt)) < 0)
			continue;
		autojson json_t *one = plan_with(sides[i].plan, 1);
		autofree char *name = sides[i].sets ? set_name_of(sides[i].sets, 1) : name_of(one);
		json_array_append_new(models, describe_model(strchr(name, ' ') ? strchr(name, ' ') + 1 : tree_text(one, "executor"), &model));
		for (size_t k = 0; k < nat; k++) {
			if (at[k] == 0 || is_there(sides, *count, &sides[i], at[k]))
				continue;
			sides = mem_resize(sides, (*count + 1) * sizeof *sides);
			sides[*count] = modelled(c, &sides[i], &model, at[k], doubt);
			(*count)++;
		}
	}
	return sides;
}

// --- the tree -------------------------------------------------------------------

static json_t *describe_range(struct range r)
{
	return isnan(r.value) ? json_null() : mem_json("[o, o, o]", series_number(r.value), series_number(r.low), series_number(r.high));
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static json_t *quantiles(const struct side *s)
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

static double share_of(const struct side *s, const struct side *least)
{
	bool cpus = !isnan(s->cpus) && !isnan(least->cpus);
	return cpus ? s->cpus / least->cpus : (double)s->nodes / (double)least->nodes;
}

static json_t *describe_side(const struct side *s, const struct side *least)
{
	const json_t *node = json_array_get(json_object_get(s->plan, "nodes"), 0);
	double speedup = least ? least->seconds.value / s->seconds.value : NAN, size = tree_number(s->plan, "size");
	double samples = tree_number(s->plan, "samples") > 0 ? tree_number(s->plan, "samples") : 1;
	json_t *row = mem_json("{s:s, s:O?, s:s?, s:s?, s:I, s:O?, s:O?, s:o, s:O, s:I, s:s}", "name", s->name, "sets", s->sets, "executor",
		tree_text(s->plan, "executor"), "type", tree_text(node, "type"), "nodes", (json_int_t)s->nodes, "cpus", json_object_get(node, "cpus"), "memory",
		json_object_get(node, "memory"), "size", s->modelled ? json_null() : json_real(size), "runs", s->runs, "failed",
		(json_int_t)(s->modelled ? 0 : s->ntrials - s->good), "kind",
		!s->good ? "failed" : s->modelled ? "modelled" : s->predicted ? "predicted" : "measured");
	json_object_set_new(row, "seconds", describe_range(s->seconds));
	json_object_set_new(row, "turn", describe_range(s->turn));
	json_object_set_new(row, "rate", series_number(size * samples / s->turn.value));
	json_object_set_new(row, "init", series_number(s->init));
	json_object_set_new(row, "overhead", series_number(s->overhead));
	json_object_set_new(row, "speedup", series_number(speedup));
	json_object_set_new(row, "efficiency", series_number(least ? speedup / share_of(s, least) : NAN));
	json_object_set_new(row, "cost", describe_range(s->cost));
	json_object_set(row, "expected", s->expected ? s->expected : json_null());
	json_object_set(row, "doubts", s->doubts);
	json_object_set_new(row, "spread", quantiles(s));
	return row;
}

// The ratio of two times. Their errors are taken for independent.
static json_t *describe_pair(size_t a, size_t b, const struct side *x, const struct side *y)
{
	double ratio = x->seconds.value / y->seconds.value;
	double ex = (x->seconds.high - x->seconds.low) / 2 / x->seconds.value, ey = (y->seconds.high - y->seconds.low) / 2 / y->seconds.value;
	double error = hypot(ex, ey), low = ratio / (1 + error), high = ratio * (1 + error);
	autofree char *verdict = isnan(error)             ? mem_strdup("one run says nothing of how much the next differs")
				 : low <= 1 && high >= 1 ? mem_strdup("no difference")
							 : mem_printf("%s is %.2f times as fast", ratio > 1 ? y->name : x->name, fmax(ratio, 1 / ratio));
	return mem_json("{s:I, s:I, s:o, s:s}", "a", (json_int_t)a, "b", (json_int_t)b, "ratio", describe_range((struct range){ratio, low, high}), "verdict",
		verdict);
}

static int by_size(const void *a, const void *b)
{
	const struct side *x = a, *y = b;
	if (x->nodes != y->nodes)
		return x->nodes < y->nodes ? -1 : 1;
	if (x->cpus != y->cpus && !isnan(x->cpus) && !isnan(y->cpus))
		return x->cpus < y->cpus ? -1 : 1;
	return strcmp(x->name, y->name);
}

static const struct side *smallest(const struct side *sides, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (sides[i].good && !sides[i].modelled)
			return &sides[i];
	return NULL;
}

json_t *compare_make(const struct compare *c, const size_t *at, size_t nat)
{
	size_t count = c->nsides;
	struct side *sides = mem_alloc((count + 1) * sizeof *sides);
	json_t *rows = json_array(), *pairs = json_array(), *models = json_array();
	struct noise seconds = noise_of(c->sides, count, offsetof(struct trial, seconds)), turns = noise_of(c->sides, count, offsetof(struct trial, turn));
	for (size_t i = 0; i < count; i++) {
		sides[i] = c->sides[i];
		sum_up(c, &sides[i], &seconds, &turns);
	}
	sides = add_modelled(c, sides, &count, at, nat, models);
	qsort(sides, count, sizeof *sides, by_size);
	const struct side *least = smallest(sides, count);
	bool samples = least && tree_number(least->plan, "samples") > 0;
	for (size_t i = 0; i < count; i++) {
		json_t *row = describe_side(&sides[i], least);
		size_t k = 0;
		while (!same_kind(&sides[k], &sides[i]))
			k++;
		json_object_set_new(row, "kind_of", json_integer((json_int_t)k));
		json_array_append_new(rows, row);
		for (k = 0; k < i; k++)
			if (sides[i].good && sides[k].good && !sides[i].modelled && !sides[k].modelled)
				json_array_append_new(pairs, describe_pair(k, i, &sides[k], &sides[i]));
	}
	for (size_t i = 0; i < count; i++)
		if (sides[i].modelled)
			side_fini(&sides[i]);
	free(sides);
	return mem_json("{s:i, s:O?, s:O?, s:s, s:o, s:o, s:o}", "compare", 1, "currency", json_object_get(c->prices, "currency"), "as_of",
		json_object_get(c->prices, "as_of"), "unit", samples ? "samples" : "iterations", "rows", rows, "pairs", pairs, "models", models);
}
