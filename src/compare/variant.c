#include "compare/variant.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"
#include "job/prices.h"
#include "predict/iterations.h"
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const struct variant_range variant_unknown = {NAN, NAN, NAN};

static double cpus_of(const json_t *plan)
{
	double sum = 0;
	for (size_t i = 0; i < plan_nodes(plan); i++) {
		if (plan_node(plan, i).cpus <= 0)
			return NAN;
		sum += plan_node(plan, i).cpus;
	}
	return sum;
}

char *variant_name(const json_t *plan)
{
	struct plan_node node = plan_node(plan, 0);
	autofree char *memory = node.memory > 0 ? str_bytes((double)node.memory) : NULL;
	autofree char *cpus = node.cpus > 0 ? mem_printf(", %g CPUs", node.cpus) : NULL;
	return mem_printf("%zu x %s%s%s%s%s%s", plan_nodes(plan), plan_executor(plan), node.type ? " " : "",
		node.type ? node.type : "", cpus ? cpus : "", memory ? ", " : "", memory ? memory : "");
}

// What the ranks did, for people to compare. With a launch mode, parts of the environment depend on the cluster.
static char *deed_of(const json_t *plan)
{
	struct str s = {0};
	struct plan_rank rank = plan_rank(plan, 0);
	const json_t *value;
	const char *key, *launch = plan_launch(plan);
	autofree char *argv = json_dumps(rank.argv, 0);
	str_puts(&s, plan_command(plan) ? plan_command(plan) : argv ? argv : "");
	json_object_foreach ((json_t *)rank.env, key, value)
		if (launch && strcmp(launch, "none") == 0 && !str_starts(key, "MUSTER_"))
			str_printf(&s, " with %s=%s", key, json_string_value(value));
	return str_steal(&s);
}

// All that alike ones have in common: everything but the number of nodes. NULL when nothing is known of it.
static char *kind_of(const json_t *plan, const json_t *sets)
{
	struct plan_node node = plan_node(plan, 0);
	const json_t *set;
	autojson json_t *rest = json_array();
	size_t i;
	json_array_foreach (sets, i, set)
		if (!str_starts(json_string_value(set), "cluster.nodes="))
			json_array_append(rest, (json_t *)set);
	autojson json_t *kind = mem_json("[s?, o, o, s?, O, s?]", plan_executor(plan), plan_limit(node.cpus),
		plan_limit((double)node.memory), node.type, rest, plan_command(plan));
	return plan_executor(plan) ? json_dumps(kind, 0) : NULL;
}

struct variant variant_make(const char *name, json_t *plan, json_t *sets)
{
	return (struct variant){.name = mem_strdup(name),
		.does = deed_of(plan),
		.kind = kind_of(plan, sets),
		.plan = json_incref(plan),
		.sets = json_incref(sets),
		.runs = json_array(),
		.doubts = json_array(),
		.failures = json_array(),
		.nodes = plan_nodes(plan),
		.cpus = cpus_of(plan)};
}

void variant_fini(struct variant *s)
{
	json_t *const trees[] = {s->plan, s->sets, s->runs, s->doubts, s->failures};
	for (size_t i = 0; i < countof(trees); i++)
		json_decref(trees[i]);
	free(s->name);
	free(s->does);
	free(s->kind);
	free(s->differs);
	free(s->record);
	free(s->turns);
}

// --- reading a run --------------------------------------------------------------

static int on_event(json_t *event, void *data)
{
	iterations_add(data, event);
	return 0;
}

// Everything that is not the run of the program that counts: what goes before and after it, and attempts that failed.
static double overhead_of(const json_t *report)
{
	double sum = 0, last = 0;
	size_t i;
	const json_t *phase;
	json_array_foreach (json_object_get(report, "phases"), i, phase) {
		if (json_has(phase, "node"))
			continue;
		sum += json_number(phase, "seconds");
		if (json_is(phase, "name", "run"))
			last = json_number(phase, "seconds");
	}
	return sum - last;
}

static double cores_of(const json_t *report)
{
	const json_t *node = json_array_get(json_object_get(report, "nodes"), 0);
	return json_number(json_object_get(node, "facts"), "cores");
}

// The mean over the nodes of their last run phase; NAN when none has one.
static double mean_of_nodes(const json_t *report)
{
	double sum = 0;
	size_t i, k, n = 0;
	const json_t *node, *phase;
	json_array_foreach (json_object_get(report, "nodes"), i, node) {
		double last = NAN;
		json_array_foreach (json_object_get(report, "phases"), k, phase)
			if (json_is(phase, "name", "run") && json_has(phase, "seconds") && json_has(phase, "node") &&
				json_equal(json_object_get(phase, "node"), json_object_get(node, "node")))
				last = json_number(phase, "seconds");
		sum += isnan(last) ? 0 : last;
		n += !isnan(last);
	}
	return n ? sum / (double)n : NAN;
}

