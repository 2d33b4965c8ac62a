#include "report/metric_series.h"

#include "base/json.h"
#include "base/mem.h"
#include "predict/series.h"
#include "wire/event.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// One series in the making: kind is the member of the tree it goes to.
struct track {
	char *name, *unit;
	long node, rank;
	bool steps;
	double done, total; // of progress: the last
	struct series series;
};

struct group {
	json_t *names; // key -> index of the track
	struct track *tracks;
	size_t count, size;
};

struct metric_series {
	size_t limit, most; // points of a series; series of a group: a hostile log must not make any number of them
	size_t left_out;    // values
	struct group metrics, paces, node_samples, rank_samples;
};

static void set(json_t *object, const char *name, json_t *value)
{
	json_object_set_new(object, name, value);
}

// The track of that name and number; NULL when there are too many already.
static struct track *track(struct metric_series *m, struct group *g, const char *name, long node, long rank)
{
	autofree char *key = mem_printf("%ld %ld %s", node, rank, name);
	if (!g->names)
		g->names = json_object();
	json_t *known = json_object_get(g->names, key);
	if (known)
		return &g->tracks[json_integer_value(known)];
	if (g->count >= m->most) {
		m->left_out++;
		return NULL;
	}
	if (g->count == g->size) {
		g->size = g->size ? 2 * g->size : 16;
		g->tracks = mem_resize(g->tracks, g->size * sizeof(*g->tracks));
	}
	json_object_set_new(g->names, key, json_integer((json_int_t)g->count));
	g->tracks[g->count] = (struct track){.name = mem_strdup(name), .node = node, .rank = rank};
	return &g->tracks[g->count++];
}

static void group_fini(struct group *g)
{
	for (size_t i = 0; i < g->count; i++) {
		series_fini(&g->tracks[i].series);
		free(g->tracks[i].name);
		free(g->tracks[i].unit);
	}
	free(g->tracks);
	json_decref(g->names);
}

static void add_metric(struct metric_series *m, const json_t *event, double now)
{
	const char *name = json_text(event, "name");
	struct track *t =
		name ? track(m, &m->metrics, name, json_whole(event, "node"), json_whole(event, "rank")) : NULL;
	if (!t)
		return;
	const json_t *value = json_object_get(event, "value"), *step = json_object_get(event, "step");
	if (!t->unit && json_text(event, "unit"))
		t->unit = mem_strdup(json_text(event, "unit"));
	t->steps |= json_is_number(step);
	struct point p = {now, json_is_number(step) ? json_number_value(step) : NAN,
		json_is_number(value) ? json_number_value(value) : NAN};
	series_add(&t->series, m->limit, p);
}

// Seconds for one unit of progress, between two reports of it; an attempt that began again does not count backwards.
static void add_progress(struct metric_series *m, const json_t *event, double now)
{
	struct track *t = track(m, &m->paces, "progress", json_whole(event, "node"), json_whole(event, "rank"));
	if (!t)
		return;
	double done = json_number(event, "done");
	struct point *last = &t->series.last;
	bool known = t->series.count > 0;
	double pace = known && done > t->done ? (now - last->t) / (done - t->done) : NAN;
	if (!known || done != t->done)
		series_add(&t->series, m->limit, (struct point){now, done, pace});
	t->done = done;
	t->total = json_has(event, "total") ? json_number(event, "total") : NAN; // not every program says it
}

static void add_sample(struct metric_series *m, const json_t *event, double now)
{
	static const char *const members[] = {"cpu", "memory", "rx", "tx", "read", "write"};
	long node = json_whole(event, "node");
	for (size_t i = 0; i < countof(members); i++) {
		const json_t *value = json_object_get(event, members[i]);
		struct track *t = json_is_number(value) ? track(m, &m->node_samples, members[i], node, -1) : NULL;
		if (t)
			series_add(&t->series, m->limit, (struct point){now, NAN, json_number_value(value)});
	}
	size_t k;
	json_t *item;
	json_array_foreach (json_object_get(event, "ranks"), k, item) {
		for (size_t i = 0; i < 2; i++) {
			const json_t *value = json_object_get(item, members[i]);
			struct track *t = json_is_number(value) ? track(m, &m->rank_samples, members[i], node,
									  json_whole(item, "rank"))
								: NULL;
			if (t)
				series_add(&t->series, m->limit, (struct point){now, NAN, json_number_value(value)});
		}
	}
}

// --- the tree from the series -----------------------------------------------

