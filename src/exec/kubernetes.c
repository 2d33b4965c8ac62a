#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "exec/executor.h"
#include "exec/run_objects.h"
#include "exec/run_pods.h"
#include "exec/tunnel.h"
#include "job/plan.h"
#include "kube/access_review.h"
#include "kube/agent_parts.h"
#include "kube/api_server.h"
#include "kube/exec_stream.h"
#include "kube/manifest.h"
#include "node/node_address.h"
#include "node/node_dirs.h"
#include "wire/event.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT AGENT_PARTS_HOME "/agent"
#define NODE_DIR AGENT_PARTS_HOME "/node"
#define GROUPS "/sys/fs/cgroup/cgroup.procs:/sys/fs/cgroup/memory/cgroup.procs" // of version 2 and 1, in a container
static const double cpus_least = 0.001;                                         // what a cluster counts in
static const double goodbye = 2.0;    // seconds for the last lines of the agents
static const double patience = 60;    // seconds for pods, when the plan does not say
static const double growth = 900;     // seconds for another machine
static const double quiet = 0.5;      // seconds of waiting that are not worth a word
static const double silent_line = 60; // seconds after which a bridge gives its line up: it is tested every 15
#define NODE_FILES                                                                                                     \
	6 // the exec's connection, a pair to the tunnel, the way to the controller and the controller's end of it

enum { AT_ONCE = 16, TRIES = 20 };

// A node's pod.
struct place {
	size_t node;
	char *job;
	struct batch *batch;
	bool open; // its tunnel is wanted
	bool seen; // an agent was there
	int tries;
};

// The pods of one up, whose tunnels are served together. A cluster that grows has several; those of before are left
// alone.
struct batch {
	struct batch *next;
	struct kubernetes *kubernetes;
	struct tunnels *tunnels;
	struct place *places; // never moved or changed in number: the thread of the tunnels looks at them
	size_t count;
};

// Between up and down of one process.
struct kubernetes {
	struct api_server *server;
	struct run_pods *pods;
	const struct cluster *cluster;
	struct batch *batches;
	size_t jobs;           // made so far
	pthread_mutex_t lock;  // of what follows, and of a place's seen
	struct place **places; // by node; NULL: missing
	size_t count;
};

// --- check ------------------------------------------------------------------

static const char *setting(const json_t *plan, const char *name)
{
	return json_text(plan_kubernetes(plan), name);
}

static int check_node(const json_t *plan, size_t k, struct error *err)
{
	struct plan_node node = plan_node(plan, k);
	if (!node.image)
		return error_set(err, ERROR_USAGE,
			"'%s' has no image, expected 'cluster.image' for the kubernetes executor", node.name);
	if (node.cpus > 0 && node.cpus < cpus_least)
		return error_set(err, ERROR_USAGE,
			"a limit of %g cpus, expected at least %g for the kubernetes executor", node.cpus, cpus_least);
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
	return !setting(plan, "agent_image") && access(agent, X_OK)
		       ? error_errno(err, "cannot run the agent '%s'", agent)
		       : 0;
}

static struct api_server *open_server(const json_t *plan, struct error *err)
{
	return api_server_open(setting(plan, "context"), setting(plan, "namespace"), err);
}

// A controller in a pod is reached without a tunnel.
static char *kubernetes_address(const json_t *plan, struct error *err)
{
	struct api_server *s = open_server(plan, err);
	if (!s)
		return NULL;
	bool inside = api_server_in_cluster(s);
	api_server_free(s);
	return inside ? node_address_own() : executor_loopback(plan, err);
}

// --- places -------------------------------------------------------------------

static void kubernetes_free(struct kubernetes *k)
{
	if (!k)
		return;
	for (struct batch *b; (b = k->batches);) {
		k->batches = b->next;
		tunnel_stop(b->tunnels, 0);
		for (size_t i = 0; i < b->count; i++)
			free(b->places[i].job);
		free(b->places);
		free(b);
	}
	run_pods_stop(k->pods);
	if (k->server)
		exec_stream_wait(k->server);
	api_server_free(k->server);
	pthread_mutex_destroy(&k->lock);
	free(k->places);
	free(k);
}

