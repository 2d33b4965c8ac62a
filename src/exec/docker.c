#include "base/archives.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/str.h"
#include "docker/engine.h"
#include "docker/image.h"
#include "docker/label.h"
#include "exec/executor.h"
#include "exec/tunnel.h"
#include "job/plan.h"
#include "node/node_dirs.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOME "/.muster" // in a container: the agent, its directory, live inputs
#define AGENT HOME "/agent"
#define GROUPS "/sys/fs/cgroup/cgroup.procs:/sys/fs/cgroup/memory/cgroup.procs" // of version 2 and 1, in a container
static const double cpus_least = 0.01; // less the kernel's scheduler does not count
#define SHM (1 << 30)                  // of /dev/shm; the engine's 64 MiB are too little for MPI and data loaders
static const double patience = 20.0;   // seconds for an engine that is being restarted, and for what is being removed
static const double goodbye = 2.0;     // seconds for the last lines of the agents
#define NODE_FILES                                                                                                     \
	5 // the exec's connection, a pair to the tunnel, the way to the controller and the controller's end of it

enum { AT_ONCE = 8 };

// A container.
struct place {
	size_t node;
	char *id;
	int stream; // opened while it came up, until the tunnels take it; -1
	bool seen;  // an agent was there
	struct batch *batch;
};

// The containers of one up, whose tunnels are served together. A cluster that grows has several; those of before are
// left alone.
struct batch {
	struct batch *next;
	struct docker *docker;
	struct tunnels *tunnels;
	struct place *places; // never moved or changed in number: the thread of the tunnels looks at them
	size_t count;
};

// Between up and down of one process.
struct docker {
	struct engine *engine;
	const struct cluster *cluster;
	struct batch *batches;
	struct place **places; // by node; NULL: missing
	size_t count;
};

// --- check ------------------------------------------------------------------

static int check_node(const json_t *plan, size_t k, struct error *err)
{
	struct plan_node node = plan_node(plan, k);
	if (!node.image && !plan_build(plan).context)
		return error_set(err, ERROR_USAGE,
			"'%s' has no image, expected 'cluster.image' or 'cluster.build' for the docker executor",
			node.name);
	if (node.cpus > 0 && node.cpus < cpus_least)
		return error_set(err, ERROR_USAGE, "a limit of %g cpus, expected at least %g for the docker executor",
			node.cpus, cpus_least);
	return 0;
}

static int docker_check(const json_t *plan, struct error *err)
{
	const char *host = getenv("DOCKER_HOST");
	bool remote = host && str_starts(host, "tcp://");
	for (size_t i = 0; i < plan_nodes(plan); i++)
		if (check_node(plan, i, err))
			return -1;
	for (size_t i = 0; remote && i < plan_inputs(plan); i++)
		if (plan_input(plan, i).kind == PLAN_INPUT_LIVE)
			return error_set(err, ERROR_USAGE,
				"the input '%s' is live, and the engine at %s does not see this machine's files; "
				"it is copied without 'live'",
				plan_input(plan, i).name, host);
	if (executor_check_files(plan, NODE_FILES, err))
		return -1;
	autofree char *agent = node_dirs_agent();
	return access(agent, X_OK) ? error_errno(err, "cannot run the agent '%s'", agent) : 0;
}

// --- one container ----------------------------------------------------------

struct work {
	struct docker *d;
	const struct cluster *c;
	const char *built; // the image of nodes without one of their own
	char *network;     // its name
	char *agent;
	struct batch *batch;
	int archive; // the agent as a tar archive, for an engine that does not see our files; else -1
};

static json_t *bind(const char *from, const char *to, bool read_only)
{
	return mem_json("{s:s, s:s, s:s, s:b}", "Type", "bind", "Source", from, "Target", to, "ReadOnly", read_only);
}

static json_t *mounts_of(const struct work *w)
{
	json_t *mounts = json_array();
	if (w->archive < 0)
		json_array_append_new(mounts, bind(w->agent, AGENT, true));
	for (size_t i = 0; i < plan_inputs(w->c->plan); i++) {
		struct plan_input input = plan_input(w->c->plan, i);
		autofree char *to = mem_printf(HOME "/live/%zu", i);
		if (input.kind == PLAN_INPUT_LIVE)
			json_array_append_new(mounts, bind(input.from, to, false));
	}
	return mounts;
}

