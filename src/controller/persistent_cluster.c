#include "controller/persistent_cluster.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "controller/lifecycle.h"
#include "job/plan.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

// Nodes dial to the same port after the controller has died and come back. So it is one that the kernel gives to nobody
// by itself; the addresses' port (node/loopback) is above them.
enum { PORT_FIRST = 20000, PORT_COUNT = 9000, PORT_TRIES = 50, IDENTITY_MAX = 65536 };
static const double touch_every = 10;
static const double leave_within = 20; // for nodes that are not wanted any more

struct job {
	struct job *next;
	struct conn *client;
	char *run, *dir;
	pid_t pid;
	unsigned long long started;
	size_t nodes, sweeping; // nodes that still remove what a killed controller left
};

struct persistent_cluster {
	struct lifecycle *c;
	int lock;
	json_t *identity; // NULL: there was none
	struct job *jobs;
	struct conn *waiter; // who asked for other nodes
	bool resizing, leaving, draining;
	size_t target;
	struct loop_timer *touch, *late;
	json_t *plan; // after the first change of the number of nodes
};

// --- identity -----------------------------------------------------------------

struct persistent_cluster *persistent_cluster_new(struct lifecycle *c, struct error *err)
{
	autoclose int lock = open(c->run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0) {
		if (lock >= 0 && errno == EWOULDBLOCK)
			error_set(err, ERROR_USAGE, "the cluster has a controller already");
		else
			error_errno(err, "cannot lock '%s'", c->run->dir);
		return NULL;
	}
	struct persistent_cluster *k = mem_alloc(sizeof *k);
	k->c = c;
	k->lock = steal_fd(&lock);
	autofree char *path = run_path(c->run, "identity.json");
	autofree char *text = fs_read(path, IDENTITY_MAX, NULL, NULL);
	k->identity = text ? json_loads(text, 0, NULL) : NULL;
	if (k->identity)
		c->secret = mem_strdup(json_text_or(k->identity, "secret", ""));
	return k;
}

void persistent_cluster_free(struct persistent_cluster *k)
{
	if (!k)
		return;
	while (k->jobs) {
		struct job *job = k->jobs;
		k->jobs = job->next;
		free(job->run);
		free(job->dir);
		free(job);
	}
	json_decref(k->identity);
	json_decref(k->plan);
	close(k->lock);
	free(k);
}

bool persistent_cluster_resumes(const struct persistent_cluster *k)
{
	return k->identity != NULL;
}

static int save_identity(const struct persistent_cluster *k, const struct server *server, struct error *err)
{
	const struct crypto_identity *id = server_identity(server);
	autojson json_t *tree = mem_json("{s:s, s:s, s:s, s:i}", "cert", id->cert, "key", id->key, "secret",
		k->c->secret, "port", server_port(server));
	autofree char *text = json_dumps(tree, JSON_INDENT(1));
	autofree char *path = run_path(k->c->run, "identity.json");
	return fs_write(path, text, strlen(text), 0600, err);
}

static struct server *serve_again(struct persistent_cluster *k, struct server_options *options, struct error *err)
{
	struct crypto_identity id = {.cert = mem_strdup(json_text_or(k->identity, "cert", "")),
		.key = mem_strdup(json_text_or(k->identity, "key", ""))};
	id.cert_len = strlen(id.cert);
	id.key_len = strlen(id.key);
	if (crypto_fingerprint(id.cert, id.cert_len, id.fingerprint, err) < 0) {
		crypto_identity_fini(&id);
		error_wrap(err, "identity.json of the cluster");
		return NULL;
	}
	options->identity = &id;
	options->port = (int)json_integer_value(json_object_get(k->identity, "port"));
	struct server *server = server_new(k->c->loop, options, err);
	if (!server)
		error_wrap(err, "another program has the port of the cluster");
	return server;
}

