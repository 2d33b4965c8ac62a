#include "job/plan_make.h"

#include "base/fs.h"
#include "base/glob.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/cluster_check.h"
#include "job/containers.h"
#include "job/heartbeat.h"
#include "job/input.h"
#include "job/job.h"
#include "job/kubernetes.h"
#include "job/launch_env.h"
#include "job/plan.h"
#include "job/plan_placeholders.h"
#include "job/steps.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	MAX_RANKS = 32768,
	MAX_BYTES = 256 << 20, // of the plan's texts, which every rank repeats
};

struct build {
	const struct job *job;
	const char *dir;
	struct launch launch;
	bool ports; // some text holds {port...}
	struct error *err;
};

// --- nodes and ranks --------------------------------------------------------------

static const struct job_role *job_role(const struct build *b, size_t role)
{
	const struct job_role *roles = b->job->cluster.roles.items;
	return b->job->cluster.roles.count ? &roles[role] : NULL;
}

static void lay_out(struct build *b, struct launch_role *roles)
{
	const struct job *job = b->job;
	struct launch *launch = &b->launch;
	launch->mode = (enum job_launch)job->run.launch;
	launch->procs = (size_t)job->run.procs_per_node;
	launch->roles = roles;
	launch->nroles = job->cluster.roles.count ? job->cluster.roles.count : 1;
	for (size_t i = 0; i < launch->nroles; i++) {
		const struct job_role *from = job_role(b, i);
		long nodes = from ? from->nodes : job->cluster.nodes;
		if (nodes < 0 && job->cluster.list)
			nodes = (long)json_array_size(job->cluster.list);
		roles[i].name = from ? from->place.name : "worker";
		roles[i].first = launch->nodes;
		roles[i].nodes = nodes < 0 ? 1 : (size_t)nodes;
		roles[i].ranks = roles[i].nodes * launch->procs;
		launch->nodes += roles[i].nodes;
	}
	launch->size = launch->nodes * launch->procs;
}

static size_t length(const struct field_command *command, const struct field_env *env)
{
	size_t sum = 0;
	for (size_t i = 0; i < command->words.count; i++)
		sum += strlen(command->words.items[i]);
	for (size_t i = 0; i < env->count; i++)
		sum += strlen(env->items[i].name) + strlen(env->items[i].value);
	return sum;
}

static const struct yaml *cluster_node(const struct build *b)
{
	return b->job->cluster.place.node ? b->job->cluster.place.node : b->job->tree;
}

static int check_size(const struct build *b)
{
	const struct launch *launch = &b->launch;
	if (launch->nodes > PLAN_NODES_MAX)
		return yaml_error(cluster_node(b), b->err, "found %zu nodes in all roles, expected at most %d",
			launch->nodes, PLAN_NODES_MAX);
	if (launch->size > MAX_RANKS)
		return yaml_error(b->job->run.place.node, b->err,
			"found %zu ranks (nodes times procs_per_node), expected at most %d", launch->size, MAX_RANKS);
	struct error why;
	if (launch_env_check(launch, &why))
		return yaml_error(b->job->run.place.node, b->err, "found 'launch: %s', %s",
			job_fields_launches[launch->mode], why.text);
	size_t each = 0;
	for (size_t i = 0; i < launch->nroles; i++) {
		const struct job_role *role = job_role(b, i);
		size_t len = length(
			role && role->command.words.count ? &role->command : &b->job->run.command, &b->job->run.env);
		each = len > each ? len : each;
	}
	if ((each + launch_env_bytes(launch)) * launch->size <= MAX_BYTES)
		return 0;
	return yaml_error(b->job->run.place.node, b->err,
		"found a command and environment of %zu bytes for each of %zu ranks, expected a plan of at most %d MiB",
		each, launch->size, MAX_BYTES >> 20);
}

// Without an image of its own a node has the one that is built, or none.
static json_t *make_node(const struct build *b, size_t r, size_t index)
{
	const struct job_cluster *cluster = &b->job->cluster;
	const struct launch_role *role = &b->launch.roles[r];
	const struct job_role *from = job_role(b, r);
	double cpus = from && from->cpus >= 0 ? from->cpus : cluster->cpus;
	long long memory = from && from->memory >= 0 ? from->memory : cluster->memory;
	const char *image = from && from->image ? from->image : cluster->image;
	autofree char *name = mem_printf("node-%zu", role->first + index);
	json_t *node = mem_json("{s:I, s:s, s:s, s:I, s:o, s:o, s:s*}", "node", (json_int_t)(role->first + index),
		"name", name, "role", role->name, "index", (json_int_t)index, "cpus",
		cpus >= 0 ? mem_number(cpus) : json_null(), "memory", memory >= 0 ? json_integer(memory) : json_null(),
		"image", image);
	if (from && from->resources.count)
		json_object_set_new(node, "resources", field_env_json(&from->resources));
	return node;
}