static bool is_current(struct kubernetes *k, const char *job, size_t node)
{
	pthread_mutex_lock(&k->lock);
	const struct place *p = node < k->count ? k->places[node] : NULL;
	bool current = p && p->job && strcmp(p->job, job) == 0;
	pthread_mutex_unlock(&k->lock);
	return current;
}

static bool has_stopped(const struct run_pod *pod)
{
	return pod->kind == POD_STATE_ENDED || pod->kind == POD_STATE_NEVER;
}

static bool has_ended(struct kubernetes *k, const struct place *p)
{
	if (!p->job)
		return true;
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	bool ended = has_stopped(&pod) || pod.leaves;
	run_pods_fini_pod(&pod);
	return ended;
}

static void forget(struct kubernetes *k, struct place *p)
{
	pthread_mutex_lock(&k->lock);
	k->places[p->node] = NULL;
	pthread_mutex_unlock(&k->lock);
	if (p->batch->tunnels)
		tunnel_close(p->batch->tunnels, (size_t)(p - p->batch->places), 0);
}

// Forgets the pods that are not wanted any more or have ended.
static void drop(struct kubernetes *k, size_t wanted)
{
	for (size_t node = 0; node < k->count; node++)
		if (k->places[node] && (node >= wanted || has_ended(k, k->places[node])))
			forget(k, k->places[node]);
}

// Places for what the plan has and the cluster has not; NULL when nothing is missing.
static struct batch *add_batch(struct kubernetes *k, size_t wanted)
{
	size_t missing = wanted;
	for (size_t i = 0; i < wanted && i < k->count; i++)
		missing -= k->places[i] != NULL;
	pthread_mutex_lock(&k->lock);
	k->places = mem_resize(k->places, wanted * sizeof(struct place *));
	for (; k->count < wanted; k->count++)
		k->places[k->count] = NULL;
	k->count = wanted;
	struct batch *b = missing ? mem_alloc(sizeof *b) : NULL;
	if (b) {
		*b = (struct batch){
			.next = k->batches, .kubernetes = k, .places = mem_alloc(missing * sizeof *b->places)};
		k->batches = b;
	}
	for (size_t i = 0; i < wanted; i++)
		if (!k->places[i]) {
			b->places[b->count] = (struct place){.node = i, .batch = b};
			k->places[i] = &b->places[b->count++];
		}
	pthread_mutex_unlock(&k->lock);
	return b;
}

static void set_job(struct kubernetes *k, struct place *p, const char *job)
{
	pthread_mutex_lock(&k->lock);
	p->job = mem_strdup(job);
	pthread_mutex_unlock(&k->lock);
}

// What a process before this one made, of a persistent cluster whose controller was killed: what runs and is wanted is
// kept.
static void adopt(const char *job, size_t node, const struct run_pod *pod, void *data)
{
	struct kubernetes *k = data;
	if (node < k->count && k->places[node] && !k->places[node]->job && pod->kind == POD_STATE_RUNS && !pod->leaves)
		set_job(k, k->places[node], job);
}

// --- tunnels --------------------------------------------------------------------

static void say_lost(const struct cluster *c, size_t node, const char *why)
{
	if (c->say)
		c->say(c, event_make("lost", "s:i, s:s", "node", (int)node, "why", why));
}

static bool has_agent(const struct place *p)
{
	return p->batch->tunnels && tunnel_has_agent(p->batch->tunnels, (size_t)(p - p->batch->places));
}

static bool was_seen(struct kubernetes *k, const struct place *p)
{
	pthread_mutex_lock(&k->lock);
	bool seen = p->seen;
	pthread_mutex_unlock(&k->lock);
	return seen;
}

// Of one that never came up the wait tells.
static void on_end(const char *job, size_t node, const char *why, void *data)
{
	struct kubernetes *k = data;
	if (!is_current(k, job, node))
		return;
	pthread_mutex_lock(&k->lock);
	bool seen = node < k->count && k->places[node] && k->places[node]->seen;
	pthread_mutex_unlock(&k->lock);
	if (seen)
		say_lost(k->cluster, node, why);
}

