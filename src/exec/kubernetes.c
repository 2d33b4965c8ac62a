#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "exec/executor.h"
#include "exec/pod_nodes.h"
#include "exec/pod_wait.h"
#include "exec/run_objects.h"
#include "exec/tunnel.h"
#include "job/plan.h"
#include "kube/access_review.h"
#include "kube/agent_parts.h"
#include "kube/api_server.h"
#include "kube/manifest.h"
#include "kube/own_pod.h"
#include "node/node_address.h"
#include "node/node_dirs.h"
#include "wire/event.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double cpus_least = 0.001;         // what a cluster counts in
static const long long memory_least = 10 << 20; // for the agent and what brings it
static const double goodbye = 2.0;              // seconds for the last lines of the agents
#define STRICT "fieldValidation=Strict"         // else a field that Kubernetes does not know is dropped without a word
#define NODE_FILES                                                                                                     \
	6 // the exec's connection, a pair to the tunnel, the way to the controller and the controller's end of it

// --- check ------------------------------------------------------------------

static int check_node(const json_t *plan, size_t k, struct error *err)
{
	struct plan_node node = plan_node(plan, k);
	if (!node.image)
		return error_set(err, ERROR_USAGE,
			"'%s' has no image, expected 'cluster.image' for the kubernetes executor", node.name);
	if (node.cpus > 0 && node.cpus < cpus_least)
		return error_set(err, ERROR_USAGE,
			"a limit of %g cpus, expected at least %g for the kubernetes executor", node.cpus, cpus_least);
	if (node.memory > 0 && node.memory < memory_least)
		return error_set(err, ERROR_USAGE,
			"'%s' has a limit of %lld bytes of memory, expected at least 10Mi for the kubernetes executor: "
			"a pod needs that for the agent",
			node.name, node.memory);
	return 0;
}

static int kubernetes_check(const json_t *plan, struct error *err)
{
	for (size_t i = 0; i < plan_nodes(plan); i++)
		if (check_node(plan, i, err))
			return -1;
	if (executor_check_files(plan, NODE_FILES, err))
		return -1;
	autofree char *agent = node_dirs_agent();
	if (!pod_nodes_setting(plan, "agent_image") && access(agent, X_OK))
		return error_errno(err, "cannot run the agent '%s'", agent);
	struct pod_nodes *k = pod_nodes_new(plan, err); // reads the configuration
	bool ok = k != NULL;
	pod_nodes_free(k);
	return ok ? 0 : -1;
}

// A controller in a pod is reached without a tunnel.
static char *kubernetes_address(const json_t *plan, struct error *err)
{
	struct pod_nodes *k = pod_nodes_new(plan, err);
	if (!k)
		return NULL;
	bool inside = api_server_in_cluster(k->server);
	pod_nodes_free(k);
	return inside ? node_address_own() : executor_loopback(plan, err);
}

// --- up ---------------------------------------------------------------------------

struct work {
	struct pod_nodes *k;
	struct pod_wait *wait;
	struct agent_parts parts;
	struct manifest manifest;
	json_t *agent, *annotations;
	char *path; // of Jobs
};

static void on_retry(const char *why, void *data)
{
	pod_wait_say(data, why);
}

// The first question of a run: is there an API server, does it know us, and has it the namespace? Who has no right to
// look at that gets the same answer a little later, in other words.
static int look_at_namespace(struct work *w, struct error *err)
{
	struct api_server *server = w->k->server;
	const char *name = api_server_namespace(server), *context = api_server_context(server);
	autofree char *path = mem_printf("/api/v1/namespaces/%s", name);
	autojson json_t *answer = NULL;
	struct api_server_ask ask = {.method = "GET",
		.path = path,
		.first = true,
		.cancelled = w->k->cluster->cancelled,
		.on_retry = on_retry,
		.data = w->wait};
	int status = api_server_ask(server, &ask, &answer, err);
	if (status == 404)
		return error_set(err, ERROR_SYSTEM, "there is no namespace '%s' in the context '%s' (%s)", name,
			context, api_server_url(server));
	if (status == 200 && json_has(json_object_get(answer, "metadata"), "deletionTimestamp"))
		return error_set(err, ERROR_SYSTEM, "the namespace '%s' is being deleted", name);
	return status == 200 || status == 403 ? 0 : -1;
}

static void on_upload(size_t bytes, void *data)
{
	autofree char *size = str_bytes((double)bytes);
	autofree char *step = mem_printf("bringing the agent into the namespace (%s)", size);
	pod_wait_say(data, step);
}