static json_t *make_nodes(const struct build *b)
{
	json_t *nodes = json_array();
	for (size_t r = 0; r < b->launch.nroles; r++)
		for (size_t i = 0; i < b->launch.roles[r].nodes; i++)
			json_array_append_new(nodes, make_node(b, r, i));
	return nodes;
}

// Which host each node is on.
static int add_hosts(const struct build *b, json_t *nodes)
{
	const json_t *list = b->job->cluster.list;
	size_t i, count = json_array_size(nodes);
	json_t *node;
	if (!list)
		return 0;
	if (json_array_size(list) < count)
		return yaml_error(cluster_node(b), b->err,
			"found %zu nodes and %zu hosts, expected a host for each node", count, json_array_size(list));
	json_array_foreach (nodes, i, node)
		json_object_set(node, "host", json_array_get(list, i));
	return 0;
}

static bool decides(const struct build *b, size_t role)
{
	const struct job_role *from = job_role(b, role);
	if (from && from->decides >= 0)
		return from->decides;
	if (b->launch.mode == JOB_PS)
		return strcmp(b->launch.roles[role].name, "worker") == 0;
	for (size_t i = 0; from && i < b->launch.nroles; i++)
		if (job_role(b, i)->decides > 0)
			return false;
	return true;
}

static json_t *make_rank(struct build *b, size_t r, size_t index)
{
	const struct launch_role *role = &b->launch.roles[r];
	const struct job_role *from = job_role(b, r);
	const struct job_run *run = &b->job->run;
	size_t rank = role->first * b->launch.procs + index;
	struct plan_placeholders scope = {&b->launch, role, (long)rank, &b->ports, b->err};
	bool own = from && from->command.words.count;
	autojson json_t *env = launch_env(&b->launch, role, rank);
	if (plan_placeholders_env(&scope, env, &run->env, yaml_find(run->place.node, "env")))
		return NULL;
	json_t *argv = plan_placeholders_argv(&scope, own ? &from->command : &run->command,
		yaml_find(own ? from->place.node : run->place.node, "command"));
	if (!argv)
		return NULL;
	return mem_json("{s:I, s:I, s:I, s:s, s:I, s:b, s:o, s:O}", "rank", (json_int_t)rank, "node",
		(json_int_t)(rank / b->launch.procs), "local", (json_int_t)(rank % b->launch.procs), "role", role->name,
		"index", (json_int_t)index, "decides", decides(b, r), "argv", argv, "env", env);
}

static json_t *make_ranks(struct build *b)
{
	autojson json_t *ranks = json_array();
	bool some = false;
	for (size_t r = 0; r < b->launch.nroles; r++) {
		some = some || decides(b, r);
		for (size_t i = 0; i < b->launch.roles[r].ranks; i++) {
			json_t *rank = make_rank(b, r, i);
			if (!rank)
				return NULL;
			json_array_append_new(ranks, rank);
		}
	}
	if (some)
		return steal(ranks);
	yaml_error(cluster_node(b), b->err, "found no role that decides, expected 'decides: true' for at least one");
	return NULL;
}

// --- metrics, progress, outputs ---------------------------------------------

static json_t *make_metrics(const struct build *b)
{
	json_t *list = json_array();
	const struct job_metric *metrics = b->job->metrics.items;
	for (size_t i = 0; i < b->job->metrics.count; i++)
		json_array_append_new(list, mem_json("{s:s, s:s, s:s?}", "name", metrics[i].name, "pattern",
						    metrics[i].pattern, "unit", metrics[i].unit));
	return list;
}