static json_t *host_config(const struct work *w, const struct plan_node *node)
{
	json_t *host = mem_json("{s:s, s:o, s:I, s:{s:s}, s:{s:s}}", "NetworkMode", w->network, "Mounts", mounts_of(w),
		"ShmSize", (json_int_t)SHM, "LogConfig", "Type", "none", "RestartPolicy", "Name", "no");
	const json_t *volumes = plan_volumes(w->c->plan);
	if (volumes)
		json_object_set_new(host, "Binds", json_deep_copy(volumes));
	if (node->cpus > 0) { // not NanoCpus: that refuses more than the machine has
		json_object_set_new(host, "CpuPeriod", json_integer(100000));
		json_object_set_new(host, "CpuQuota", json_integer((json_int_t)(node->cpus * 100000)));
	}
	if (node->memory > 0) { // without swap on top
		json_object_set_new(host, "Memory", json_integer(node->memory));
		json_object_set_new(host, "MemorySwap", json_integer(node->memory));
	}
	return host;
}

// The image's own program is left out: the container holds still until an agent is brought.
static json_t *container_of(const struct work *w, const struct plan_node *node)
{
	const char *image = node->image ? node->image : w->built;
	autofree char *second = mem_printf("%s-%zu", node->role, node->index);
	autofree char *number = mem_printf("%zu", node->node);
	autofree char *alone = mem_printf("%g", 2 * plan_lease(w->c->plan));
	json_t *labels = label_make(w->c->label, w->c->run_dir);
	json_object_set_new(labels, "muster.node", json_string(number));
	json_t *body = mem_json("{s:s, s:s, s:s, s:[s], s:[s, s], s:o, s:o, s:{s:[s]}, s:{s:{s:{s:[s, s]}}}}", "Image",
		image, "Hostname", node->name, "User", "0:0", "Entrypoint", AGENT, "Cmd", "pause", alone, "Labels",
		labels, "HostConfig", host_config(w, node), "Healthcheck", "Test", "NONE", "NetworkingConfig",
		"EndpointsConfig", w->network, "Aliases", node->name, second);
	return body;
}

// The same agent for all, in an archive that is sent to each container.
static int pack_agent(struct work *w, struct error *err)
{
	autoclose int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "cannot make a temporary file in '/tmp'");
	struct archives_writer *tar = archives_writer_new(fd, err);
	if (!tar)
		return -1;
	if (archives_add(tar, w->agent, AGENT + 1, err)) {
		archives_writer_free(tar);
		return -1;
	}
	if (archives_writer_end(tar, err))
		return -1;
	w->archive = steal_fd(&fd);
	return 0;
}

static int put_agent(const struct work *w, const char *id, struct error *err)
{
	autofree char *path = mem_printf("/containers/%s/archive?path=/", id);
	int status = engine_ask(
		w->d->engine, &(struct engine_ask){.method = "PUT", .path = path, .file = w->archive}, NULL, err);
	return status < 0 || status >= 400 ? error_wrap(err, "cannot copy the agent into the container") : 0;
}

static json_t *bridge_argv(void)
{
	return mem_json("[s, s]", AGENT, "bridge");
}

static int make_container(struct work *w, struct place *p, struct error *err)
{
	struct plan_node node = plan_node(w->c->plan, p->node);
	struct docker *d = w->d;
	autofree char *create = mem_printf("/containers/create?name=%s-%s", w->c->label, node.name);
	autojson json_t *body = container_of(w, &node), *made = NULL;
	if (engine_do(d->engine, "POST", create, body, &made, err))
		return -1;
	p->id = mem_strdup(json_text_or(made, "Id", ""));
	if (w->archive >= 0 && put_agent(w, p->id, err))
		return -1;
	autofree char *start = mem_printf("/containers/%s/start", p->id);
	if (engine_do(d->engine, "POST", start, NULL, NULL, err))
		return -1;
	autojson json_t *argv = bridge_argv();
	p->stream = engine_exec(d->engine, p->id, argv, err);
	return p->stream < 0 ? -1 : 0;
}

static int add_node(size_t i, void *data, struct error *err)
{
	struct work *w = data;
	if (w->c->cancelled && *w->c->cancelled)
		return error_set(err, ERROR_CANCELLED, "cancelled while the containers were created");
	struct place *p = &w->batch->places[i];
	if (p->id)
		return 0;
	return make_container(w, p, err) ? error_wrap(err, "cannot make the container of node %zu", p->node) : 0;
}