static int ensure_agent(struct work *w, struct error *err)
{
	const struct cluster *c = w->k->cluster;
	autofree char *agent = node_dirs_agent();
	struct agent_parts_options options = {
		.agent = agent, .cancelled = c->cancelled, .on_upload = on_upload, .data = w->wait};
	if (pod_nodes_setting(c->plan, "agent_image"))
		return 0;
	return agent_parts_ensure(w->k->server, &options, &w->parts, err);
}

static void prepare_manifest(struct work *w)
{
	const struct cluster *c = w->k->cluster;
	const char *image = pod_nodes_setting(c->plan, "agent_image");
	autofree char *alone = mem_printf("%g", 2 * plan_lease(c->plan));
	autojson json_t *arguments = mem_json("[s, s]", "pause", alone);
	w->agent = agent_parts_pod(&w->parts, image, arguments);
	w->annotations = run_objects_annotations(c->run_dir);
	w->manifest = (struct manifest){.plan = c->plan,
		.label = c->label,
		.agent = w->agent,
		.agent_label = image ? NULL : w->parts.key,
		.annotations = w->annotations};
}

static bool wants_non_root(const json_t *warnings)
{
	size_t i;
	const json_t *warning;
	json_array_foreach (warnings, i, warning)
		if (strstr(json_string_value(warning), "runAsNonRoot"))
			return true;
	return false;
}

// Asks what the namespace thinks of the pods, and makes nothing.
static int try_manifest(struct work *w, const json_t *nodes, struct error *err)
{
	size_t before = w->k->jobs;
	autojson json_t *jobs = manifest_make(&w->manifest, nodes, &before, err), *warnings = json_array();
	if (!jobs)
		return -1;
	autofree char *path = mem_printf("%s?" STRICT "&dryRun=All", w->path);
	struct api_server_ask ask = {.method = "POST",
		.path = path,
		.body = json_array_get(jobs, 0),
		.cancelled = w->k->cluster->cancelled,
		.warnings = warnings};
	int status = api_server_ask(w->k->server, &ask, NULL, err);
	w->manifest.run_as_non_root = wants_non_root(warnings);
	return status < 0 || status >= 400 ? error_wrap(err, "cannot make a Job") : 0;
}

static int create_job(struct work *w, json_t *job, json_t **made, struct error *err)
{
	const char *name = json_text(json_object_get(job, "metadata"), "name");
	autofree char *path = mem_printf("%s/%s", w->path, name), *posted = mem_printf("%s?" STRICT, w->path);
	int rc = api_server_create(w->k->server, posted, job, made, err);
	if (rc == 1)
		rc = api_server_do(w->k->server, "GET", path, NULL, made, err);
	return rc < 0 ? error_wrap(err, "cannot make the Job '%s'", name) : 0;
}

static void place_nodes(struct pod_nodes *k, const json_t *job)
{
	autojson json_t *nodes = manifest_nodes(job);
	const char *name = json_text(json_object_get(job, "metadata"), "name");
	size_t i;
	json_t *number;
	json_array_foreach (nodes, i, number)
		pod_nodes_set_job(k, (size_t)json_integer_value(number), name);
}

