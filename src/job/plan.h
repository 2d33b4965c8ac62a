// A plan: exactly what will happen: every node, every rank, every argv, every file; and how to read one.
// It knows no address yet and touches nothing; job/plan_make.h makes it. After that nobody reads the job again.
//
// It is a JSON object. Outside of src/job it is only read with the functions below: a misspelt name does not compile.
// Members marked with ? are there only when the job asks for them.
//
//   plan         1
//   name         "dcgan"
//   executor     "local"
//   launch       "none", "torch", "ps" or "mpi"
//   mpi          ? "auto", "mpich" or "openmpi"; only with launch "mpi"
//   size         2, the number of ranks
//   nodes        [{"node": 0, "name": "node-0", "role": "worker", "index": 0,
//                  "cpus": 0.5 or null, "memory": 131072000 or null,
//                  "image": ? "debian:12", "resources": ? {"nvidia.com/gpu": "1"}, those of its role,
//                  "host": ? {"host": "a", "user": ? "me", "port": ? 22, "key": ? "/path"}}, ...]
//   at_once      ? 16, how many nodes to bring up at the same time
//   ranks        [{"rank": 0, "node": 0, "local": 0, "role": "worker", "index": 0, "decides": true,
//                  "argv": ["/bin/sh", "-c", "..."], "env": {"MUSTER_RANK": "0", ...}}, ...]
//                The run ends when all ranks that decide have ended. The others are then stopped, and their exit status
//                does not count.
//   inputs       [{"name": "...", "from": "/path", "https://..." or "git+https://...",
//                  "kind": "path", "http", "git" or "live", "sha256": "..." or null, "unpack": true,
//                  "path": "below the data directory, or .", "once": false,
//                  "context": ? true, what the image of the ranks is built from}, ...]
//   setup        [{"name": "...", "env": {...}, "once": false, "timeout": 0, and what the step does, one of:
//                  "argv": [...], with "become": ? true and "creates": ? "a file"
//                  "packages": ["..."]
//                  "mount": {"type": "nfs4", "from": "...", "to": "...", "options": ? "..."}
//                  "image": true, get the image of "container"; always the last step}, ...]
//   container    ? {"image": ? "debian:12", "build": ?, "volumes": ?}, what the ranks run in; the latter as below
//   build        ? {"context": "/absolute/path", "dockerfile": ? "...", "args": {...}}, the image of the nodes
//   kubernetes   ? the pods: as `cluster.kubernetes`, with the members that are given, and
//                "active_deadline": ? seconds, how long they may live at most;
//                "tolerations" are as Kubernetes writes them, each of "volumes" has a "name", "empty_dir" is
//                {"memory": false, "size": ? bytes}, and "pod" is JSON
//   volumes      ? ["/absolute/path:/in/the/container:ro" or "name:/in/the/container", ...], of the nodes
//   metrics      [{"name": "...", "pattern": "...", "unit": "..." or null}, ...]
//   progress     [a regular expression with the groups done and total, and perhaps epoch and epochs, ...]
//   command      "./train --lr {rank}", as in the job file; those of several roles are joined by "; "
//   total        ? 7820, iterations of the whole run
//   samples      ? 128, per iteration and rank
//   watched      ? 60, seconds after which to warn that no line matches "progress"
//   stop         ? {"iterations": ? 20, "within": ? 0.02}, end well after so many iterations, or when the estimate of
//                the whole run is as precise as that
//   budget       ? {"max_time": ? seconds, "max_cost": ? amount}
//   expected     ? {"time", "low", "high", "cost": a number or null, "from": "sweep" or null}
//   prices       ? what nodes cost (job/prices.h); only with a budget of money
//   outputs      [a glob below the output directory, ...]
//   timeout      0 (none), grace 5, deadline 60, heartbeat 5, lease 30: seconds, each a member of its own
//   retries      0
//   on           ? "lab", the persistent cluster it runs on
//   share        ? true, it may run there beside other jobs
//   preflight    true
//   ports        true when some text holds {port...}
//
// The plan of a persistent cluster has no ranks, inputs, steps, metrics and outputs, but
//
//   actions      {"install": [{"name": "...", "argv": [...], "once": false}, ...]}
//   hosts        ? [{"host": "..."}, ...]; node K is on the K-th of them, however many nodes it has at the moment
//
// What one node is sent is a slice: the plan with its own node and ranks only, the setup steps as they are on this
// node, and "node", its number.
//
// Texts may still hold the placeholders that only a live node can fill: {data} {out} {addr[K]} {port} {port[R]} {hosts}
// {hostfile}.
#ifndef JOB_PLAN_H
#define JOB_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { PLAN_NODES_MAX = 10000 };

// What is read belongs to the plan and is valid as long as it. A text or tree that is not there is NULL, a number 0, a
// flag false, unless it says otherwise. Numbers beyond the end read as if nothing was there.

// --- of the whole run ---------------------------------------------------------

const char *plan_name(const json_t *plan);
const char *plan_executor(const json_t *plan);
const char *plan_launch(const json_t *plan);
const char *plan_mpi(const json_t *plan);
const char *plan_command(const json_t *plan);
size_t plan_size(const json_t *plan); // ranks of the whole run, also of a slice
size_t plan_at_once(const json_t *plan);

double plan_timeout(const json_t *plan); // seconds, this and the next four
double plan_grace(const json_t *plan);
double plan_deadline(const json_t *plan);
double plan_heartbeat(const json_t *plan);
double plan_lease(const json_t *plan);
size_t plan_retries(const json_t *plan);

// Adds lease and heartbeat to the configuration of an agent.
void plan_add_lease(const json_t *plan, json_t *config);