static void keep_turns(struct variant *s, const struct estimate_input *in)
{
	s->turns = mem_resize(s->turns, (s->nturns + in->count + 1) * sizeof *s->turns);
	for (size_t i = 0; i < in->count; i++)
		s->turns[s->nturns++] = in->turns[i].seconds / in->turns[i].count;
}

static void keep_doubt(struct variant *s, const char *text)
{
	autojson json_t *word = json_string(text);
	for (size_t i = 0; i < json_array_size(s->doubts); i++)
		if (json_equal(json_array_get(s->doubts, i), word))
			return;
	json_array_append(s->doubts, word);
}

static void keep_doubts(struct variant *s, unsigned doubts)
{
	for (unsigned bit = 1; bit <= ESTIMATE_NOTHING; bit <<= 1)
		if (doubts & bit)
			keep_doubt(s, estimate_doubt(bit));
}

// A whole run was measured; one that was stopped is predicted, and one that still goes on; one that shows no iteration
// has its run phase.
static struct variant_trial judge(struct variant *s, const json_t *report, const struct iterations *it)
{
	struct variant_trial t = {.seconds = variant_unknown,
		.turn = variant_unknown,
		.init = NAN,
		.mean = NAN,
		.overhead = overhead_of(report),
		.cores = cores_of(report)};
	struct estimate_input in;
	long leader = iterations_leader(it);
	bool ok = json_is(report, "outcome", "ok"), runs = json_is(report, "outcome", "running"),
	     seen = iterations_input(it, leader, &in);
	double seconds = iterations_seconds(it, seen ? leader : 0), done = seen ? in.done : 0;
	for (size_t i = 0; seen && i < in.count; i++)
		done += in.turns[i].count;
	bool whole = ok && (!seen || isnan(in.total) || done >= in.total);
	t.failed = (!ok && !runs) || (ok && isnan(seconds)) || (runs && !seen);
	if (whole)
		t.seconds = (struct variant_range){seconds, NAN, NAN};
	if (seen && !t.failed) {
		struct estimate e = estimate_make(&in);
		t.turn = (struct variant_range){e.turn, e.turn_low, e.turn_high};
		t.init = e.init;
		double half =
			seconds * (e.turn_high - e.turn_low) / 2 / e.turn; // what another run may differ by at least
		if (whole)
			t.seconds = (struct variant_range){seconds, seconds - half, seconds + half};
		keep_turns(s, &in);
		if (!whole) {
			t.predicted = true;
			t.seconds = (struct variant_range){e.total, e.total_low, e.total_high};
			keep_doubts(s, isnan(e.total) ? 0 : e.doubts);
		}
	}
	double mean = whole ? mean_of_nodes(report) : NAN;
	t.mean = isnan(mean) ? t.seconds.value : mean;
	t.failed |= isnan(t.seconds.value);
	if (runs && !t.failed)
		keep_doubt(s, "one of its runs has not ended");
	return t;
}

static void keep_failure(struct variant *s, const char *id, const char *outcome, const char *why)
{
	autojson json_t *failure =
		mem_json("{s:s?, s:s, s:s?}", "run", id, "outcome", outcome ? outcome : "lost", "why", why);
	for (size_t i = 0; i < json_array_size(s->failures); i++)
		if (json_equal(json_array_get(s->failures, i), failure)) // of those that were not begun
			return;
	json_array_append(s->failures, failure);
}

static const char *failure_of(const json_t *report)
{
	if (json_is(report, "outcome", "ok"))
		return "the number of iterations of the whole run is unknown";
	if (json_is(report, "outcome", "running"))
		return "too few iterations so far";
	return json_text(report, "why");
}

static void add_trial(struct variant *s, struct variant_trial trial, const char *id)
{
	s->record = mem_resize(s->record, (s->ntrials + 1) * sizeof *s->record);
	s->record[s->ntrials++] = trial;
	if (id)
		json_array_append_new(s->runs, json_string(id));
}