static int compare_tracks(const void *a, const void *b)
{
	const struct track *x = *(struct track *const *)a, *y = *(struct track *const *)b;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

// By rank, then by node; the array is owned by the caller.
static struct track **sorted_tracks(const struct group *g)
{
	struct track **sorted = mem_alloc(g->count * sizeof(*sorted));
	for (size_t i = 0; i < g->count; i++)
		sorted[i] = &g->tracks[i];
	if (g->count)
		qsort(sorted, g->count, sizeof(*sorted), compare_tracks);
	return sorted;
}

static json_t *describe(const struct track *t)
{
	const struct series *s = &t->series;
	json_t *item = mem_json("{s:i}", "node", (int)t->node);
	if (t->rank >= 0)
		set(item, "rank", json_integer(t->rank));
	set(item, "count", json_integer((json_int_t)s->count));
	set(item, "first", series_number(s->first.value));
	set(item, "last", series_number(s->last.value));
	set(item, "min", series_number(s->low.value));
	set(item, "max", series_number(s->high.value));
	set(item, "mean", series_number(s->finite ? s->sum / (double)s->finite : NAN));
	if (t->steps)
		set(item, "step", series_number(s->last.step));
	set(item, "points", series_points(s, true));
	return item;
}

// Names in the order they first came, within a name by rank.
static json_t *describe_group(const struct group *g)
{
	json_t *names = json_object();
	json_t *result = json_array();
	autofree struct track **sorted = sorted_tracks(g);
	for (size_t i = 0; i < g->count; i++) {
		if (json_object_get(names, g->tracks[i].name))
			continue;
		json_t *metric =
			mem_json("{s:s, s:s?, s:[]}", "name", g->tracks[i].name, "unit", g->tracks[i].unit, "series");
		json_array_append_new(result, metric);
		json_object_set(names, g->tracks[i].name, json_object_get(metric, "series"));
	}
	for (size_t i = 0; i < g->count; i++)
		json_array_append_new(json_object_get(names, sorted[i]->name), describe(sorted[i]));
	json_decref(names);
	return result;
}

// One object for each node or rank with a member for each kind: {"node": 0, "cpu": {...}, "memory": {...}}.
static json_t *describe_samples(const struct group *g)
{
	json_t *found = json_object(), *result = json_array();
	autofree struct track **sorted = sorted_tracks(g);
	for (size_t i = 0; i < g->count; i++) {
		const struct track *t = sorted[i];
		autofree char *key = mem_printf("%ld %ld", t->node, t->rank);
		json_t *item = json_object_get(found, key);
		if (!item) {
			item = mem_json("{s:i}", "node", (int)t->node);
			if (t->rank >= 0)
				set(item, "rank", json_integer(t->rank));
			json_object_set(found, key, item);
			json_array_append_new(result, item);
		}
		json_t *points = mem_json("{s:o, s:o, s:o}", "last", series_number(t->series.last.value), "max",
			series_number(t->series.high.value), "mean",
			series_number(t->series.finite ? t->series.sum / (double)t->series.finite : NAN));
		set(points, "points", series_points(&t->series, false));
		set(item, t->name, points);
	}
	json_decref(found);
	return result;
}

static json_t *describe_progress(const struct metric_series *m)
{
	json_t *result = json_array();
	autofree struct track **sorted = sorted_tracks(&m->paces);
	for (size_t i = 0; i < m->paces.count; i++) {
		const struct track *t = sorted[i];
		json_array_append_new(result,
			mem_json("{s:i, s:i, s:o, s:o, s:f}", "node", (int)t->node, "rank", (int)t->rank, "done",
				series_number(t->done), "total", series_number(t->total), "t", t->series.last.t));
	}
	return result;
}

// What one iteration took: the metric that says so, else what progress lets us work out.
static json_t *describe_iterations(const struct metric_series *m, json_t *metrics)
{
	const char *found = NULL;
	size_t k;
	json_t *metric;
	json_array_foreach (metrics, k, metric) {
		const char *name = json_text(metric, "name");
		if (strcmp(name, "iter_seconds") == 0)
			return mem_json("{s:s}", "metric", name);
		if (!found && strcasestr(name, "time"))
			found = name;
	}
	if (found)
		return mem_json("{s:s}", "metric", found);
	if (!m->paces.count)
		return json_null();
	autojson json_t *paces = describe_group(&m->paces);
	return mem_json("{s:n, s:O}", "metric", "series", json_object_get(json_array_get(paces, 0), "series"));
}

// --- all of it --------------------------------------------------------------

struct metric_series *metric_series_new(size_t points, size_t series)
{
	struct metric_series *m = mem_alloc(sizeof(*m));
	m->limit = points;
	m->most = series;
	return m;
}

void metric_series_free(struct metric_series *m)
{
	struct group *groups[] = {&m->metrics, &m->paces, &m->node_samples, &m->rank_samples};
	for (size_t i = 0; i < countof(groups); i++)
		group_fini(groups[i]);
	free(m);
}

void metric_series_add(struct metric_series *m, const json_t *event, double now)
{
	if (event_is(event, "metric"))
		add_metric(m, event, now);
	else if (event_is(event, "progress"))
		add_progress(m, event, now);
	else if (event_is(event, "sample"))
		add_sample(m, event, now);
}

void metric_series_put(const struct metric_series *m, json_t *tree)
{
	json_t *metrics = describe_group(&m->metrics);
	if (m->left_out)
		set(tree, "values_left_out", json_integer((json_int_t)m->left_out));
	set(tree, "metrics", metrics);
	set(tree, "iterations", describe_iterations(m, metrics));
	set(tree, "progress", describe_progress(m));
	set(tree, "samples",
		mem_json("{s:o, s:o}", "nodes", describe_samples(&m->node_samples), "ranks",
			describe_samples(&m->rank_samples)));
}