// --- up ---------------------------------------------------------------------

static void docker_free(struct docker *d)
{
	if (!d)
		return;
	for (struct batch *b; (b = d->batches);) {
		d->batches = b->next;
		tunnel_stop(b->tunnels, 0);
		for (size_t i = 0; i < b->count; i++) {
			free(b->places[i].id);
			mem_cleanup_fd(&b->places[i].stream);
		}
		free(b->places);
		free(b);
	}
	free(d->places);
	engine_free(d->engine);
	free(d);
}

// What runs of this run's containers, as an object by id.
static json_t *find_running(const struct work *w, struct error *err)
{
	autojson json_t *found = label_find(w->d->engine, "containers", w->c->label, err);
	json_t *running = found ? json_object() : NULL;
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		if (strcmp(json_text_or(item, "State", ""), "running") == 0)
			json_object_set_new(running, json_text_or(item, "Id", ""), json_true());
	return running;
}

// Removes the containers that are not wanted any more or have ended, and forgets them.
static int drop(struct work *w, size_t wanted, struct error *err)
{
	struct docker *d = w->d;
	autojson json_t *running = d->count ? find_running(w, err) : json_object();
	for (size_t k = 0; running && k < d->count; k++) {
		struct place *p = d->places[k];
		if (!p || (p->id && k < wanted && json_object_get(running, p->id)))
			continue;
		d->places[k] = NULL;
		if (p->batch->tunnels)
			tunnel_close(p->batch->tunnels, (size_t)(p - p->batch->places), 0);
		if (p->id && label_remove(d->engine, "containers", p->id, err))
			return -1;
	}
	return running ? 0 : -1;
}

// Places for what the plan has and the cluster has not; NULL when nothing is missing.
static struct batch *add_batch(struct docker *d, size_t wanted)
{
	size_t missing = wanted;
	for (size_t k = 0; k < wanted && k < d->count; k++)
		missing -= d->places[k] != NULL;
	d->places = mem_resize(d->places, wanted * sizeof *d->places);
	for (; d->count < wanted; d->count++)
		d->places[d->count] = NULL;
	d->count = wanted;
	if (!missing)
		return NULL;
	struct batch *b = mem_alloc(sizeof *b);
	*b = (struct batch){.next = d->batches, .docker = d, .places = mem_alloc(missing * sizeof *b->places)};
	d->batches = b;
	for (size_t k = 0; k < wanted; k++)
		if (!d->places[k]) {
			b->places[b->count] = (struct place){.node = k, .stream = -1, .batch = b};
			d->places[k] = &b->places[b->count++];
		}
	return b;
}

// The node of a container of ours, from its name ("/LABEL-node-K"); more than there are of any other.
static size_t node_of(const struct cluster *c, const json_t *item)
{
	const char *name = json_string_value(json_array_get(json_object_get(item, "Names"), 0));
	autofree char *prefix = mem_printf("/%s-node-", c->label);
	return name && str_starts(name, prefix) ? strtoul(name + strlen(prefix), NULL, 10) : SIZE_MAX;
}

// What a process before this one made, of a persistent cluster whose controller was killed: what runs and is wanted is
// kept, the rest goes.
static int adopt(struct work *w, struct error *err)
{
	struct docker *d = w->d;
	autojson json_t *found = label_find(d->engine, "containers", w->c->label, err);
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item) {
		size_t k = node_of(w->c, item);
		if (k < d->count && !d->places[k]->id && strcmp(json_text_or(item, "State", ""), "running") == 0)
			d->places[k]->id = mem_strdup(json_text_or(item, "Id", ""));
		else if (label_remove(d->engine, "containers", json_text_or(item, "Id", ""), err))
			return -1;
	}
	return found ? 0 : -1;
}

static void on_image(void *data, json_t *event)
{
	const struct cluster *c = data;
	if (c->say)
		c->say(c, event);
	else
		json_decref(event);
}