// With the first one go all others of a run, and with the controller's pod all of them, where it is in one. The Jobs of
// a persistent cluster end one by one, and it outlasts its controller.
static int create_jobs(struct work *w, json_t *jobs, struct error *err)
{
	struct pod_nodes *k = w->k;
	k->posted = true;
	autojson json_t *owner = plan_actions(k->cluster->plan) ? NULL : own_pod_owner(k->server);
	size_t i;
	json_t *job;
	json_array_foreach (jobs, i, job) {
		autojson json_t *made = NULL;
		if (k->cluster->cancelled && *k->cluster->cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled while the Jobs were made");
		if (owner)
			json_object_set_new(
				json_object_get(job, "metadata"), "ownerReferences", mem_json("[O]", owner));
		place_nodes(k, job);
		if (create_job(w, job, &made, err))
			return -1;
		if (!owner && !plan_actions(k->cluster->plan))
			owner = manifest_owner(made);
	}
	return 0;
}

static int make_jobs(struct work *w, struct pod_nodes_batch *b, struct error *err)
{
	struct pod_nodes *k = w->k;
	autojson json_t *nodes = json_array();
	for (size_t i = 0; i < b->count; i++)
		if (!b->places[i].job)
			json_array_append_new(nodes, json_integer((json_int_t)b->places[i].node));
	if (!json_array_size(nodes))
		return 0;
	if (ensure_agent(w, err))
		return -1;
	prepare_manifest(w);
	if (try_manifest(w, nodes, err))
		return -1;
	autojson json_t *jobs = manifest_make(&w->manifest, nodes, &k->jobs, err);
	if (!jobs || run_objects_save_intent(k->cluster, k->server, k->jobs, err) || create_jobs(w, jobs, err))
		return -1;
	// Somebody may have removed the agent between the first look and the Jobs, but nobody does now that they are
	// there.
	return ensure_agent(w, err);
}

// Removes what nobody wants any more: pods, and Jobs of which no pod is wanted.
static bool is_wanted(const char *job, size_t node, void *data)
{
	return pod_nodes_is_current(data, job, node);
}

static int sweep(struct pod_nodes *k, struct error *err)
{
	return run_objects_sweep(k->server, k->cluster->label, is_wanted, k, err);
}

static void say_place(struct work *w)
{
	const struct api_server *server = w->k->server;
	const char *context = api_server_context(server), *namespace = api_server_namespace(server);
	autofree char *step = *context
				      ? mem_printf("to be made in the namespace '%s' of the context '%s', %s",
						namespace, context, api_server_url(server))
				      : mem_printf("to be made in the namespace '%s' of this pod's cluster", namespace);
	pod_wait_say(w->wait, step);
}

static int bring_up(struct work *w, struct error *err)
{
	struct pod_nodes *k = w->k;
	const struct cluster *c = k->cluster;
	struct pod_nodes_batch *b;
	bool first = !k->pods;
	if (first)
		say_place(w);
	if (first && look_at_namespace(w, err))
		return -1;
	// Without this one pods would start first, and then nobody could speak to them.
	if (first && access_review_require(k->server, "pods/exec", c->cancelled, err))
		return -1;
	if (first && run_objects_save_intent(c, k->server, k->jobs, err))
		return -1;
	if (pod_nodes_watch(k, err))
		return -1;
	pod_nodes_drop(k, plan_nodes(c->plan));
	if (pod_nodes_add(k, plan_nodes(c->plan), &b, err))
		return -1;
	if (first)
		pod_nodes_adopt(k);
	if (plan_actions(c->plan) && sweep(k, err)) // of a run there is nothing from before
		return -1;
	if (b && make_jobs(w, b, err))
		return -1;
	return pod_wait_for_nodes(w->wait, err);
}

// This process knows that there is nothing, and need not ask an API server that may not answer. A persistent cluster
// may have had a process before.
static bool is_nothing_made(const struct pod_nodes *k)
{
	return k && !k->posted && !plan_actions(k->cluster->plan);
}

// What has not come up does not stay and block others; what has, does: another up finds it.
static void give_up(struct pod_nodes *k)
{
	if (!k->pods || is_nothing_made(k))
		return;
	pod_nodes_forget_unseen(k);
	sweep(k, NULL);
}

static struct pod_nodes *begin(struct cluster *c, struct error *err)
{
	struct pod_nodes *k = c->state ? c->state : pod_nodes_new(c->plan, err);
	if (k && !c->state)
		k->jobs = run_objects_count_jobs(c->label);
	if (k)
		k->cluster = c;
	c->state = k;
	return k;
}

static int kubernetes_up(struct cluster *c, struct error *err)
{
	if (kubernetes_check(c->plan, err))
		return -1;
	struct pod_nodes *k = begin(c, err);
	if (!k)
		return -1;
	struct pod_wait wait = {.nodes = k, .begun = clock_mono(), .total = plan_nodes(c->plan)};
	struct work w = {.k = k,
		.wait = &wait,
		.path = mem_printf("/apis/batch/v1/namespaces/%s/jobs", api_server_namespace(k->server))};
	int rc = bring_up(&w, err);
	if (rc)
		give_up(k);
	pod_wait_end(&wait, rc == 0);
	json_decref(w.agent);
	json_decref(w.annotations);
	free(w.path);
	return rc;
}

// --- down and left ----------------------------------------------------------

static int kubernetes_down(struct cluster *c, struct error *err)
{
	struct pod_nodes *k = c->state;
	for (struct pod_nodes_batch *b = k ? k->batches : NULL; b; b = b->next)
		tunnel_stop(steal(b->tunnels), goodbye);
	if (is_nothing_made(k)) {
		run_objects_forget_intent(c->label);
		return 0; // left is told by the state
	}
	pod_nodes_free(steal(c->state));
	return run_objects_remove(c, err);
}

static int kubernetes_left(struct cluster *c, json_t *found, struct error *err)
{
	bool nothing = is_nothing_made(c->state);
	if (nothing)
		pod_nodes_free(steal(c->state));
	int rc = nothing ? 0 : run_objects_list(c, found, err);
	if (c->say)
		c->say(c, event_make("requests", "s:I", "count", (json_int_t)api_server_all_requests()));
	return rc;
}

extern const struct executor executor_kubernetes;
const struct executor executor_kubernetes = {
	.traits = &executor_traits_kubernetes,
	.check = kubernetes_check,
	.address = kubernetes_address,
	.up = kubernetes_up,
	.down = kubernetes_down,
	.left = kubernetes_left,
};
