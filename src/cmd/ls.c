#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "run/clusters.h"
#include "tui/event_text.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct options_usage usage = {
	.arguments = "[NAME]",
	.most = 1,
	.about = "Lists the persistent clusters, or one of them, with their nodes and their jobs. (`muster list` lists "
		 "runs.)",
};

static json_t *read_all(const char *only, struct error *err)
{
	json_t *all = json_array();
	autojson json_t *names = clusters_names();
	if (only)
		json_array_clear(names), json_array_append_new(names, json_string(only));
	size_t i;
	json_t *name;
	json_array_foreach (names, i, name) {
		json_t *status = clusters_find_status(json_string_value(name), only ? err : NULL);
		if (status)
			json_array_append_new(all, status);
		else if (only) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static size_t count_state(const json_t *nodes, const char *state)
{
	size_t i, n = 0;
	json_t *node;
	json_array_foreach (nodes, i, node)
		n += json_is(node, "state", state);
	return n;
}

static const json_t *running(const json_t *jobs)
{
	size_t i;
	json_t *job;
	json_array_foreach (jobs, i, job)
		if (!json_has(job, "end"))
			return job;
	return NULL;
}

static char *state_of(const json_t *c)
{
	const json_t *job = running(json_object_get(c, "jobs"));
	if (json_is(c, "state", "gone"))
		return mem_strdup("controller gone");
	return mem_strdup(job && json_is(c, "state", "up") ? "busy" : json_text(c, "state"));
}

static char *nodes_of(const json_t *c)
{
	const json_t *nodes = json_object_get(c, "nodes");
	size_t up = count_state(nodes, "up"), all = json_array_size(nodes);
	return up == all || json_is(c, "state", "gone") ? mem_printf("%zu", all) : mem_printf("%zu of %zu", up, all);
}

static void print_clusters(const json_t *all, struct str *out)
{
	static const char *const heads[] = {"CLUSTER", "STATE", "EXECUTOR", "#NODES", "#AGE", "#JOBS", "LAST", NULL};
	struct text_table g = {.heads = heads};
	size_t i;
	json_t *c;
	json_array_foreach (all, i, c) {
		const json_t *jobs = json_object_get(c, "jobs"),
			     *last = json_array_get(jobs, json_array_size(jobs) - 1);
		const char *outcome = !last                       ? NULL
				      : json_has(last, "outcome") ? json_text(last, "outcome")
				      : json_has(last, "end")     ? "?"
								  : "running";
		text_table_add(&g, json_text(c, "name"));
		text_table_take(&g, state_of(c));
		text_table_add(&g, json_text(c, "executor"));
		text_table_take(&g, nodes_of(c));
		text_table_take(&g, str_seconds(clock_wall() - json_number(c, "started")));
		text_table_take(&g, mem_printf("%zu", json_array_size(jobs)));
		text_table_take(&g, last ? mem_printf("%s: %s", json_text(last, "run"), outcome) : NULL);
	}
	text_table_print(&g, out, "");
}

static void print_nodes(const json_t *c, struct str *out)
{
	static const char *const heads[] = {"NODE", "STATE", "ADDRESS", "NAME", NULL};
	struct text_table g = {.heads = heads};
	size_t i;
	json_t *node;
	json_array_foreach (json_object_get(c, "nodes"), i, node) {
		const char *name = json_text(node, "name"), *address = json_text(node, "address");
		text_table_take(&g, mem_printf("%zu", i));
		text_table_add(&g, json_text(node, "state"));
		text_table_add(&g, address);
		text_table_add(&g, name && address && strcmp(name, address) != 0 ? name : NULL);
	}
	text_table_print(&g, out, "  ");
}

static void print_hint(const json_t *c, struct str *out)
{
	const char *name = json_text(c, "name");
	const json_t *nodes = json_object_get(c, "nodes");
	if (json_is(c, "state", "gone")) {
		time_t until = (time_t)json_number(c, "until");
		char date[32];
		struct tm tm;
		strftime(date, sizeof date, "%F %H:%M", localtime_r(&until, &tm));
		str_printf(out,
			"  its controller is gone; its nodes end at about %s; `muster up %s` brings the cluster back\n",
			date, name);
	} else if (json_is(c, "state", "up") && count_state(nodes, "up") < json_array_size(nodes))
		str_printf(out, "  nodes are missing; `muster up %s` starts them again\n", name);
}

static void print(const json_t *all)
{
	autostr struct str out = {0};
	print_clusters(all, &out);
	size_t i;
	json_t *c;
	json_array_foreach (all, i, c) {
		str_printf(&out, "\n%s\n", json_text(c, "name"));
		print_nodes(c, &out);
		print_hint(c, &out);
	}
	fputs(json_array_size(all) ? out.text : "there are no persistent clusters; `muster up FILE` starts one\n",
		stdout);
}

int cmd_ls(int argc, char **argv, struct error *err)
{
	bool as_json = false;
	const struct option_row rows[] = {
		{"json", 0, NULL, "print a JSON array", &as_json},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	autojson json_t *all = read_all(argv[first], err);
	if (!all)
		return -1;
	if (!as_json) {
		print(all);
		return 0;
	}
	autofree char *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(16));
	puts(text);
	return 0;
}
