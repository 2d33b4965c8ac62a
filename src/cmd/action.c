#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/exec_fanout.h"
#include "cmd/live_target.h"
#include "job/placeholder_expand.h"
#include "run/clusters.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char usage[] =
	"usage: muster action NAME ACTION [--set x=VALUE]...\n"
	"       muster action NAME\n"
	"\n"
	"Runs the commands that the cluster file of a cluster that is kept up lists as ACTION, one after the other, "
	"each on\n"
	"all nodes at once; what they print is marked by node. It stops at the first that fails. {x} in a command is "
	"what\n"
	"--set says; {node}, {nodes}, {addr} and {addr[0]} are known, and {{x}} is {x}. Without ACTION: lists them.\n"
	"\n"
	"  -s, --set x=VALUE  what {x} is\n"
	"  -h, --help         print this text\n";

struct options {
	const char **sets;
	size_t nsets;
	bool help;
};

static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	static const struct option known[] = {
		{"set", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'}, {0}};
	optind = 0;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":s:h", known, NULL)) >= 0;) {
		if (c == ':' || c == '?')
			return error_set(err, ERROR_USAGE, "action: %s '%s', expected --set or --help",
				c == ':' ? "a value is missing after" : "unknown option", argv[optind - 1]);
		o->help |= c == 'h';
		if (c == 's' && (!strchr(optarg, '=') || *optarg == '='))
			return error_set(err, ERROR_USAGE, "action: found --set '%s', expected NAME=VALUE", optarg);
		if (c == 's')
			o->sets[o->nsets++] = optarg;
	}
	if (!o->help && (argc - optind < 1 || argc - optind > 2))
		return error_set(err, ERROR_USAGE, "action: expected the name of a cluster and that of an action");
	return 0;
}

// --- placeholders ---------------------------------------------------------------

struct placeholders {
	const struct options *options;
	bool *used;          // by number of the --set
	const json_t *nodes; // of clusters_status
	size_t node;
};

static char *find_set(const struct placeholders *scope, const char *name)
{
	size_t len = strlen(name);
	for (size_t i = scope->options->nsets; i-- > 0;) { // the last one counts
		const char *set = scope->options->sets[i];
		if (strncmp(set, name, len) || set[len] != '=')
			continue;
		for (size_t k = 0; k <= i; k++)
			scope->used[k] = scope->used[k] || (str_starts(scope->options->sets[k], name) &&
								   scope->options->sets[k][len] == '=');
		return mem_strdup(set + len + 1);
	}
	return NULL;
}

static char *look_up(const char *name, long index, void *data, struct error *err)
{
	const struct placeholders *scope = data;
	char *set = index < 0 ? find_set(scope, name) : NULL;
	if (set)
		return set;
	if (strcmp(name, "addr") == 0) {
		size_t at = index < 0 ? scope->node : (size_t)index;
		const char *address = json_text(json_array_get(scope->nodes, at), "address");
		if (address)
			return mem_strdup(address);
		error_set(err, ERROR_USAGE, "found {addr[%zu]}, and the cluster has no such node", at);
		return NULL;
	}
	if (strcmp(name, "node") == 0 && index < 0)
		return mem_printf("%zu", scope->node);
	if (strcmp(name, "nodes") == 0 && index < 0)
		return mem_printf("%zu", json_array_size(scope->nodes));
	error_set(err, ERROR_USAGE, "found {%s}, and no --set %s=...; {{%s}} is the text itself", name, name, name);
	return NULL;
}

// All commands of all nodes, before the first one is run: [[{"node", "argv"}, ...], ...] by step.
static json_t *make_commands(const json_t *steps, struct placeholders *scope, struct error *err)
{
	autojson json_t *all = json_array();
	size_t i;
	json_t *step;
	json_array_foreach (steps, i, step) {
		json_t *commands = json_array();
		json_array_append_new(all, commands);
		size_t count = json_is_true(json_object_get(step, "once")) ? 1 : json_array_size(scope->nodes);
		for (scope->node = 0; scope->node < count; scope->node++) {
			json_t *argv = json_deep_copy(json_object_get(step, "argv"));
			json_array_append_new(commands, mem_json("{s:i, s:o}", "node", (int)scope->node, "argv", argv));
			if (placeholder_expand_tree(argv, 1, look_up, scope, err) < 0) {
				error_wrap(err, "'%s'", json_text(step, "name"));
				return NULL;
			}
		}
	}
	for (size_t k = 0; k < scope->options->nsets; k++)
		if (!scope->used[k]) {
			error_set(err, ERROR_USAGE,
				"found --set '%s', and no command of the action has that placeholder",
				scope->options->sets[k]);
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
		const char *name = json_text(step, "name");
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
	autostr struct str known = {0};
	const char *name;
	json_t *steps;
	json_object_foreach ((json_t *)actions, name, steps)
		str_printf(&known, "%s%s", known.len ? ", " : "", name);
	return error_set(err, ERROR_USAGE, "the file of the cluster '%s' has no action '%s', it has: %s", cluster,
		wanted, known.len ? known.text : "none");
}

static int act(const struct options *o, const char *cluster, const char *action, struct error *err)
{
	struct live_target t;
	if (live_target_open_cluster(&t, cluster, err) < 0)
		return -1;
	const json_t *actions = json_object_get(t.plan, "actions"),
		     *steps = action ? json_object_get(actions, action) : NULL;
	autojson json_t *status = clusters_status(cluster, t.run, err);
	autofree bool *used = mem_alloc((o->nsets + 1) * sizeof *used);
	struct placeholders scope = {.options = o, .used = used, .nodes = json_object_get(status, "nodes")};
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
	autofree const char **sets = mem_alloc((size_t)argc * sizeof *sets);
	struct options o = {.sets = sets};
	if (parse(argc, argv, &o, err) < 0)
		return -1;
	if (o.help)
		return fputs(usage, stdout) == EOF;
	return act(&o, argv[optind], argv[optind + 1], err);
}