struct server *persistent_cluster_serve(struct persistent_cluster *k, struct error *err)
{
	struct lifecycle *c = k->c;
	struct server_options options = {.run = c->run,
		.plan = c->plan,
		.address = "127.0.0.1",
		.secret = c->secret,
		.ops = c->node_events,
		.data = c};
	if (k->identity)
		return serve_again(k, &options, err);
	struct server *server = NULL;
	for (int i = 0; i < PORT_TRIES && !server; i++) {
		unsigned short random;
		crypto_random(&random, sizeof random);
		options.port = PORT_FIRST + random % PORT_COUNT;
		server = server_new(c->loop, &options, err);
	}
	if (server && save_identity(k, server, err) < 0) {
		server_stop(server);
		server_free(server);
		return NULL;
	}
	return server;
}

static void on_touch(void *data)
{
	struct persistent_cluster *k = data;
	autofree char *path = run_path(k->c->run, "control.json");
	utimensat(AT_FDCWD, path, NULL, 0);
	loop_timer_set(k->touch, touch_every);
}

// --- answers --------------------------------------------------------------------

static void refuse(struct conn *client, const char *kind, const char *why)
{
	autojson json_t *answer = mem_json("{s:s, s:s}", "msg", kind, "error", why);
	conn_send(client, answer);
}

static void answer_waiter(struct persistent_cluster *k, const char *why)
{
	k->resizing = k->leaving = false;
	loop_timer_cancel(k->late);
	if (!k->waiter)
		return;
	struct conn *waiter = steal(k->waiter);
	if (why) {
		refuse(waiter, "resize", why);
		return;
	}
	autojson json_t *answer = mem_json("{s:s, s:i}", "msg", "resize", "nodes", (int)k->c->membership.nnodes);
	conn_send(waiter, answer);
}

// --- jobs -------------------------------------------------------------------------

static void say_job(struct persistent_cluster *k, const struct job *job, const char *edge)
{
	lifecycle_record(k->c, event_make("job", "s:s, s:s, s:s, s:i", "run", job->run, "run_dir", job->dir, "edge",
				       edge, "nodes", (int)job->nodes));
}

// The nodes as a job must know them: where they can be reached, and where on them it may put its things.
static json_t *nodes_for_job(const struct membership *r, size_t count)
{
	json_t *nodes = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *node = mem_json("{s:i}", "node", (int)i);
		static const char *const keys[] = {"name", "address", "dir", "cgroups"};
		for (size_t n = 0; n < countof(keys); n++)
			json_object_set(node, keys[n], json_object_get(r->nodes[i].said, keys[n]));
		json_array_append_new(nodes, node);
	}
	return nodes;
}

// Why that many nodes cannot be had for a job now, or NULL; owned by the caller.
static char *why_not(const struct persistent_cluster *k, size_t nodes, bool share)
{
	const struct membership *r = &k->c->membership;
	if (k->draining || k->c->state != STATE_HOLDING)
		return mem_strdup("the cluster is not up");
	if (k->resizing)
		return mem_strdup("the cluster's nodes are just being changed");
	if (nodes < 1 || nodes > r->nnodes)
		return mem_printf("the job wants %zu nodes and the cluster has %zu", nodes, r->nnodes);
	for (size_t i = 0; i < nodes; i++)
		if (!server_connected(k->c->server, i))
			return mem_printf("node %zu is not there; `muster up NAME` brings it back", i);
	if (k->jobs && !share)
		return mem_printf("run %s is on it; wait for it, or say --share to run beside it", k->jobs->run);
	return NULL;
}

static void check_drained(struct persistent_cluster *k)
{
	if (k->draining && !k->jobs)
		lifecycle_dispatch(k->c, HAPPENS_DRAINED, NULL);
}

static struct job *find_job(const struct persistent_cluster *k, const struct conn *client)
{
	struct job *job = k->jobs;
	while (job && job->client != client)
		job = job->next;
	return job;
}