#define NUMBER "\\d{1,12}"
#define OF_TOTAL "\\s*(?:/|of)\\s*(?<total>" NUMBER ")"
#define EPOCH "(?<epoch>\\d{1,9})"
#define EPOCHS "(?<epochs>\\d{1,9})"
#define SHARE "(?<done>" NUMBER ")/(?<total>" NUMBER ")"
#define BAR "%\\|(?<bar>)[^|]{0,600}\\|\\s*" SHARE "\\s*\\["
#define TURN "\\b(?:iteration|iter|step|batch)\\W{0,9}(?<done>" NUMBER ")"

// The first that a line matches counts. What is in doubt (a bar of a validation, a number of an epoch alone) is none of
// them.
json_t *plan_make_progress_patterns(void)
{
	static const char *const forms[] = {
		"(?i)\\bepoch\\W{0,3}" EPOCH "\\s*(?:/|of)\\s*" EPOCHS ".{0,40}?" TURN OF_TOTAL,
		// [0/25][100/1583] of PyTorch's DCGAN
		"(?:^|\\s)\\[" EPOCH "/" EPOCHS "\\]\\s?\\[\\s*" SHARE "\\]",
		// Epoch 0:  10%|#   | 47/469 [00:12<01:40 of tqdm and Lightning
		"(?i)\\bepoch\\W{0,3}" EPOCH "(?:\\s*(?:/|of)\\s*" EPOCHS ")?[^|]{0,60}" BAR,
		// Epoch: [0][  10/5005], Epoch(train) [1][50/7330], Train Epoch: 1 [640/60000
		"(?i)(?<!\\btest )\\bepoch\\b[^\\d\\[]{0,12}\\[?" EPOCH "\\]?(?:/" EPOCHS
		")?[\\]:,]?\\s{0,4}\\[\\s*" SHARE "[\\s\\]]",
		"(?i)" TURN OF_TOTAL,
		// tqdm without a word, or for training
		"(?i)^\\W{0,8}(?:train\\w{0,8}\\W{1,3})?\\s*\\d{1,3}" BAR,
		// 10/469 [>....] - ETA: of Keras 2; Keras 3 has colours and lines
		"^\\s*" SHARE "(?<bar>) \\[[=>.]{10,60}\\] ",
		"^(?:\\x1b\\[\\d*m|\\s)*" SHARE "(?<bar>)(?:\\x1b\\[\\d*m|\\s)+(?:\\xe2\\x94\\x81)+",
		"^\\s*\\[" SHARE "\\]",
		"(?i)\\bglobal[ _]step\\W{0,3}(?<done>" NUMBER ")\\b",
		// nanoGPT, detectron2
		"(?:^|\\beta: \\S{1,20}\\s{1,4})iter:? (?<done>" NUMBER ")(?::|\\s)",
		// Epoch 1/5 on a line of its own
		"^\\s*Epoch\\W{0,3}" EPOCH "\\s*/\\s*" EPOCHS "(?<heading>)\\W*$",
	};
	json_t *list = json_array();
	for (size_t i = 0; i < countof(forms); i++)
		json_array_append_new(list, json_string(forms[i]));
	return list;
}

static json_t *make_progress(const struct build *b)
{
	return b->job->progress.pattern ? mem_json("[s]", b->job->progress.pattern) : plan_make_progress_patterns();
}

static json_t *make_stop(const struct job_stop *stop)
{
	json_t *made = json_object();
	if (stop->iterations > 0)
		json_object_set_new(made, "iterations", json_integer(stop->iterations));
	if (stop->within)
		json_object_set_new(made, "within", json_real(strtod(stop->within, NULL) / 100));
	return made;
}

// As the file says it, for those who want to know whether two runs did the same.
static json_t *make_command(const struct build *b)
{
	autostr struct str s = {0};
	for (size_t r = 0; r < b->launch.nroles; r++) {
		const struct job_role *role = job_role(b, r);
		const struct field_command *command =
			role && role->command.words.count ? &role->command : &b->job->run.command;
		for (size_t i = 0; i < command->words.count; i++)
			str_printf(&s, "%s%s", i ? " " : r ? "; " : "", command->words.items[i]);
	}
	return json_string(s.text ? s.text : "");
}

static json_t *make_budget(const struct job_budget *budget)
{
	json_t *made = json_object();
	if (budget->max_time > 0)
		json_object_set_new(made, "max_time", mem_number(budget->max_time));
	if (budget->max_cost)
		json_object_set_new(made, "max_cost", mem_number(strtod(budget->max_cost, NULL)));
	return made;
}