// The images that the nodes name, and the one that is built.
static int have_images(struct work *w, char **built, struct error *err)
{
	const struct cluster *c = w->c;
	struct image_work image = {
		.engine = w->d->engine, .cancelled = c->cancelled, .say = on_image, .data = (void *)c};
	struct plan_build build = plan_build(c->plan);
	if (build.context) {
		autofree char *name = mem_printf("muster/%s", plan_name(c->plan));
		*built = image_build(&image, name, &build, err);
		if (!*built)
			return -1;
	}
	autojson json_t *seen = json_object();
	for (size_t i = 0; i < plan_nodes(c->plan); i++) {
		const char *name = plan_node(c->plan, i).image;
		if (name && !json_object_get(seen, name) && image_ensure(&image, name, err))
			return -1;
		if (name)
			json_object_set_new(seen, name, json_true());
	}
	return 0;
}

static int make_network(struct work *w, struct error *err)
{
	autojson json_t *there = label_find(w->d->engine, "networks", w->c->label, err);
	if (!there || json_array_size(there))
		return there ? 0 : -1;
	autojson json_t *body = mem_json("{s:s, s:s, s:b, s:o}", "Name", w->network, "Driver", "bridge",
		"CheckDuplicate", 1, "Labels", label_make(w->c->label, w->c->run_dir));
	return engine_do(w->d->engine, "POST", "/networks/create", body, NULL, err)
		       ? error_wrap(err, "cannot make the network")
		       : 0;
}

// Why a container does not run any more; NULL when it runs or nobody can tell.
static char *epitaph(const struct docker *d, const struct place *p)
{
	autofree char *path = mem_printf("/containers/%s/json", p->id);
	autojson json_t *said = NULL;
	struct error err = {0};
	int status = engine_ask(d->engine, &(struct engine_ask){.method = "GET", .path = path}, &said, &err);
	if (status == 404)
		return mem_strdup("its container was removed");
	const json_t *state = json_object_get(said, "State");
	if (status < 0 || status >= 400 || json_is_true(json_object_get(state, "Running")))
		return NULL;
	int code = (int)json_integer_value(json_object_get(state, "ExitCode"));
	if (json_is_true(json_object_get(state, "OOMKilled")))
		return mem_printf("its container ran out of memory and was killed");
	if (code == 143)
		return mem_strdup("its container was stopped");
	return mem_printf("its container has ended with status %d%s", code, code == 137 ? " (killed)" : "");
}

static int on_open(size_t i, void *data, struct error *err)
{
	struct batch *b = data;
	struct place *p = &b->places[i];
	if (p->stream >= 0)
		return steal_fd(&p->stream);
	autojson json_t *argv = bridge_argv();
	return engine_exec(b->docker->engine, p->id, argv, err);
}

// A container that has ended does not come back, nor does an agent that was killed in one that has not; an engine that
// does not answer may.
static bool on_closed(size_t i, enum tunnel_reach reach, struct error *err, void *data)
{
	struct batch *b = data;
	struct place *p = &b->places[i];
	const struct cluster *c = b->docker->cluster;
	p->seen = p->seen || reach == TUNNEL_READY || reach == TUNNEL_CUT;
	autofree char *why = epitaph(b->docker, p);
	if (!why && p->seen && reach == TUNNEL_GONE)
		why = mem_strdup("its agent was killed");
	if (!why)
		return p->seen;
	error_set(err, ERROR_SYSTEM, "%s", why);
	if (p->seen && c->say)
		c->say(c, event_make("lost", "s:i, s:s", "node", (int)p->node, "why", why));
	return false;
}

static const struct tunnel_ops tunnel_ops = {.open = on_open, .closed = on_closed};

// A place of before whose container has ended, or is not wanted any more, stays in its batch and is nobody's.
static bool is_current(const struct batch *b, size_t i)
{
	const struct docker *d = b->docker;
	size_t node = b->places[i].node;
	return node < d->count && d->places[node] == &b->places[i];
}

static json_t *config_of(const struct cluster *c, size_t k)
{
	autofree char *token = c->token(c, k);
	json_t *config = mem_json("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s}", "run", c->label, "node", (int)k, "nodes",
		(int)plan_nodes(c->plan), "token", token, "fingerprint", c->fingerprint, "name",
		plan_node(c->plan, k).name, "dir", HOME "/node", "live", HOME "/live");
	json_object_set_new(config, "limited", json_string(GROUPS));
	json_object_set_new(config, "removed", json_string("the container that is this node is removed with the run"));
	plan_add_lease(c->plan, config);
	return config;
}

