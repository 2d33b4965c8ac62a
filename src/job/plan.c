#include "job/plan.h"

#include "base/json.h"
#include "base/mem.h"
#include "job/placeholders.h"

#include <math.h>
#include <string.h>

static double number_or(const json_t *object, const char *name, double fallback)
{
	return json_is_number(json_object_get(object, name)) ? json_number(object, name) : fallback;
}

static size_t count_of(const json_t *object, const char *name)
{
	json_int_t count = json_int(object, name);
	return count > 0 ? (size_t)count : 0;
}

static json_t *item_of(const json_t *plan, const char *list, size_t i)
{
	return json_array_get(json_object_get(plan, list), i);
}

// --- of the whole run ---------------------------------------------------------

const char *plan_name(const json_t *plan)
{
	return json_text(plan, "name");
}

const char *plan_executor(const json_t *plan)
{
	return json_text(plan, "executor");
}

const char *plan_launch(const json_t *plan)
{
	return json_text(plan, "launch");
}

const char *plan_mpi(const json_t *plan)
{
	return json_text(plan, "mpi");
}

const char *plan_command(const json_t *plan)
{
	return json_text(plan, "command");
}

size_t plan_size(const json_t *plan)
{
	return count_of(plan, "size");
}

size_t plan_at_once(const json_t *plan)
{
	return count_of(plan, "at_once");
}

double plan_timeout(const json_t *plan)
{
	return json_number(plan, "timeout");
}

double plan_grace(const json_t *plan)
{
	return json_number(plan, "grace");
}

double plan_deadline(const json_t *plan)
{
	return json_number(plan, "deadline");
}

double plan_heartbeat(const json_t *plan)
{
	return json_number(plan, "heartbeat");
}

double plan_lease(const json_t *plan)
{
	return json_number(plan, "lease");
}

size_t plan_retries(const json_t *plan)
{
	return count_of(plan, "retries");
}

void plan_add_lease(const json_t *plan, json_t *config)
{
	static const char *const names[] = {"lease", "heartbeat"};
	for (size_t i = 0; i < countof(names); i++)
		if (json_has(plan, names[i]))
			json_object_set(config, names[i], json_object_get(plan, names[i]));
}

bool plan_has_preflight(const json_t *plan)
{
	return json_flag(plan, "preflight");
}

bool plan_has_ports(const json_t *plan)
{
	return json_flag(plan, "ports");
}

const char *plan_cluster(const json_t *plan)
{
	return json_text(plan, "on");
}

bool plan_shares(const json_t *plan)
{
	return json_flag(plan, "share");
}

const json_t *plan_outputs(const json_t *plan)
{
	return json_object_get(plan, "outputs");
}

const json_t *plan_progress(const json_t *plan)
{
	return json_object_get(plan, "progress");
}

double plan_total(const json_t *plan)
{
	return number_or(plan, "total", NAN);
}

double plan_samples(const json_t *plan)
{
	return json_number(plan, "samples");
}

double plan_watched(const json_t *plan)
{
	return json_number(plan, "watched");
}

bool plan_has_stop(const json_t *plan)
{
	return json_object_get(plan, "stop") != NULL;
}

struct plan_stop plan_stop(const json_t *plan)
{
	const json_t *stop = json_object_get(plan, "stop");
	return (struct plan_stop){number_or(stop, "iterations", INFINITY), number_or(stop, "within", NAN)};
}

bool plan_has_budget(const json_t *plan)
{
	return json_object_get(plan, "budget") != NULL;
}

struct plan_budget plan_budget(const json_t *plan)
{
	const json_t *budget = json_object_get(plan, "budget");
	return (struct plan_budget){number_or(budget, "max_time", INFINITY), number_or(budget, "max_cost", INFINITY)};
}

json_t *plan_expected_json(const json_t *plan)
{
	return json_object_get(plan, "expected");
}

struct plan_expected plan_expected(const json_t *plan)
{
	const json_t *expected = plan_expected_json(plan);
	return (struct plan_expected){.time = number_or(expected, "time", NAN),
		.low = number_or(expected, "low", NAN),
		.high = number_or(expected, "high", NAN),
		.cost = number_or(expected, "cost", NAN),
		.from = json_text(expected, "from")};
}

const json_t *plan_prices(const json_t *plan)
{
	return json_object_get(plan, "prices");
}

void plan_set_prices(json_t *plan, json_t *prices)
{
	json_object_set_new(plan, "prices", prices);
}

// --- nodes and ranks ----------------------------------------------------------

struct plan_host plan_host_read(const json_t *host)
{
	return (struct plan_host){.host = json_text(host, "host"),
		.user = json_text(host, "user"),
		.key = json_text(host, "key"),
		.port = (int)json_int(host, "port")};
}