static json_t *make_expected(const struct job_expected *e)
{
	json_t *made = mem_json("{s:s?}", "from", e->from);
	const double times[] = {e->time, e->low, e->high, e->cost ? strtod(e->cost, NULL) : -1};
	static const char *const names[] = {"time", "low", "high", "cost"};
	for (size_t i = 0; i < countof(times); i++)
		json_object_set_new(made, names[i], times[i] >= 0 ? mem_number(times[i]) : json_null());
	return made;
}

// What only few jobs ask for, and stands in the plan only then.
static void add_wishes(json_t *plan, const struct job *job)
{
	if (job->progress.total > 0)
		json_object_set_new(plan, "total", json_integer(job->progress.total));
	if (job->progress.samples > 0)
		json_object_set_new(plan, "samples", json_integer(job->progress.samples));
	if (job->progress.pattern || job->stop.place.node)
		json_object_set_new(plan, "watched", json_integer(60));
	if (job->stop.place.node)
		json_object_set_new(plan, "stop", make_stop(&job->stop));
	if (job->budget.place.node)
		json_object_set_new(plan, "budget", make_budget(&job->budget));
	if (job->expected.place.node)
		json_object_set_new(plan, "expected", make_expected(&job->expected));
}

static json_t *make_outputs(const struct build *b)
{
	autojson json_t *list = json_array();
	const struct yaml *node = yaml_find(b->job->tree, "outputs");
	for (size_t i = 0; i < b->job->outputs.count; i++) {
		const char *glob = b->job->outputs.items[i];
		if (!fs_is_inside(glob)) {
			autofree char *quoted = yaml_quote(glob);
			yaml_error(node->entries[i].value, b->err,
				"found the output %s, expected a relative path or glob without '..'", quoted);
			return NULL;
		}
		struct error why;
		if (glob_check(glob, &why) < 0) {
			yaml_error(node->entries[i].value, b->err, "%s", why.text);
			return NULL;
		}
		json_array_append_new(list, json_string(glob));
	}
	return steal(list);
}

// --- the whole -------------------------------------------------------------------------

static double site_seconds(const json_t *site, const char *name, double fallback)
{
	const json_t *value = json_object_get(site, name);
	return json_is_number(value) ? json_number_value(value) : fallback;
}

// persistent: the lease of a persistent cluster outlasts its controller; it has no ranks to give time to.
static int add_times(const struct build *b, json_t *plan, const json_t *site, bool persistent)
{
	const struct job_run *run = &b->job->run;
	double heartbeat = site_seconds(site, "heartbeat", HEARTBEAT_PERIOD), lease = b->job->cluster.lease;
	if (lease >= 0 && heartbeat >= lease)
		return yaml_error(yaml_find(cluster_node(b), "lease"), b->err,
			"found a lease of %g s, expected more than the heartbeat of %g s", lease, heartbeat);
	if (lease < 0)
		lease = persistent
				? HEARTBEAT_LEASE_PERSISTENT
				: site_seconds(site, "lease",
					  b->launch.mode == JOB_MPI ? heartbeat_lease_mpi(heartbeat) : HEARTBEAT_LEASE);
	if (heartbeat >= lease)
		return error_set(b->err, ERROR_USAGE,
			"%s: found a heartbeat of %g s and a lease of %g s, expected a longer lease",
			json_text_or(site, "place", "site file"), heartbeat, lease);
	json_object_set_new(plan, "timeout", mem_number(run->timeout));
	json_object_set_new(plan, "retries", json_integer(run->retries));
	json_object_set_new(plan, "grace",
		mem_number(run->grace >= 0 && !persistent ? run->grace : site_seconds(site, "grace", 5)));
	json_object_set_new(plan, "deadline", mem_number(site_seconds(site, "deadline", 60)));
	json_object_set_new(plan, "heartbeat", mem_number(heartbeat_period(heartbeat, lease)));
	json_object_set_new(plan, "lease", mem_number(lease));
	return 0;
}

// Takes value; -1 when there is none.
static int add(json_t *tree, const char *key, json_t *value)
{
	return value ? json_object_set_new(tree, key, value) : -1;
}

