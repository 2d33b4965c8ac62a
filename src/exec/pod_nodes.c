#include "exec/pod_nodes.h"

#include "base/json.h"
#include "base/mem.h"
#include "job/plan.h"
#include "kube/agent_parts.h"
#include "kube/exec_stream.h"
#include "kube/manifest.h"
#include "wire/event.h"

#include <stdlib.h>
#include <string.h>

#define NODE_DIR AGENT_PARTS_HOME "/node"
#define GROUPS "/sys/fs/cgroup/cgroup.procs:/sys/fs/cgroup/memory/cgroup.procs" // of version 2 and 1, in a container
static const double silent_line = 60; // seconds after which a bridge gives its line up: it is tested every 15
static const double breath = 1;       // second, about: a line that its agent has ended is not wanted again
static const double within = 40;      // seconds for a line to its bridge: an API server gives a dead machine up in 30

enum { AT_ONCE = 16, TRIES = 20 };

// --- places -------------------------------------------------------------------

const char *pod_nodes_setting(const json_t *plan, const char *name)
{
	return json_text(plan_kubernetes(plan), name);
}

struct pod_nodes *pod_nodes_new(const json_t *plan, struct error *err)
{
	struct api_server *server =
		api_server_open(pod_nodes_setting(plan, "context"), pod_nodes_setting(plan, "namespace"), err);
	if (!server)
		return NULL;
	struct pod_nodes *k = mem_alloc(sizeof *k);
	k->server = server;
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

void pod_nodes_free(struct pod_nodes *k)
{
	if (!k)
		return;
	// The threads of both look at the places.
	for (struct pod_nodes_batch *b = k->batches; b; b = b->next)
		tunnel_stop(steal(b->tunnels), 0);
	run_pods_stop(k->pods);
	for (struct pod_nodes_batch *b; (b = k->batches);) {
		k->batches = b->next;
		for (size_t i = 0; i < b->count; i++) {
			free(b->places[i].job);
			free(b->places[i].words);
		}
		free(b->places);
		free(b);
	}
	exec_stream_stop(k->server);
	api_server_free(k->server);
	pthread_mutex_destroy(&k->lock);
	free(k->places);
	free(k);
}

bool pod_nodes_is_current(struct pod_nodes *k, const char *job, size_t node)
{
	pthread_mutex_lock(&k->lock);
	const struct pod_nodes_place *p = node < k->count ? k->places[node] : NULL;
	bool current = p && p->job && strcmp(p->job, job) == 0;
	pthread_mutex_unlock(&k->lock);
	return current;
}

bool pod_nodes_has_stopped(const struct run_pod *pod)
{
	return pod->kind == POD_STATE_ENDED || pod->kind == POD_STATE_NEVER;
}

static bool has_ended(struct pod_nodes *k, const struct pod_nodes_place *p)
{
	pthread_mutex_lock(&k->lock);
	bool gone = !p->job || p->gone;
	pthread_mutex_unlock(&k->lock);
	if (gone)
		return true;
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	bool ended = pod_nodes_has_stopped(&pod) || pod.leaves;
	run_pods_fini_pod(&pod);
	return ended;
}

static void forget(struct pod_nodes *k, struct pod_nodes_place *p)
{
	pthread_mutex_lock(&k->lock);
	k->places[p->node] = NULL;
	pthread_mutex_unlock(&k->lock);
	if (p->batch->tunnels)
		tunnel_close(p->batch->tunnels, (size_t)(p - p->batch->places), 0);
}

// Forgets the pods that are not wanted any more or have ended.
void pod_nodes_drop(struct pod_nodes *k, size_t wanted)
{
	for (size_t node = 0; node < k->count; node++)
		if (k->places[node] && (node >= wanted || has_ended(k, k->places[node])))
			forget(k, k->places[node]);
}

// Places for what the plan has and the cluster has not; NULL when nothing is missing.
static struct pod_nodes_batch *add_batch(struct pod_nodes *k, size_t wanted)
{
	size_t missing = wanted;
	for (size_t i = 0; i < wanted && i < k->count; i++)
		missing -= k->places[i] != NULL;
	pthread_mutex_lock(&k->lock);
	k->places = mem_resize(k->places, wanted * sizeof(struct pod_nodes_place *));
	for (; k->count < wanted; k->count++)
		k->places[k->count] = NULL;
	k->count = wanted;
	struct pod_nodes_batch *b = missing ? mem_alloc(sizeof *b) : NULL;
	if (b) {
		*b = (struct pod_nodes_batch){
			.next = k->batches, .nodes = k, .places = mem_alloc(missing * sizeof *b->places)};
		k->batches = b;
	}
	for (size_t i = 0; i < wanted; i++)
		if (!k->places[i]) {
			b->places[b->count] = (struct pod_nodes_place){.node = i, .batch = b};
			k->places[i] = &b->places[b->count++];
		}
	pthread_mutex_unlock(&k->lock);
	return b;
}

void pod_nodes_set_job(struct pod_nodes *k, size_t node, const char *job)
{
	pthread_mutex_lock(&k->lock);
	if (node < k->count && k->places[node] && !k->places[node]->job)
		k->places[node]->job = mem_strdup(job);
	pthread_mutex_unlock(&k->lock);
}

static void adopt(const char *job, size_t node, const struct run_pod *pod, void *data)
{
	if (pod->kind == POD_STATE_RUNS && !pod->leaves)
		pod_nodes_set_job(data, node, job);
}

void pod_nodes_adopt(struct pod_nodes *k)
{
	run_pods_each(k->pods, adopt, k);
}

// --- tunnels --------------------------------------------------------------------

static void say_lost(const struct cluster *c, size_t node, const char *why, bool leaves)
{
	if (c->say)
		c->say(c, event_make("lost", "s:i, s:s, s:b", "node", (int)node, "why", why, "leaves", leaves));
}

bool pod_nodes_was_seen(struct pod_nodes *k, size_t node)
{
	pthread_mutex_lock(&k->lock);
	bool seen = node < k->count && k->places[node] && k->places[node]->seen;
	pthread_mutex_unlock(&k->lock);
	return seen;
}

// Of one that never came up the wait tells.
static void on_end(const char *job, size_t node, const char *why, bool leaves, void *data)
{
	struct pod_nodes *k = data;
	if (pod_nodes_is_current(k, job, node) && pod_nodes_was_seen(k, node))
		say_lost(k->cluster, node, why, leaves);
}

static int on_open(size_t i, void *data, struct error *err)
{
	struct pod_nodes_batch *b = data;
	struct pod_nodes_place *p = &b->places[i];
	struct pod_nodes *k = b->nodes;
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	autojson json_t *bridge = mem_json("[s]", "bridge");
	autojson json_t *argv = agent_parts_command(pod_nodes_setting(k->cluster->plan, "agent_image"), bridge);
	p->tries++;
	int fd = pod.name ? exec_stream_open(k->server, pod.name, MANIFEST_CONTAINER, argv, err)
			  : error_set(err, ERROR_SYSTEM, "its pod is not there");
	run_pods_fini_pod(&pod);
	return fd;
}

// Nobody will think again about these.
static bool is_refusal(const char *text)
{
	return strstr(text, "is forbidden") || strstr(text, "cannot get resource") ||
	       strstr(text, "cannot create resource");
}

static void on_ready(size_t i, void *data)
{
	struct pod_nodes_batch *b = data;
	struct pod_nodes_place *p = &b->places[i];
	struct pod_nodes *k = b->nodes;
	pthread_mutex_lock(&k->lock);
	p->seen = true;
	p->tries = 0;
	pthread_mutex_unlock(&k->lock);
	run_pods_set_cut(k->pods, p->job, p->node, false);
	run_pods_wake(k->pods);
}

// Does what is said of a closed tunnel come from its pod, or may it be opened again?
static bool is_final(struct pod_nodes *k, const struct pod_nodes_place *p, enum tunnel_reach reach, struct error *err)
{
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	bool ended = pod_nodes_has_stopped(&pod);
	if (ended && pod.why)
		error_set(err, ERROR_SYSTEM, "%s", pod.why);
	run_pods_fini_pod(&pod);
	bool dials = api_server_in_cluster(k->server) && (reach == TUNNEL_READY || reach == TUNNEL_CUT);
	return ended || dials || reach == TUNNEL_GONE || (!p->seen && (p->tries >= TRIES || is_refusal(err->text)));
}

// A pod that has ended does not come back, nor does an agent that was killed in one that has not; what is between here
// and there may.
static bool on_closed(size_t i, enum tunnel_reach reach, struct error *err, void *data)
{
	struct pod_nodes_batch *b = data;
	struct pod_nodes_place *p = &b->places[i];
	struct pod_nodes *k = b->nodes;
	bool final = is_final(k, p, reach, err);
	pthread_mutex_lock(&k->lock);
	p->gone = p->gone || reach == TUNNEL_GONE || (final && !p->seen);
	free(p->words);
	p->words = mem_strdup(*err->text ? err->text : "the connection was closed without a message");
	bool killed = reach == TUNNEL_GONE && p->seen;
	pthread_mutex_unlock(&k->lock);
	if (killed)
		run_pods_expect_end(k->pods, p->job, p->node, "its agent was killed");
	run_pods_set_cut(k->pods, p->job, p->node, true);
	run_pods_wake(k->pods);
	return !final;
}

static const struct tunnel_ops tunnel_ops = {.open = on_open, .ready = on_ready, .closed = on_closed};

static json_t *config_of(struct pod_nodes *k, size_t node)
{
	const struct cluster *c = k->cluster;
	autofree char *token = c->token(c, node);
	json_t *config = mem_json("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:f}", "run", c->label, "node", (int)node,
		"nodes", (int)plan_nodes(c->plan), "token", token, "fingerprint", c->fingerprint, "name",
		plan_node(c->plan, node).name, "dir", NODE_DIR, "silent", silent_line);
	json_object_set_new(config, "limited", json_string(GROUPS));
	json_object_set_new(config, "hosts", json_string("/etc/hosts"));
	json_object_set_new(config, "removed", json_string("the pod that is this node is removed with the run"));
	if (api_server_in_cluster(k->server)) {
		json_object_set_new(config, "url", json_string(c->url));
		json_object_set_new(config, "direct", json_true());
	}
	plan_add_lease(c->plan, config);
	return config;
}

static int start_tunnels(struct pod_nodes_batch *b, struct error *err)
{
	struct tunnel_options options = {.url = b->nodes->cluster->url,
		.count = b->count,
		.at_once = AT_ONCE,
		.breath = breath,
		.within = within,
		.ops = &tunnel_ops,
		.data = b};
	if (!b->tunnels)
		b->tunnels = tunnel_start(&options, err);
	return b->tunnels ? 0 : -1;
}

void pod_nodes_forget_unseen(struct pod_nodes *k)
{
	for (size_t i = 0; i < k->count; i++)
		if (k->places[i] && !pod_nodes_was_seen(k, i))
			forget(k, k->places[i]);
}

int pod_nodes_watch(struct pod_nodes *k, struct error *err)
{
	const struct cluster *c = k->cluster;
	if (!k->pods)
		k->pods = run_pods_start(k->server, c->label, on_end, k, c->cancelled, err);
	return k->pods ? 0 : -1;
}

int pod_nodes_add(struct pod_nodes *k, size_t wanted, struct pod_nodes_batch **batch, struct error *err)
{
	*batch = add_batch(k, wanted);
	return *batch ? start_tunnels(*batch, err) : 0;
}

void pod_nodes_open(struct pod_nodes *k, size_t node)
{
	struct pod_nodes_place *p = k->places[node];
	if (!p->open)
		tunnel_open(p->batch->tunnels, (size_t)(p - p->batch->places), config_of(k, node));
	p->open = true;
}
