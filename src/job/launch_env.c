#include "job/launch_env.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

// TF_CONFIG names every rank to every rank: what grows with the square is bounded.
enum { MAX_PS_RANKS = 1000 };

static const struct launch_role *find_role(const struct launch *launch, const char *name)
{
	for (size_t i = 0; i < launch->nroles; i++)
		if (strcmp(launch->roles[i].name, name) == 0)
			return &launch->roles[i];
	return NULL;
}

int launch_env_check(const struct launch *launch, struct error *err)
{
	if (launch->mode != JOB_PS)
		return 0;
	if (!find_role(launch, "ps") || !find_role(launch, "worker"))
		return error_set(err, ERROR_USAGE,
			"expected the roles 'ps' and 'worker' in 'cluster.roles', such as {ps: 1, worker: 2}");
	if (launch->size > MAX_PS_RANKS)
		return error_set(err, ERROR_USAGE, "expected at most %d ranks, found %zu", MAX_PS_RANKS, launch->size);
	return 0;
}

size_t launch_env_bytes(const struct launch *launch)
{
	return 600 + (launch->mode == JOB_PS ? launch->size * 60 : 0);
}

static void put(json_t *env, const char *name, const char *text)
{
	json_object_set_new(env, name, json_string(text));
}

static void put_number(json_t *env, const char *name, size_t number)
{
	autofree char *text = mem_printf("%zu", number);
	put(env, name, text);
}

static void add_common(json_t *env, const struct launch *launch, const struct launch_role *role, size_t rank)
{
	put_number(env, "MUSTER_RANK", rank);
	put_number(env, "MUSTER_SIZE", launch->size);
	put_number(env, "MUSTER_NODE", rank / launch->procs);
	put_number(env, "MUSTER_NODES", launch->nodes);
	put_number(env, "MUSTER_LOCAL_RANK", rank % launch->procs);
	put(env, "MUSTER_ROLE", role->name);
	put(env, "MUSTER_HOSTS", "{hosts}");
	put(env, "MUSTER_HOSTFILE", "{hostfile}");
	put(env, "MUSTER_DATA", "{data}");
	put(env, "MUSTER_OUT", "{out}");
}

static void add_torch(json_t *env, const struct launch *launch, size_t rank)
{
	put(env, "MASTER_ADDR", "{addr[0]}");
	put(env, "MASTER_PORT", "{port[0]}");
	put_number(env, "RANK", rank);
	put_number(env, "LOCAL_RANK", rank % launch->procs);
	put_number(env, "WORLD_SIZE", launch->size);
	put_number(env, "LOCAL_WORLD_SIZE", launch->procs);
	put_number(env, "NODE_RANK", rank / launch->procs);
	put_number(env, "NNODES", launch->nodes);
}

static char *address(const struct launch *launch, size_t rank)
{
	return mem_printf("{addr[%zu]}:{port[%zu]}", rank / launch->procs, rank);
}

static void put_hosts(json_t *env, const char *name, const struct launch *launch, const struct launch_role *role)
{
	autostr struct str list = {0};
	size_t first = role->first * launch->procs;
	for (size_t i = 0; i < role->ranks; i++) {
		autofree char *one = address(launch, first + i);
		str_printf(&list, "%s%s", i ? "," : "", one);
	}
	put(env, name, list.text);
}

static json_t *tf_cluster(const struct launch *launch)
{
	json_t *cluster = json_object();
	for (size_t r = 0; r < launch->nroles; r++) {
		json_t *list = json_array();
		for (size_t i = 0; i < launch->roles[r].ranks; i++) {
			autofree char *one = address(launch, launch->roles[r].first * launch->procs + i);
			json_array_append_new(list, json_string(one));
		}
		json_object_set_new(cluster, launch->roles[r].name, list);
	}
	return cluster;
}

static void add_ps(json_t *env, const struct launch *launch, const struct launch_role *role, size_t rank)
{
	size_t index = rank - role->first * launch->procs;
	put_hosts(env, "PS_HOSTS", launch, find_role(launch, "ps"));
	put_hosts(env, "WORKER_HOSTS", launch, find_role(launch, "worker"));
	put(env, "JOB_NAME", role->name);
	autofree char *pod = mem_printf("%s-%zu", role->name, index);
	put(env, "POD_NAME", pod);
	put_number(env, "TASK_INDEX", index);
	autojson json_t *config = mem_json(
		"{s:o, s:{s:s, s:i}}", "cluster", tf_cluster(launch), "task", "type", role->name, "index", (int)index);
	autofree char *text = json_dumps(config, JSON_COMPACT);
	put(env, "TF_CONFIG", text);
}

json_t *launch_env(const struct launch *launch, const struct launch_role *role, size_t rank)
{
	json_t *env = json_object();
	add_common(env, launch, role, rank);
	if (launch->mode == JOB_TORCH)
		add_torch(env, launch, rank);
	else if (launch->mode == JOB_PS)
		add_ps(env, launch, role, rank);
	return env; // mpi: the agent is the process manager and adds what the library asks for
}