static void end_job(struct persistent_cluster *k, struct job *job)
{
	struct job **at = &k->jobs;
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	say_job(k, job, "end");
	free(job->run);
	free(job->dir);
	free(job);
	check_drained(k);
}

static void begin_job(struct persistent_cluster *k, struct conn *client, const json_t *msg)
{
	size_t nodes = (size_t)json_integer_value(json_object_get(msg, "nodes"));
	struct job *known = find_job(k, client);
	if (known) { // it says that it is done
		end_job(k, known);
		conn_send(client, msg);
		return;
	}
	autofree char *why = why_not(k, nodes, json_is_true(json_object_get(msg, "share")));
	if (why) {
		refuse(client, "job", why);
		return;
	}
	struct job *job = mem_alloc(sizeof *job);
	*job = (struct job){.next = k->jobs,
		.client = client,
		.run = mem_strdup(json_text_or(msg, "run", "")),
		.dir = mem_strdup(json_text_or(msg, "run_dir", "")),
		.pid = (pid_t)json_integer_value(json_object_get(msg, "pid")),
		.started = (unsigned long long)json_integer_value(json_object_get(msg, "started")),
		.nodes = nodes};
	k->jobs = job;
	say_job(k, job, "begin");
	autojson json_t *answer =
		mem_json("{s:s, s:o}", "msg", "job", "nodes", nodes_for_job(&k->c->membership, nodes));
	conn_send(client, answer);
}

// A job's controller that went without a word was killed: what it left on the nodes is removed.
static void sweep_job(struct persistent_cluster *k, struct job *job)
{
	autojson json_t *argv = mem_json("[s, s, s]", "muster-agent", "sweep", job->run);
	job->client = NULL;
	for (size_t i = 0; i < job->nodes; i++)
		job->sweeping += server_errand(k->c->server, i, argv);
	if (job->sweeping == 0)
		end_job(k, job);
}

void persistent_cluster_node_reaped(struct persistent_cluster *k, size_t node)
{
	for (struct job *job = k->jobs, *next; job; job = next) {
		next = job->next;
		if (job->sweeping && node < job->nodes && --job->sweeping == 0)
			end_job(k, job);
	}
}

void persistent_cluster_client_gone(struct persistent_cluster *k, struct conn *client)
{
	struct job *job = find_job(k, client);
	if (k->waiter == client)
		k->waiter = NULL; // the cluster goes on changing
	if (job)
		sweep_job(k, job);
}

// The job's controller reads from the value why it is stopped.
void persistent_cluster_drain(struct persistent_cluster *k)
{
	k->draining = true;
	k->c->cancelled = 1;
	for (struct job *job = k->jobs; job; job = job->next)
		if (proc_alive(job->pid, job->started))
			sigqueue(job->pid, SIGTERM, (union sigval){.sival_int = CONTROLLER_CLUSTER_DOWN});
	check_drained(k);
}

// --- the nodes --------------------------------------------------------------------

static int save_plan(struct persistent_cluster *k, size_t nodes, struct error *err)
{
	json_t *plan = plan_resize(k->c->plan, nodes);
	autofree char *text = json_dumps(plan, JSON_INDENT(1) | JSON_REAL_PRECISION(16));
	autofree char *path = run_path(k->c->run, "plan.json");
	if (fs_write(path, text, strlen(text), 0644, err) < 0) {
		json_decref(plan);
		return -1;
	}
	json_t *old = k->plan;
	k->plan = plan;
	k->c->plan = k->c->cluster.plan = plan;
	json_decref(old);
	return 0;
}

// Those that were not wanted any more have left: now what is missing of the others is made.
static void go_on(struct persistent_cluster *k)
{
	struct error err = {0};
	struct lifecycle *c = k->c;
	k->leaving = false;
	loop_timer_cancel(k->late);
	if (k->target != c->membership.nnodes) {
		if (save_plan(k, k->target, &err) < 0) {
			answer_waiter(k, err.text);
			return;
		}
		lifecycle_record(c,
			event_make("resize", "s:i, s:i", "from", (int)c->membership.nnodes, "nodes", (int)k->target));
		lifecycle_resize(c, k->target);
	}
	lifecycle_dispatch(c, HAPPENS_RESIZE, NULL);
}