static json_t *make_plan(struct build *b, const json_t *site)
{
	const struct job *job = b->job;
	struct plan_placeholders setup = {&b->launch, NULL, -1, &b->ports, b->err};
	if (check_size(b) || cluster_check(job, b->err))
		return NULL;
	autojson json_t *plan = mem_json("{s:i, s:s, s:s, s:s, s:I, s:o}", "plan", 1, "name", job->name, "executor",
		job->cluster.executor, "launch", job_fields_launches[b->launch.mode], "size",
		(json_int_t)b->launch.size, "nodes", make_nodes(b));
	if (add_hosts(b, json_object_get(plan, "nodes")))
		return NULL;
	if (job->cluster.at_once > 0)
		json_object_set_new(plan, "at_once", json_integer(job->cluster.at_once));
	if (add(plan, "ranks", make_ranks(b)) || add(plan, "inputs", input_list(b->job, b->dir, b->err)) ||
		add(plan, "setup", steps_make(job, &setup)) || add(plan, "metrics", make_metrics(b)) ||
		add(plan, "progress", make_progress(b)) || add(plan, "outputs", make_outputs(b)) ||
		add_times(b, plan, site, false) || containers_of_nodes(job, b->dir, plan, b->err) ||
		containers_of_ranks(job, b->dir, plan, b->err))
		return NULL;
	if (b->launch.mode == JOB_MPI)
		json_object_set_new(plan, "mpi", json_string(job_fields_mpis[job->run.mpi]));
	add_wishes(plan, job);
	if (kubernetes_add(job, site, false, plan, b->err))
		return NULL;
	if (job->on)
		json_object_set_new(plan, "on", json_string(job->on));
	if (job->on && job->share)
		json_object_set_new(plan, "share", json_true());
	json_object_set_new(plan, "command", make_command(b));
	json_object_set_new(plan, "preflight", json_boolean(job->preflight));
	json_object_set_new(
		plan, "ports", json_boolean(b->ports || b->launch.mode == JOB_TORCH || b->launch.mode == JOB_PS));
	return steal(plan);
}

json_t *plan_make(const struct job *job, const json_t *site, const char *dir, struct error *err)
{
	struct build b = {.job = job, .dir = dir, .err = err};
	autofree struct launch_role *roles = mem_alloc((job->cluster.roles.count + 1) * sizeof *roles);
	lay_out(&b, roles);
	return make_plan(&b, site);
}

// --- persistent clusters --------------------------------------------------------

// The words as they are: an action's placeholders are filled when it is run.
static json_t *make_action(const struct job_action *action)
{
	json_t *list = json_array();
	const struct job_step *steps = action->steps.items;
	for (size_t i = 0; i < action->steps.count; i++) {
		const struct field_command *command = &steps[i].run;
		autofree char *name = steps[i].name ? mem_strdup(steps[i].name) : steps_title(command);
		json_t *argv = command->shell ? mem_json("[s, s]", "/bin/sh", "-c") : json_array();
		for (size_t w = 0; w < command->words.count; w++)
			json_array_append_new(argv, json_string(command->words.items[w]));
		json_array_append_new(
			list, mem_json("{s:s, s:o, s:b}", "name", name, "argv", argv, "once", steps[i].once));
	}
	return list;
}

json_t *plan_make_cluster(const struct job *job, const json_t *site, const char *dir, struct error *err)
{
	struct build b = {.job = job, .dir = dir, .err = err};
	autofree struct launch_role *roles = mem_alloc((job->cluster.roles.count + 1) * sizeof *roles);
	lay_out(&b, roles);
	if (check_size(&b) || cluster_check(job, err))
		return NULL;
	autojson json_t *plan = mem_json("{s:i, s:s, s:s, s:s, s:i, s:o, s:[]}", "plan", 1, "name", job->name,
		"executor", job->cluster.executor, "launch", "none", "size", 0, "nodes", make_nodes(&b), "ranks");
	if (add_hosts(&b, json_object_get(plan, "nodes")))
		return NULL;
	if (job->cluster.list)
		json_object_set(plan, "hosts", job->cluster.list);
	if (job->cluster.at_once > 0)
		json_object_set_new(plan, "at_once", json_integer(job->cluster.at_once));
	if (add_times(&b, plan, site, true) || containers_of_nodes(job, dir, plan, err) ||
		kubernetes_add(job, site, true, plan, err))
		return NULL;
	json_t *actions = json_object();
	const struct job_action *action = job->actions.items;
	for (size_t i = 0; i < job->actions.count; i++)
		json_object_set_new(actions, action[i].place.name, make_action(&action[i]));
	json_object_set_new(plan, "actions", actions);
	return steal(plan);
}
