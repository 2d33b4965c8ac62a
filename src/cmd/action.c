#include "base/did_you_mean.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/exec_fanout.h"
#include "cmd/live_target.h"
#include "cmd/options.h"
#include "job/placeholders.h"
#include "job/plan.h"
#include "run/clusters.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct options_usage usage = {
	.arguments = "NAME [ACTION]",
	.least = 1,
	.most = 2,
	.about = "Runs an action of a persistent cluster: the commands that its cluster file lists under the name "
		 "ACTION, one after the other, each on all nodes at once. Output lines are marked with their node. The "
		 "first command that fails ends the action. Without ACTION: lists the actions.\n\n"
		 "Placeholders in the commands: {x} is the VALUE of --set x=VALUE; {node}, {nodes}, {addr} and "
		 "{addr[0]} are the node's number, the number of nodes and addresses; {{x}} is the text {x}.",
};

static int check_sets(const struct options_list *sets, struct error *err)
{
	for (size_t i = 0; i < sets->count; i++)
		if (!strchr(sets->items[i], '=') || *sets->items[i] == '=')
			return error_set(
				err, ERROR_USAGE, "action: found --set '%s', expected NAME=VALUE", sets->items[i]);
	return 0;
}

// --- placeholders ---------------------------------------------------------------

struct values {
	const struct options_list *sets;
	bool *used;          // by number of the --set
	const json_t *nodes; // of clusters_status
	size_t node;
};

static char *find_set(const struct values *scope, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = scope->sets->count; i-- > 0;) { // the last one counts
		const char *set = scope->sets->items[i];
		if (strncmp(set, name, len) != 0 || set[len] != '=')
			continue;
		for (size_t k = 0; k <= i; k++)
			scope->used[k] = scope->used[k] ||
					 (str_starts(scope->sets->items[k], name) && scope->sets->items[k][len] == '=');
		return mem_strdup(set + len + 1);
	}
	return NULL;
}

static char *look_up_address(const struct values *scope, long index, struct error *err)
{
	size_t at = index < 0 ? scope->node : (size_t)index, count = json_array_size(scope->nodes);
	const char *address = json_text(json_array_get(scope->nodes, at), "address");
	if (!address && at < count)
		error_set(err, ERROR_USAGE, "found {addr[%zu]}, and that node has no address yet", at);
	else if (!address)
		error_set(err, ERROR_USAGE,
			"found {addr[%zu]}, expected at most {addr[%zu]}: the cluster has %zu nodes", at, count - 1,
			count);
	return address ? mem_strdup(address) : NULL;
}

static char *look_up(const char *name, long index, void *data, struct error *err)
{
	const struct values *scope = data;
	char *set = index < 0 ? find_set(scope, name) : NULL;
	if (set)
		return set;
	const struct placeholder *p = placeholders_find(name);
	if (p && p->id == PLACEHOLDER_ADDR)
		return look_up_address(scope, index, err);
	if (p && p->id == PLACEHOLDER_NODE && index < 0)
		return mem_printf("%zu", scope->node);
	if (p && p->id == PLACEHOLDER_NODES && index < 0)
		return mem_printf("%zu", json_array_size(scope->nodes));
	error_set(err, ERROR_USAGE, "found {%s}, expected --set %s=VALUE, or {{%s}} for the text itself", name, name,
		name);
	return NULL;
}

// All commands of all nodes, before the first one is run: [[{"node", "argv"}, ...], ...] by step.
static json_t *make_commands(const json_t *steps, struct values *scope, struct error *err)
{
	autojson json_t *all = json_array();
	size_t i;
	json_t *step;
	json_array_foreach (steps, i, step) {
		json_t *commands = json_array();
		json_array_append_new(all, commands);
		struct plan_step s = plan_step_read(step);
		size_t count = s.once ? 1 : json_array_size(scope->nodes);
		for (scope->node = 0; scope->node < count; scope->node++) {
			json_t *argv = json_deep_copy(s.argv);
			json_array_append_new(commands, mem_json("{s:i, s:o}", "node", (int)scope->node, "argv", argv));
			if (placeholders_expand_tree(argv, 1, look_up, scope, err) < 0) {
				error_wrap(err, "'%s'", s.name);
				return NULL;
			}
		}
	}
	for (size_t k = 0; k < scope->sets->count; k++)
		if (!scope->used[k]) {
			error_set(err, ERROR_USAGE,
				"found --set '%s', expected the name of a placeholder in the action's commands",
				scope->sets->items[k]);
			return NULL;
		}
	return steal(all);
}

// --- running ----------------------------------------------------------------------

static int run_steps(const struct live_target *t, const json_t *steps, const json_t *commands, struct error *err)
{
	size_t i;
	json_t *step;
	json_array_foreach (steps, i, step) {
		const char *name = plan_step_read(step).name;
		fprintf(stderr, "== %s\n", name);
		int status = exec_fanout_run(t->control, json_array_get(commands, i), err);
		if (status < 0)
			return error_wrap(err, "'%s'", name);
		if (status > 0)
			return error_set(err, ERROR_JOB, "'%s' failed with status %d", name, status);
	}
	return 0;
}

static int list(const json_t *actions)
{
	const char *name;
	json_t *steps;
	json_object_foreach ((json_t *)actions, name, steps)
		printf("%s\n", name);
	return 0;
}

static int unknown(const json_t *actions, const char *cluster, const char *wanted, struct error *err)
{
	autostr struct str list = {0};
	autofree const char **known = mem_alloc((json_object_size(actions) + 1) * sizeof *known);
	size_t count = 0;
	const char *name;
	json_t *steps;
	json_object_foreach ((json_t *)actions, name, steps) {
		str_printf(&list, "%s%s", count ? ", " : "", name);
		known[count++] = name;
	}
	autofree char *hint = did_you_mean_text(" (", did_you_mean(wanted, known), ")");
	if (count == 0)
		return error_set(err, ERROR_USAGE, "found the action '%s', but the file of the cluster '%s' has none",
			wanted, cluster);
	return error_set(err, ERROR_USAGE, "unknown action '%s' of the cluster '%s', expected one of %s%s", wanted,
		cluster, list.text, hint);
}

static int act(const struct options_list *sets, const char *cluster, const char *action, struct error *err)
{
	struct live_target t;
	if (live_target_open_cluster(&t, cluster, err) < 0)
		return -1;
	const json_t *actions = plan_actions(t.plan), *steps = action ? json_object_get(actions, action) : NULL;
	autojson json_t *status = clusters_status(cluster, t.run, err);
	autofree bool *used = mem_alloc((sets->count + 1) * sizeof *used);
	struct values scope = {.sets = sets, .used = used, .nodes = json_object_get(status, "nodes")};
	autojson json_t *commands = status && steps ? make_commands(steps, &scope, err) : NULL;
	int rc = -1;
	if (!action)
		rc = list(actions);
	else if (!steps)
		unknown(actions, cluster, action, err);
	else if (commands)
		rc = run_steps(&t, steps, commands, err);
	live_target_close(&t);
	return rc;
}

int cmd_action(int argc, char **argv, struct error *err)
{
	struct options_list sets = {0};
	const struct option_row rows[] = {
		{"set", 's', "*NAME=VALUE", "value of the placeholder {NAME}", &sets},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err), rc = first;
	if (first > 0)
		rc = check_sets(&sets, err) < 0 ? -1 : act(&sets, argv[first], argv[first + 1], err);
	free(sets.items);
	return rc;
}