static bool extra_are_there(const struct persistent_cluster *k)
{
	for (size_t i = k->target; i < k->c->membership.nnodes; i++)
		if (server_connected(k->c->server, i))
			return true;
	return false;
}

static void on_late(void *data)
{
	struct persistent_cluster *k = data;
	lifecycle_record(
		k->c, event_make("warn", "s:s", "why", "a node that is not wanted any more did not leave in time"));
	go_on(k);
}

static void resize(struct persistent_cluster *k, struct conn *client, const json_t *msg)
{
	struct lifecycle *c = k->c;
	json_int_t wanted = json_integer_value(json_object_get(msg, "nodes"));
	size_t nodes = wanted ? (size_t)wanted : c->membership.nnodes; // 0: as many as there are to be
	autofree char *why = NULL;
	if (wanted < 0 || nodes > plan_room(c->plan))
		why = mem_printf("found %lld nodes, expected 1 to %zu%s", (long long)wanted, plan_room(c->plan),
			json_object_get(c->plan, "hosts") ? ": so many hosts has the file it was made from" : "");
	else if (c->state != STATE_HOLDING || k->draining)
		why = mem_strdup("the cluster is not up");
	else if (wanted == 0 && !k->waiter && (k->resizing || worker_thread_is_busy(c->worker))) {
		k->waiter = client; // what goes on is just that
		return;
	} else if (k->resizing || worker_thread_is_busy(c->worker))
		why = mem_strdup("the cluster's nodes are just being changed");
	for (struct job *job = k->jobs; job && !why; job = job->next)
		if (job->nodes > nodes)
			why = mem_printf("run %s is on %zu nodes; wait for it, or cancel it", job->run, job->nodes);
	if (why) {
		refuse(client, "resize", why);
		return;
	}
	k->waiter = client;
	k->target = nodes;
	k->resizing = k->leaving = true;
	for (size_t i = nodes; i < c->membership.nnodes; i++)
		lifecycle_send_bye(c, i);
	loop_timer_set(k->late, leave_within);
	persistent_cluster_check(k);
}

void persistent_cluster_check(struct persistent_cluster *k)
{
	struct lifecycle *c = k->c;
	if (c->state != STATE_HOLDING)
		return;
	if (k->leaving) {
		if (!extra_are_there(k))
			go_on(k);
	} else if (c->up_done && membership_all_hello(&c->membership) &&
		   server_count_connected(c->server) == c->membership.nnodes)
		lifecycle_dispatch(c, HAPPENS_ALL_UP, NULL);
}

void persistent_cluster_failed(struct persistent_cluster *k, const char *why)
{
	answer_waiter(k, why);
}

void persistent_cluster_held(struct persistent_cluster *k)
{
	answer_waiter(k, NULL);
}

void persistent_cluster_request(struct persistent_cluster *k, struct conn *client, const json_t *msg)
{
	const char *kind = json_text_or(msg, "msg", "");
	if (strcmp(kind, "job") == 0)
		begin_job(k, client, msg);
	else if (strcmp(kind, "resize") == 0)
		resize(k, client, msg);
	else
		refuse(client, "unknown", "the controller does not know this request");
}

void persistent_cluster_start(struct persistent_cluster *k)
{
	k->touch = loop_timer_new(k->c->loop, on_touch, k);
	k->late = loop_timer_new(k->c->loop, on_late, k);
	loop_timer_set(k->touch, touch_every);
}

void persistent_cluster_stop(struct persistent_cluster *k)
{
	loop_timer_free(steal(k->touch));
	loop_timer_free(steal(k->late));
}