static int on_open(size_t i, void *data, struct error *err)
{
	struct batch *b = data;
	struct place *p = &b->places[i];
	struct kubernetes *k = b->kubernetes;
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	autojson json_t *argv = mem_json("[s, s]", AGENT, "bridge");
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

// A pod that has ended does not come back, nor does an agent that was killed in one that has not; what is between here
// and there may.
static bool on_closed(size_t i, enum tunnel_reach reach, struct error *err, void *data)
{
	struct batch *b = data;
	struct place *p = &b->places[i];
	struct kubernetes *k = b->kubernetes;
	bool ready = reach == TUNNEL_READY || reach == TUNNEL_CUT;
	pthread_mutex_lock(&k->lock);
	p->seen = p->seen || ready;
	bool seen = p->seen;
	pthread_mutex_unlock(&k->lock);
	p->tries = ready ? 0 : p->tries;
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	bool ended = has_stopped(&pod);
	if (ended && pod.why)
		error_set(err, ERROR_SYSTEM, "%s", pod.why);
	run_pods_fini_pod(&pod);
	if (reach == TUNNEL_GONE && seen)
		run_pods_expect_end(k->pods, p->job, p->node, "its agent was killed");
	else
		run_pods_set_cut(k->pods, p->job, p->node, true);
	if (ended || (api_server_in_cluster(k->server) && ready))
		return false;
	return seen || (p->tries < TRIES && !is_refusal(err->text));
}

static const struct tunnel_ops tunnel_ops = {.open = on_open, .closed = on_closed};

static json_t *config_of(struct kubernetes *k, size_t node)
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

static int start_tunnels(struct batch *b, struct error *err)
{
	struct tunnel_options options = {.url = b->kubernetes->cluster->url,
		.count = b->count,
		.at_once = AT_ONCE,
		.ops = &tunnel_ops,
		.data = b};
	if (!b->tunnels)
		b->tunnels = tunnel_start(&options, err);
	return b->tunnels ? 0 : -1;
}

// --- the wait ---------------------------------------------------------------------

struct wait {
	struct kubernetes *k;
	double begun, deadline, said;
	size_t running, total;
	size_t first; // node that does not run yet
	char *step;   // what it waits for
	char *last;   // said last
	bool told;
};

static double deadline_of(const struct cluster *c)
{
	return plan_deadline(c->plan) > 0 ? plan_deadline(c->plan) : patience;
}

static void say_step(struct wait *w, const char *step)
{
	const struct cluster *c = w->k->cluster;
	if (!c->say || (w->last && strcmp(w->last, step) == 0))
		return;
	free(w->last);
	w->last = mem_strdup(step);
	w->told = true;
	c->say(c, event_make("pod", "s:I, s:I, s:s", "running", (json_int_t)w->running, "total", (json_int_t)w->total,
			  "step", step));
}

static void say_progress(struct wait *w)
{
	double now = clock_mono();
	if (now < w->begun + quiet || now < w->said + 1 || w->running == w->total)
		return;
	w->said = now;
	autofree char *step = w->step ? mem_printf("node %zu: %s", w->first, w->step)
				      : mem_printf("waiting for the pod of node %zu", w->first);
	say_step(w, step);
}

static void say_end(const struct wait *w)
{
	const struct cluster *c = w->k->cluster;
	if (w->told && c->say)
		c->say(c, event_make("pod", "s:I, s:I, s:f, s:b", "running", (json_int_t)w->total, "total",
				  (json_int_t)w->total, "seconds", clock_mono() - w->begun, "ok", 1));
}

static void prolong(struct wait *w, double seconds)
{
	double end = clock_mono() + seconds;
	w->deadline = end > w->deadline ? end : w->deadline;
}

// Opens the tunnels of those that run by now. -1: there is one that never will.
static int look_at_pod(struct wait *w, struct place *p, struct error *err)
{
	struct kubernetes *k = w->k;
	struct run_pod pod = run_pods_find(k->pods, p->job, p->node);
	int rc = 0;
	bool ended = has_stopped(&pod);
	if (ended && !was_seen(k, p) && !has_agent(p))
		rc = error_set(err, ERROR_SYSTEM, "node %zu: %s", p->node, pod.why ? pod.why : "its pod has ended");
	else if (pod.kind == POD_STATE_RUNS || ended) {
		w->running++;
		if (!p->open)
			tunnel_open(p->batch->tunnels, (size_t)(p - p->batch->places), config_of(k, p->node));
		p->open = true;
	} else if (w->first == SIZE_MAX || (!w->step && pod.why)) {
		w->first = p->node;
		free(w->step);
		w->step = pod.why ? mem_strdup(pod.why) : NULL;
	}
	if (pod.pulls)
		prolong(w, deadline_of(k->cluster));
	if (!pod.there && setting(k->cluster->plan, "queue"))
		prolong(w, deadline_of(k->cluster));
	if (pod.grows)
		prolong(w, growth - (clock_mono() - w->begun));
	run_pods_fini_pod(&pod);
	return rc;
}

static int look_at_pods(struct wait *w, struct error *err)
{
	struct kubernetes *k = w->k;
	w->running = 0;
	w->total = k->count;
	w->first = SIZE_MAX;
	free(steal(w->step));
	for (size_t i = 0; i < k->count; i++)
		if (look_at_pod(w, k->places[i], err))
			return -1;
	return run_pods_is_refused(k->pods, err) ? -1 : 0;
}

// 0: all agents are there, 1: not yet.
static int look_at_tunnels(struct wait *w, struct error *err)
{
	int rc = w->running < w->total;
	for (struct batch *b = w->k->batches; b; b = b->next) {
		size_t i;
		int one = tunnel_look(b->tunnels, &i, err);
		if (one < 0)
			return error_wrap(err, "node %zu", b->places[i].node);
		rc = rc || one;
	}
	return rc;
}

static int over(const struct wait *w, struct error *err)
{
	double seconds = clock_mono() - w->begun;
	if (w->running < w->total)
		return error_set(err, ERROR_SYSTEM, "%zu of %zu pods did not run within %.0f s; node %zu: %s",
			w->total - w->running, w->total, seconds, w->first,
			w->step ? w->step : "its pod has not been started");
	for (struct batch *b = w->k->batches; b; b = b->next) {
		size_t i;
		if (tunnel_wait(b->tunnels, 0, NULL, &i, err) && i < b->count)
			return error_wrap(err, "node %zu", b->places[i].node);
	}
	return -1;
}

static int wait_for_nodes(struct wait *w, struct error *err)
{
	const struct cluster *c = w->k->cluster;
	w->deadline = clock_mono() + deadline_of(c);
	for (;;) {
		if (c->cancelled && *c->cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled while the pods were started");
		if (look_at_pods(w, err))
			return -1;
		int rc = look_at_tunnels(w, err);
		if (rc <= 0)
			return rc;
		say_progress(w);
		if (clock_mono() > w->deadline)
			return over(w, err);
		run_pods_wait(w->k->pods, 0.1);
	}
}

// --- up ---------------------------------------------------------------------------

struct work {
	struct kubernetes *k;
	struct wait *wait;
	struct agent_parts parts;
	struct manifest manifest;
	json_t *agent, *annotations;
	char *path; // of Jobs
};

static void on_upload(size_t bytes, void *data)
{
	autofree char *size = str_bytes((double)bytes);
	autofree char *step = mem_printf("bringing the agent into the namespace (%s)", size);
	say_step(data, step);
}

static int ensure_agent(struct work *w, struct error *err)
{
	const struct cluster *c = w->k->cluster;
	autofree char *agent = node_dirs_agent();
	struct agent_parts_options options = {
		.agent = agent, .cancelled = c->cancelled, .on_upload = on_upload, .data = w->wait};
	if (setting(c->plan, "agent_image"))
		return 0;
	return agent_parts_ensure(w->k->server, &options, &w->parts, err);
}

static void prepare_manifest(struct work *w)
{
	const struct cluster *c = w->k->cluster;
	const char *image = setting(c->plan, "agent_image");
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
	autofree char *path = mem_printf("%s?dryRun=All", w->path);
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
	int rc = api_server_create(w->k->server, w->path, job, made, err);
	autofree char *path = mem_printf("%s/%s", w->path, name);
	if (rc == 1)
		rc = api_server_do(w->k->server, "GET", path, NULL, made, err);
	return rc < 0 ? error_wrap(err, "cannot make the Job '%s'", name) : 0;
}

static void place_nodes(struct kubernetes *k, const json_t *job)
{
	autojson json_t *nodes = manifest_nodes(job);
	const char *name = json_text(json_object_get(job, "metadata"), "name");
	size_t i;
	json_t *number;
	json_array_foreach (nodes, i, number)
		set_job(k, k->places[json_integer_value(number)], name);
}

// With the first one go all others of a run. The Jobs of a persistent cluster end one by one.
static int create_jobs(struct work *w, json_t *jobs, struct error *err)
{
	struct kubernetes *k = w->k;
	autojson json_t *owner = NULL;
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

static int make_jobs(struct work *w, struct batch *b, struct error *err)
{
	struct kubernetes *k = w->k;
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
	return is_current(data, job, node);
}

static int sweep(struct kubernetes *k, struct error *err)
{
	return run_objects_sweep(k->server, k->cluster->label, is_wanted, k, err);
}

static int bring_up(struct work *w, struct error *err)
{
	struct kubernetes *k = w->k;
	const struct cluster *c = k->cluster;
	bool first = !k->pods;
	// Without this one pods would start first, and then nobody could speak to them.
	if (first && access_review_require(k->server, "pods/exec", c->cancelled, err))
		return -1;
	if (first && run_objects_save_intent(c, k->server, k->jobs, err))
		return -1;
	if (first && !(k->pods = run_pods_start(k->server, c->label, on_end, k, c->cancelled, err)))
		return -1;
	drop(k, plan_nodes(c->plan));
	struct batch *b = add_batch(k, plan_nodes(c->plan));
	if (b && start_tunnels(b, err))
		return -1;
	if (b && first)
		run_pods_each(k->pods, adopt, k);
	if (plan_actions(c->plan) && sweep(k, err)) // of a run there is nothing from before
		return -1;
	if (b && make_jobs(w, b, err))
		return -1;
	return wait_for_nodes(w->wait, err);
}

// What has not come up does not stay and block others; what has, does: another up finds it.
static void give_up(struct kubernetes *k)
{
	for (size_t i = 0; k->pods && i < k->count; i++)
		if (k->places[i] && !was_seen(k, k->places[i]) && !has_agent(k->places[i]))
			forget(k, k->places[i]);
	if (k->pods)
		sweep(k, NULL);
}

// All have been there; some may have gone again, of which nobody has told.
static void finish(struct kubernetes *k)
{
	for (size_t i = 0; i < k->count; i++) {
		struct place *p = k->places[i];
		pthread_mutex_lock(&k->lock);
		bool seen = p->seen;
		p->seen = true;
		pthread_mutex_unlock(&k->lock);
		struct run_pod pod = run_pods_find(k->pods, p->job, i);
		if (!seen && has_stopped(&pod))
			say_lost(k->cluster, i, pod.why ? pod.why : "its pod has ended");
		run_pods_fini_pod(&pod);
	}
}

static struct kubernetes *kubernetes_new(const struct cluster *c, struct error *err)
{
	struct kubernetes *k = mem_alloc(sizeof *k);
	pthread_mutex_init(&k->lock, NULL);
	k->server = open_server(c->plan, err);
	k->jobs = run_objects_count_jobs(c->label);
	if (k->server)
		return k;
	kubernetes_free(k);
	return NULL;
}

static int kubernetes_up(struct cluster *c, struct error *err)
{
	if (kubernetes_check(c->plan, err))
		return -1;
	struct kubernetes *k = c->state ? c->state : kubernetes_new(c, err);
	if (!k)
		return -1;
	c->state = k;
	k->cluster = c;
	struct wait wait = {.k = k, .begun = clock_mono(), .total = plan_nodes(c->plan)};
	struct work w = {.k = k,
		.wait = &wait,
		.path = mem_printf("/apis/batch/v1/namespaces/%s/jobs", api_server_namespace(k->server))};
	int rc = bring_up(&w, err);
	if (rc)
		give_up(k);
	else {
		finish(k);
		say_end(&wait);
	}
	json_decref(w.agent);
	json_decref(w.annotations);
	free(w.path);
	free(wait.step);
	free(wait.last);
	return rc;
}

// --- down and left ----------------------------------------------------------

static int kubernetes_down(struct cluster *c, struct error *err)
{
	struct kubernetes *k = steal(c->state);
	for (struct batch *b = k ? k->batches : NULL; b; b = b->next)
		tunnel_stop(steal(b->tunnels), goodbye);
	kubernetes_free(k);
	return run_objects_remove(c, err);
}

static int kubernetes_left(struct cluster *c, json_t *found, struct error *err)
{
	return run_objects_list(c, found, err);
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