size_t plan_nodes(const json_t *plan)
{
	return json_count(plan, "nodes");
}

struct plan_node plan_node(const json_t *plan, size_t k)
{
	const json_t *node = item_of(plan, "nodes", k);
	return (struct plan_node){.node = count_of(node, "node"),
		.name = json_text(node, "name"),
		.role = json_text(node, "role"),
		.index = count_of(node, "index"),
		.cpus = json_number(node, "cpus"),
		.memory = (long long)json_number(node, "memory"),
		.image = json_text(node, "image"),
		.resources = json_object_get(node, "resources"),
		.type = json_text(node, "type"),
		.host = plan_host_read(json_object_get(node, "host"))};
}

json_t *plan_limit(double limit)
{
	return limit > 0 ? mem_number(limit) : json_null();
}

struct plan_node plan_own_node(const json_t *slice)
{
	return plan_node(slice, 0);
}

size_t plan_ranks(const json_t *plan)
{
	return json_count(plan, "ranks");
}

struct plan_rank plan_rank(const json_t *plan, size_t i)
{
	const json_t *rank = item_of(plan, "ranks", i);
	return (struct plan_rank){.rank = count_of(rank, "rank"),
		.node = count_of(rank, "node"),
		.local = count_of(rank, "local"),
		.role = json_text(rank, "role"),
		.index = count_of(rank, "index"),
		.decides = json_flag(rank, "decides"),
		.argv = json_object_get(rank, "argv"),
		.env = json_object_get(rank, "env")};
}

bool plan_names_hosts(const json_t *plan)
{
	return json_object_get(plan, "hosts") != NULL;
}

size_t plan_room(const json_t *plan)
{
	return plan_names_hosts(plan) ? json_count(plan, "hosts") : PLAN_NODES_MAX;
}

size_t plan_hosts(const json_t *plan)
{
	return plan_names_hosts(plan) ? json_count(plan, "hosts") : plan_nodes(plan);
}

json_t *plan_host_json(const json_t *plan, size_t k)
{
	return k < plan_nodes(plan) ? json_object_get(item_of(plan, "nodes", k), "host") : item_of(plan, "hosts", k);
}

// --- inputs and setup steps ---------------------------------------------------

static enum plan_input_kind kind_of(const json_t *input)
{
	static const char *const kinds[] = {
		[PLAN_INPUT_HTTP] = "http", [PLAN_INPUT_GIT] = "git", [PLAN_INPUT_LIVE] = "live"};
	for (size_t i = 0; i < countof(kinds); i++)
		if (kinds[i] && json_is(input, "kind", kinds[i]))
			return (enum plan_input_kind)i;
	return PLAN_INPUT_PATH;
}

size_t plan_inputs(const json_t *plan)
{
	return json_count(plan, "inputs");
}

json_t *plan_input_json(const json_t *plan, size_t i)
{
	return item_of(plan, "inputs", i);
}

struct plan_input plan_input_read(const json_t *input)
{
	return (struct plan_input){.name = json_text(input, "name"),
		.from = json_text(input, "from"),
		.path = json_text(input, "path"),
		.sha256 = json_text(input, "sha256"),
		.kind = kind_of(input),
		.unpack = json_flag(input, "unpack"),
		.once = json_flag(input, "once"),
		.context = json_flag(input, "context")};
}

struct plan_input plan_input(const json_t *plan, size_t i)
{
	return plan_input_read(plan_input_json(plan, i));
}

void plan_input_set_from(json_t *input, const char *from)
{
	json_object_set_new(input, "from", json_string(from));
}

size_t plan_steps(const json_t *plan)
{
	return json_count(plan, "setup");
}

json_t *plan_step_json(const json_t *plan, size_t i)
{
	return item_of(plan, "setup", i);
}

struct plan_step plan_step_read(const json_t *step)
{
	const json_t *mount = json_object_get(step, "mount");
	return (struct plan_step){.name = json_text(step, "name"),
		.creates = json_text(step, "creates"),
		.argv = json_object_get(step, "argv"),
		.env = json_object_get(step, "env"),
		.packages = json_object_get(step, "packages"),
		.once = json_flag(step, "once"),
		.become = json_flag(step, "become"),
		.is_image = json_object_get(step, "image"),
		.is_mount = mount,
		.timeout = json_number(step, "timeout"),
		.mount = {.type = json_text(mount, "type"),
			.from = json_text(mount, "from"),
			.to = json_text(mount, "to"),
			.options = json_text(mount, "options")}};
}

struct plan_step plan_step(const json_t *plan, size_t i)
{
	return plan_step_read(plan_step_json(plan, i));
}

void plan_step_set_env(json_t *step, const char *name, const char *value)
{
	json_object_set_new(json_object_get(step, "env"), name, json_string(value));
}