int variant_add(struct variant *s, const struct run *run, const json_t *plan, struct error *err)
{
	autojson json_t *report = report_make(run, err);
	if (!report)
		return -1;
	struct iterations *it = iterations_new();
	uint64_t events = 0, metrics = 0;
	int rc = run_read(run, false, &events, on_event, it, err);
	if (rc == 0)
		run_read(run, true, &metrics, on_event, it, NULL);
	if (rc == 0) {
		struct variant_trial trial = judge(s, report, it);
		add_trial(s, trial, run->id);
		if (trial.failed)
			keep_failure(s, run->id, json_text(report, "outcome"), failure_of(report));
		autofree char *does = deed_of(plan);
		if (!s->differs && strcmp(does, s->does) != 0)
			s->differs = steal(does);
	}
	iterations_free(it);
	return rc;
}

void variant_add_lost(struct variant *s, const char *id, const char *why)
{
	add_trial(s,
		(struct variant_trial){.failed = true,
			.seconds = variant_unknown,
			.turn = variant_unknown,
			.init = NAN,
			.mean = NAN,
			.overhead = NAN},
		id);
	keep_failure(s, id, id ? "lost" : "not started", why);
}

// --- several repeats of one cluster ---------------------------------------------

static const struct variant_range *range_at(const struct variant_trial *t, size_t offset)
{
	return (const struct variant_range *)((const char *)t + offset);
}

// The mean over the trials that have a value; how many in *n.
static double mean_value(const struct variant *s, size_t offset, size_t *n)
{
	double sum = 0;
	*n = 0;
	for (size_t i = 0; i < s->ntrials; i++)
		if (!s->record[i].failed && !isnan(range_at(&s->record[i], offset)->value)) {
			sum += range_at(&s->record[i], offset)->value;
			(*n)++;
		}
	return *n ? sum / (double)*n : NAN;
}

struct repeat_noise_group variant_spread(const struct variant *s, size_t offset)
{
	struct repeat_noise_group group = {0};
	double mean = mean_value(s, offset, &group.count), sum = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		double off = range_at(&s->record[i], offset)->value / mean - 1;
		sum += s->record[i].failed || isnan(off) ? 0 : off * off;
	}
	group.variance = group.count > 1 ? sum / (double)(group.count - 1) : 0;
	return group;
}

// The mean of repeats. Its interval holds what repeats differ by, and what each was unsure of.
static struct variant_range mean_of(const struct variant *s, size_t offset, const struct repeat_noise *noise)
{
	struct repeat_noise_group group = variant_spread(s, offset);
	double mean = mean_value(s, offset, &group.count), inside = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		const struct variant_range *r = range_at(&s->record[i], offset);
		if (!s->record[i].failed && !isnan(r->value))
			inside += (r->high - r->low) * (r->high - r->low) / 4;
	}
	if (group.count == 0)
		return variant_unknown;
	double half = sqrt(inside) / (double)group.count; // NAN from whole runs that show no iterations
	if (noise)
		half = fmax(half, mean * repeat_noise_half(noise, &group));
	return (struct variant_range){mean, isnan(half) ? NAN : fmax(mean - half, 0), mean + half};
}

static double plain_mean(const struct variant *s, size_t offset)
{
	double sum = 0;
	size_t n = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		double value = *(const double *)((const char *)&s->record[i] + offset);
		if (s->record[i].failed || isnan(value))
			continue;
		sum += value;
		n++;
	}
	return n ? sum / (double)n : NAN;
}

struct variant_range variant_cost(const struct variant *s, const json_t *prices, double cores)
{
	double more = isnan(s->overhead) ? 0 : s->overhead;
	return (struct variant_range){prices_cost(prices, s->plan, s->seconds.value + more, cores),
		prices_cost(prices, s->plan, s->seconds.low + more, cores),
		prices_cost(prices, s->plan, s->seconds.high + more, cores)};
}

void variant_sum(
	struct variant *s, const struct repeat_noise *seconds, const struct repeat_noise *turns, const json_t *prices)
{
	double cores = 0;
	s->good = 0;
	for (size_t i = 0; i < s->ntrials; i++) {
		s->good += !s->record[i].failed;
		s->predicted |= !s->record[i].failed && s->record[i].predicted;
		cores = fmax(cores, s->record[i].cores);
	}
	s->seconds = mean_of(s, offsetof(struct variant_trial, seconds), seconds);
	s->turn = mean_of(s, offsetof(struct variant_trial, turn), turns);
	s->mean = plain_mean(s, offsetof(struct variant_trial, mean));
	s->init = plain_mean(s, offsetof(struct variant_trial, init));
	s->overhead = plain_mean(s, offsetof(struct variant_trial, overhead));
	s->cost = variant_cost(s, prices, cores);
}

bool variant_same_kind(const struct variant *a, const struct variant *b)
{
	return a->kind && b->kind && strcmp(a->kind, b->kind) == 0;
}
