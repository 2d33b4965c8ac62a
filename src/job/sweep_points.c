#include "job/sweep_points.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdbool.h>
#include <string.h>

enum { POINTS_MAX = 100000 };

// PATH=VALUE, where the value is as it could stand on one line of the file.
static json_t *set_of(const char *key, const struct yaml *value)
{
	autofree char *flow = yaml_flow(value);
	autofree char *set = mem_printf("%s=%s", key, flow);
	return json_string(set);
}

static json_t *make_point(json_t *sets)
{
	autostr struct str name = {0};
	size_t i;
	const json_t *set;
	json_array_foreach (sets, i, set)
		str_printf(&name, "%s%s", i ? " " : "", json_string_value(set));
	return mem_json("{s:s, s:o}", "name", name.text, "sets", sets);
}

static int check_map(const struct yaml *node, const char *what, struct error *err)
{
	if (node->kind == YAML_MAP && node->count > 0)
		return 0;
	autofree char *found = node->kind == YAML_MAP ? mem_strdup("an empty map") : yaml_describe(node);
	return yaml_error(node, err, "found %s for '%s', expected %s", found, what,
		strcmp(what, "sweep.over") ? "a map of keys and one value each"
					   : "a map of keys and lists of values, such as {cluster.nodes: [1, 2, 4]}");
}

// What the sweep itself is cannot be another thing at each of its points.
static int check_keys(const struct yaml *map, const char *what, struct error *err)
{
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->entries[i].key, "sweep") == 0 || str_starts(map->entries[i].key, "sweep."))
			return yaml_error(map->entries[i].value, err, "found '%s' in '%s', expected keys of the job",
				map->entries[i].key, what);
	return 0;
}

// The product of the lists from axis on, each combination put behind what is in chosen.
static int multiply(const struct yaml *over, size_t axis, json_t *chosen, json_t *points, struct error *err)
{
	if (axis == over->count) {
		if (json_array_size(points) >= POINTS_MAX)
			return yaml_error(over, err, "found more than %d points, expected fewer", POINTS_MAX);
		json_array_append_new(points, make_point(json_copy(chosen)));
		return 0;
	}
	const struct yaml_entry *entry = &over->entries[axis];
	const struct yaml *list = entry->value;
	if (list->kind != YAML_LIST || list->count == 0) {
		autofree char *found = yaml_describe(list);
		return yaml_error(list, err, "found %s for 'sweep.over.%s', expected a list of values",
			list->kind == YAML_LIST ? "an empty list" : found, entry->key);
	}
	for (size_t i = 0; i < list->count; i++) {
		json_array_append_new(chosen, set_of(entry->key, list->entries[i].value));
		int rc = multiply(over, axis + 1, chosen, points, err);
		json_array_remove(chosen, json_array_size(chosen) - 1);
		if (rc)
			return rc;
	}
	return 0;
}

static bool holds(const json_t *sets, const json_t *wanted)
{
	size_t i;
	const json_t *set;
	json_array_foreach (sets, i, set)
		if (json_equal(set, wanted))
			return true;
	return false;
}

// Points that have all of the map's values go.
static int exclude(json_t *points, const struct yaml *map, struct error *err)
{
	size_t removed = 0;
	if (check_map(map, "sweep.exclude", err))
		return -1;
	for (size_t i = json_array_size(points); i-- > 0;) {
		size_t same = 0;
		for (size_t k = 0; k < map->count; k++) {
			autojson json_t *wanted = set_of(map->entries[k].key, map->entries[k].value);
			same += holds(json_object_get(json_array_get(points, i), "sets"), wanted);
		}
		if (same < map->count)
			continue;
		json_array_remove(points, i);
		removed++;
	}
	return removed ? 0
		       : yaml_error(map, err, "found no point with these values, expected one that can be left out");
}

static int include(json_t *points, const struct yaml *map, struct error *err)
{
	if (check_map(map, "sweep.include", err) || check_keys(map, "sweep.include", err))
		return -1;
	json_t *sets = json_array();
	for (size_t k = 0; k < map->count; k++)
		json_array_append_new(sets, set_of(map->entries[k].key, map->entries[k].value));
	json_array_append_new(points, make_point(sets));
	return 0;
}

static int each(json_t *points, const struct yaml *list, const char *what,
	int (*apply)(json_t *, const struct yaml *, struct error *), struct error *err)
{
	if (!list)
		return 0;
	if (list->kind != YAML_LIST) {
		autofree char *found = yaml_describe(list);
		return yaml_error(list, err, "found %s for '%s', expected a list of maps", found, what);
	}
	for (size_t i = 0; i < list->count; i++)
		if (apply(points, list->entries[i].value, err))
			return -1;
	return 0;
}

static int check_twice(const json_t *points, const struct yaml *node, struct error *err)
{
	autojson json_t *names = json_object();
	size_t i;
	const json_t *point;
	json_array_foreach (points, i, point) {
		const char *name = json_string_value(json_object_get(point, "name"));
		if (json_object_get(names, name))
			return yaml_error(node, err,
				"found the point '%s' twice, expected each once (sweep.repeat runs it again)", name);
		json_object_set_new(names, name, json_true());
	}
	return 0;
}

json_t *sweep_points_make(const struct job *job, struct error *err)
{
	const struct job_sweep *sweep = &job->sweep;
	autojson json_t *points = json_array(), *chosen = json_array();
	if (!sweep->place.node) {
		yaml_error(job->tree, err,
			"found no 'sweep', expected one with the keys to vary, such as {over: {cluster.nodes: [1, 2, "
			"4]}}");
		return NULL;
	}
	if (sweep->over && (check_map(sweep->over, "sweep.over", err) || check_keys(sweep->over, "sweep.over", err) ||
				   multiply(sweep->over, 0, chosen, points, err)))
		return NULL;
	if (each(points, sweep->exclude, "sweep.exclude", exclude, err) ||
		each(points, sweep->include, "sweep.include", include, err) ||
		check_twice(points, sweep->place.node, err))
		return NULL;
	if (json_array_size(points))
		return steal(points);
	yaml_error(sweep->place.node, err, "found no point in 'sweep', expected some in 'over' or 'include'");
	return NULL;
}

json_t *sweep_points_sets(const struct job *job)
{
	json_t *sets = json_array();
	const struct job_stop *stop = &job->sweep.stop;
	autofree char *iterations = stop->iterations > 0 ? mem_printf("stop.iterations=%ld", stop->iterations) : NULL;
	autofree char *within = stop->within ? mem_printf("stop.within=%s", stop->within) : NULL;
	if (iterations)
		json_array_append_new(sets, json_string(iterations));
	if (within)
		json_array_append_new(sets, json_string(within));
	return sets;
}