const json_t *plan_actions(const json_t *plan)
{
	return json_object_get(plan, "actions");
}

size_t plan_metrics(const json_t *plan)
{
	return json_count(plan, "metrics");
}

struct plan_metric plan_metric(const json_t *plan, size_t i)
{
	const json_t *metric = item_of(plan, "metrics", i);
	return (struct plan_metric){.name = json_text(metric, "name"),
		.pattern = json_text(metric, "pattern"),
		.unit = json_text(metric, "unit")};
}

// --- images -------------------------------------------------------------------

struct plan_build plan_build(const json_t *plan)
{
	const json_t *build = json_object_get(plan, "build");
	return (struct plan_build){.context = json_text(build, "context"),
		.dockerfile = json_text(build, "dockerfile"),
		.args = json_object_get(build, "args")};
}

const json_t *plan_volumes(const json_t *plan)
{
	return json_object_get(plan, "volumes");
}

const json_t *plan_kubernetes(const json_t *plan)
{
	return json_object_get(plan, "kubernetes");
}

bool plan_has_container(const json_t *plan)
{
	return plan_container_json(plan) != NULL;
}

json_t *plan_container_json(const json_t *plan)
{
	return json_object_get(plan, "container");
}

struct plan_container plan_container(const json_t *plan)
{
	const json_t *container = plan_container_json(plan);
	return (struct plan_container){.image = json_text(container, "image"),
		.build = plan_build(container),
		.volumes = plan_volumes(container)};
}

void plan_container_set_context(json_t *container, const char *context)
{
	json_object_set_new(json_object_get(container, "build"), "context", json_string(context));
}

// --- other plans made of one --------------------------------------------------

json_t *plan_resize(const json_t *plan, size_t nodes)
{
	json_t *copy = json_deep_copy(plan), *list = json_object_get(copy, "nodes");
	const json_t *hosts = json_object_get(copy, "hosts");
	while (json_array_size(list) > nodes)
		json_array_remove(list, json_array_size(list) - 1);
	for (size_t i = json_array_size(list); i < nodes; i++) {
		json_t *node = json_deep_copy(json_array_get(list, i - 1));
		autofree char *name = mem_printf("node-%zu", i);
		json_object_set_new(node, "node", json_integer((json_int_t)i));
		json_object_set_new(node, "name", json_string(name));
		json_object_set_new(
			node, "index", json_integer(json_integer_value(json_object_get(node, "index")) + 1));
		if (hosts)
			json_object_set(node, "host", json_array_get(hosts, i));
		json_array_append_new(list, node);
	}
	return copy;
}

// What a setup step differs in from node to node.
static char *look_up_node(const char *name, long index, void *data, struct error *err)
{
	const json_t *node = data;
	const struct placeholder *p = placeholders_find(name);
	switch (p && index < 0 ? p->id : PLACEHOLDER_COUNT) {
	case PLACEHOLDER_ADDR:
		return mem_printf("{addr[%lld]}", (long long)json_int(node, "node"));
	case PLACEHOLDER_NODE:
	case PLACEHOLDER_INDEX:
		return mem_printf("%lld", (long long)json_int(node, name));
	case PLACEHOLDER_ROLE:
		return mem_strdup(json_text_or(node, name, ""));
	default:
		return NULL;
	}
}

json_t *plan_slice(const json_t *plan, size_t node)
{
	json_t *slice = json_copy((json_t *)plan);
	const json_t *ranks = json_object_get(plan, "ranks");
	json_t *own = json_array(), *setup = json_deep_copy(json_object_get(plan, "setup"));
	size_t procs = plan_size(plan) / plan_nodes(plan);
	for (size_t i = 0; i < procs; i++)
		json_array_append(own, json_array_get(ranks, node * procs + i));
	size_t i;
	json_t *step;
	json_array_foreach (setup, i, step) {
		// Names are the user's words, not texts with placeholders.
		autojson json_t *name = json_incref(json_object_get(step, "name"));
		json_object_del(step, "name");
		placeholders_expand_tree(step, 0, look_up_node, item_of(plan, "nodes", node), NULL);
		json_object_set(step, "name", name);
	}
	json_object_set_new(slice, "ranks", own);
	json_object_set_new(slice, "setup", setup);
	json_object_set_new(slice, "node", json_integer((json_int_t)node));
	json_object_set_new(slice, "nodes", mem_json("[O]", item_of(plan, "nodes", node)));
	return slice;
}

json_t *plan_with_nodes(const json_t *plan, size_t nodes)
{
	json_t *copy = json_copy((json_t *)plan), *list = json_array();
	for (size_t i = 0; i < nodes; i++)
		json_array_append(list, item_of(plan, "nodes", 0));
	json_object_set_new(copy, "nodes", list);
	json_object_del(copy, "expected");
	return copy;
}