bool plan_has_preflight(const json_t *plan);
bool plan_has_ports(const json_t *plan);
const char *plan_cluster(const json_t *plan); // "on": the persistent cluster it runs on
bool plan_shares(const json_t *plan);

const json_t *plan_outputs(const json_t *plan);  // array of globs
const json_t *plan_progress(const json_t *plan); // array of patterns
double plan_total(const json_t *plan);           // iterations; NAN: not known
double plan_samples(const json_t *plan);
double plan_watched(const json_t *plan); // seconds

struct plan_stop {
	double iterations; // INFINITY: not asked for
	double within;     // share of the estimate; NAN: not asked for
};

struct plan_budget {
	double max_time, max_cost; // INFINITY: no limit
};

struct plan_expected {
	double time, low, high, cost; // NAN: not known
	const char *from;
};

bool plan_has_stop(const json_t *plan);
struct plan_stop plan_stop(const json_t *plan);
bool plan_has_budget(const json_t *plan);
struct plan_budget plan_budget(const json_t *plan);
struct plan_expected plan_expected(const json_t *plan);
json_t *plan_expected_json(const json_t *plan);
const json_t *plan_prices(const json_t *plan);
void plan_set_prices(json_t *plan, json_t *prices); // takes prices

// --- nodes and ranks ----------------------------------------------------------

struct plan_host {
	const char *host, *user, *key;
	int port;
};

struct plan_node {
	size_t node;
	const char *name, *role;
	size_t index;     // among the nodes of its role
	double cpus;      // 0: no limit
	long long memory; // bytes; 0: no limit
	const char *image;
	const json_t *resources; // of its role, instead of plan_kubernetes'
	const char *type;        // of the machine, where the executor has several; none has so far
	struct plan_host host;
};

struct plan_rank {
	size_t rank, node, local;
	const char *role;
	size_t index; // among the ranks of its role
	bool decides;
	const json_t *argv, *env;
};

size_t plan_nodes(const json_t *plan); // 1 in a slice
struct plan_node plan_node(const json_t *plan, size_t k);
struct plan_node plan_own_node(const json_t *slice);
json_t *plan_limit(double limit); // of cpus or memory, as in the plan: null for 0; owned by the caller

size_t plan_ranks(const json_t *plan); // how many it holds: all, or those of the node in a slice
struct plan_rank plan_rank(const json_t *plan, size_t i);

// How many nodes a persistent cluster may be given: as many as it has hosts, where those are named.
size_t plan_room(const json_t *plan);
bool plan_names_hosts(const json_t *plan);
size_t plan_hosts(const json_t *plan);                // those it names, else one for each node
json_t *plan_host_json(const json_t *plan, size_t k); // of node k, also of one that the cluster does not have yet
struct plan_host plan_host_read(const json_t *host);

// --- inputs and setup steps ---------------------------------------------------

enum plan_input_kind { PLAN_INPUT_PATH, PLAN_INPUT_HTTP, PLAN_INPUT_GIT, PLAN_INPUT_LIVE };

struct plan_input {
	const char *name, *from, *path, *sha256;
	enum plan_input_kind kind;
	bool unpack, once, context;
};

struct plan_mount {
	const char *type, *from, *to, *options;
};

struct plan_step {
	const char *name, *creates;
	const json_t *argv, *env, *packages;
	bool once, become, is_image, is_mount;
	double timeout; // seconds; 0: none
	struct plan_mount mount;
};

size_t plan_inputs(const json_t *plan);
struct plan_input plan_input(const json_t *plan, size_t i);
json_t *plan_input_json(const json_t *plan, size_t i);
struct plan_input plan_input_read(const json_t *input); // one that plan_input_json gave, or a copy of it
void plan_input_set_from(json_t *input, const char *from);

size_t plan_steps(const json_t *plan);
struct plan_step plan_step(const json_t *plan, size_t i);
json_t *plan_step_json(const json_t *plan, size_t i);
struct plan_step plan_step_read(const json_t *step);
void plan_step_set_env(json_t *step, const char *name, const char *value);

const json_t *plan_actions(const json_t *plan); // name: array of steps for plan_step_read

struct plan_metric {
	const char *name, *pattern, *unit;
};

size_t plan_metrics(const json_t *plan);
struct plan_metric plan_metric(const json_t *plan, size_t i);

// --- images -------------------------------------------------------------------

struct plan_build {
	const char *context, *dockerfile;
	const json_t *args;
};

struct plan_container {
	const char *image;
	struct plan_build build;
	const json_t *volumes;
};

struct plan_build plan_build(const json_t *plan); // context NULL: there is none
const json_t *plan_volumes(const json_t *plan);   // array of texts
const json_t *plan_kubernetes(const json_t *plan);
bool plan_has_container(const json_t *plan);
struct plan_container plan_container(const json_t *plan); // or of a step that has the member "container" too
json_t *plan_container_json(const json_t *plan);
void plan_container_set_context(json_t *container, const char *context);

// --- other plans made of one --------------------------------------------------

// What node K is told: its slice. Owned by the caller; what is the same for all nodes it shares with the plan, so
// neither may be changed below the top.
json_t *plan_slice(const json_t *plan, size_t node);

// The same cluster with so many nodes, at most plan_room: the last ones go, or there are more like the last one. Owned
// by the caller.
json_t *plan_resize(const json_t *plan, size_t nodes);

// For comparisons: the plan with so many nodes like its first one, and nothing expected of it. It cannot be run. Owned
// by the caller.
json_t *plan_with_nodes(const json_t *plan, size_t nodes);

#endif