// Of a batch of before this opens those whose agent has ended, and leaves the others alone.
static int open_tunnels(const struct cluster *c, struct batch *b, struct error *err)
{
	struct tunnel_options options = {
		.url = c->url, .count = b->count, .at_once = b->count, .ops = &tunnel_ops, .data = b};
	if (!b->tunnels)
		b->tunnels = tunnel_start(&options, err);
	if (!b->tunnels)
		return -1;
	for (size_t i = 0; i < b->count; i++)
		if (is_current(b, i))
			tunnel_open(b->tunnels, i, config_of(c, b->places[i].node));
	double deadline = plan_deadline(c->plan);
	size_t i = b->count;
	if (!tunnel_wait(b->tunnels, deadline > 0 ? deadline : 60, c->cancelled, &i, err))
		return 0;
	return i < b->count && (!err || err->code != ERROR_CANCELLED) ? error_wrap(err, "node %zu", b->places[i].node)
								      : -1;
}

// The containers that are missing.
static int make_batch(struct work *w, struct error *err)
{
	if (!w->batch->next && adopt(w, err))
		return -1;
	autofree char *built = NULL;
	if (have_images(w, &built, err))
		return -1;
	w->built = built;
	if (!engine_is_local(w->d->engine) && pack_agent(w, err))
		return -1;
	return make_network(w, err) || parallel_run(w->batch->count, AT_ONCE, add_node, w, err) ? -1 : 0;
}

static int bring_up(struct work *w, struct error *err)
{
	size_t wanted = plan_nodes(w->c->plan);
	if (drop(w, wanted, err))
		return -1;
	w->batch = add_batch(w->d, wanted);
	if (w->batch && make_batch(w, err))
		return -1;
	for (struct batch *b = w->d->batches; b; b = b->next)
		if (open_tunnels(w->c, b, err))
			return -1;
	return 0;
}

static int docker_up(struct cluster *c, struct error *err)
{
	if (docker_check(c->plan, err))
		return -1;
	struct docker *d = c->state ? c->state : mem_alloc(sizeof *d);
	c->state = d;
	d->cluster = c;
	if (!d->engine && !(d->engine = engine_open(err)))
		return -1;
	struct work w = {.d = d, .c = c, .network = mem_printf("muster-%s", c->label), .archive = -1};
	autofree char *program = node_dirs_agent();
	w.agent = realpath(program, NULL);
	int rc = w.agent ? bring_up(&w, err) : error_errno(err, "cannot find the agent '%s'", program);
	free(w.network);
	free(w.agent);
	mem_cleanup_fd(&w.archive);
	return rc;
}

// --- down and left ----------------------------------------------------------

// The engine, where there is one. *absent: there is none, and nobody has named one: nothing of ours can be there.
static struct engine *meet(const struct cluster *c, bool *absent, struct error *err)
{
	struct engine *e = engine_open(err);
	const struct docker *d = c->state;
	// One that was there a moment ago may be about to come back.
	for (double end = clock_mono() + patience; !e && d && d->engine && clock_mono() < end; poll(NULL, 0, 100))
		e = engine_open(err);
	*absent = !e && !c->plan && !engine_is_named();
	return e;
}

static int docker_down(struct cluster *c, struct error *err)
{
	struct docker *d = c->state;
	for (struct batch *b = d ? d->batches : NULL; b; b = b->next)
		tunnel_stop(steal(b->tunnels), goodbye);
	bool absent;
	struct engine *e = meet(c, &absent, err);
	docker_free(d);
	c->state = NULL;
	if (!e)
		return absent ? 0 : -1;
	int rc = label_remove_all(e, "containers", c->label, err);
	rc |= label_remove_all(e, "networks", c->label, rc ? NULL : err);
	engine_free(e);
	return rc ? -1 : 0;
}

static int docker_left(struct cluster *c, json_t *found, struct error *err)
{
	bool absent;
	struct engine *e = meet(c, &absent, err);
	if (!e)
		return absent ? 0 : -1;
	int rc = label_list(e, "containers", c->label, found, err) || label_list(e, "networks", c->label, found, err);
	engine_free(e);
	return rc ? -1 : 0;
}

extern const struct executor executor_docker;
const struct executor executor_docker = {
	.traits = &executor_traits_docker,
	.check = docker_check,
	.address = executor_loopback,
	.up = docker_up,
	.down = docker_down,
	.left = docker_left,
};
