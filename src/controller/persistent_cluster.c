#include "controller/persistent_cluster.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "controller/interrupt.h"
#include "controller/job_cleanup.h"
#include "job/plan.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
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
static const double let_go = 2;        // for a controller that was killed

struct job {
	struct job *next;
	struct conn *client;
	char *run, *dir;
	pid_t pid;
	unsigned long long started;
	size_t nodes;
	struct job_cleanup cleanup; // of what a killed controller left on them
};

struct persistent_cluster {
	struct persistent_cluster_options options; // its plan is the present one
	const struct membership *membership;
	struct server *server;
	int lock;
	json_t *identity; // NULL: there was none
	struct job *jobs;
	struct conn *waiter; // who asked for other nodes
	bool resizing, leaving, draining;
	size_t target;
	struct loop_timer *touch, *late;
	json_t *plan; // owned; NULL before the first change of the number of nodes
};

// --- identity -----------------------------------------------------------------

// A controller that was killed counts as dead when its first thread is, and lets go when its last one is.
static int take_lock(int fd)
{
	double end = clock_mono() + let_go;
	int rc;
	while ((rc = flock(fd, LOCK_EX | LOCK_NB)) < 0 && errno == EWOULDBLOCK && clock_mono() < end)
		poll(NULL, 0, 10);
	return rc;
}

struct persistent_cluster *persistent_cluster_new(const struct persistent_cluster_options *options, struct error *err)
{
	autoclose int lock = open(options->run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || take_lock(lock) < 0) {
		if (lock >= 0 && errno == EWOULDBLOCK)
			error_set(err, ERROR_USAGE, "the cluster already has a controller");
		else
			error_errno(err, "cannot lock '%s'", options->run->dir);
		return NULL;
	}
	struct persistent_cluster *k = mem_alloc(sizeof *k);
	k->options = *options;
	k->membership = options->membership;
	k->lock = steal_fd(&lock);
	autofree char *path = run_path(options->run, "identity.json");
	autofree char *text = fs_read(path, IDENTITY_MAX, NULL, NULL);
	k->identity = text ? json_loads(text, 0, NULL) : NULL;
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

const char *persistent_cluster_secret(const struct persistent_cluster *k)
{
	return k->identity ? json_text_or(k->identity, "secret", "") : NULL;
}

static int save_identity(
	const struct persistent_cluster *k, const struct server *server, const char *secret, struct error *err)
{
	const struct crypto_identity *id = server_identity(server);
	autojson json_t *tree = mem_json("{s:s, s:s, s:s, s:i}", "cert", id->cert, "key", id->key, "secret", secret,
		"port", server_port(server));
	autofree char *text = json_dumps(tree, JSON_INDENT(1));
	autofree char *path = run_path(k->options.run, "identity.json");
	return fs_write(path, text, strlen(text), 0600, err);
}

static struct server *serve_again(
	struct persistent_cluster *k, struct loop *loop, struct server_options *options, struct error *err)
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
	struct server *server = server_new(loop, options, err);
	if (!server)
		error_wrap(err, "another program uses the port of the cluster");
	return server;
}

static struct server *serve_first(
	struct persistent_cluster *k, struct loop *loop, struct server_options *options, struct error *err)
{
	struct server *server = NULL;
	for (int i = 0; i < PORT_TRIES && !server; i++) {
		unsigned short random;
		crypto_random(&random, sizeof random);
		options->port = PORT_FIRST + random % PORT_COUNT;
		server = server_new(loop, options, err);
	}
	if (server && save_identity(k, server, options->secret, err) < 0) {
		server_stop(server);
		server_free(server);
		return NULL;
	}
	return server;
}

struct server *persistent_cluster_serve(
	struct persistent_cluster *k, struct loop *loop, struct server_options options, struct error *err)
{
	k->server = k->identity ? serve_again(k, loop, &options, err) : serve_first(k, loop, &options, err);
	return k->server;
}

static void on_touch(void *data)
{
	struct persistent_cluster *k = data;
	autofree char *path = run_path(k->options.run, "control.json");
	utimensat(AT_FDCWD, path, NULL, 0);
	loop_timer_set(k->touch, touch_every);
}

static void record(const struct persistent_cluster *k, json_t *event)
{
	k->options.ops->record(event, k->options.data);
}

static bool is_up(const struct persistent_cluster *k)
{
	return k->options.ops->is_up(k->options.data);
}

static bool is_busy(const struct persistent_cluster *k)
{
	return k->options.ops->is_busy(k->options.data);
}

static void dispatch(const struct persistent_cluster *k, enum happening happening)
{
	k->options.ops->dispatch(happening, k->options.data);
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
	autojson json_t *answer = mem_json("{s:s, s:i}", "msg", "resize", "nodes", (int)k->membership->nnodes);
	conn_send(waiter, answer);
}

// --- jobs -------------------------------------------------------------------------

static void say_job(struct persistent_cluster *k, const struct job *job, const char *edge)
{
	record(k, event_make("job", "s:s, s:s, s:s, s:i", "run", job->run, "run_dir", job->dir, "edge", edge, "nodes",
			  (int)job->nodes));
}

// The nodes as a job must know them: where they can be reached, and where on them it may put its things.
static json_t *nodes_for_job(const struct membership *r, size_t count)
{
	json_t *nodes = json_array();
	for (size_t i = 0; i < count; i++) {
		json_t *node = mem_json("{s:i}", "node", (int)i);
		static const char *const keys[] = {"name", "address", "dir", "cgroups", "hosts"};
		for (size_t n = 0; n < countof(keys); n++)
			json_object_set(node, keys[n], json_object_get(r->nodes[i].said, keys[n]));
		json_array_append_new(nodes, node);
	}
	return nodes;
}

// Why that many nodes cannot be had for a job now, or NULL; owned by the caller.
static char *why_not(const struct persistent_cluster *k, size_t nodes, bool share)
{
	const struct membership *r = k->membership;
	if (k->draining || !is_up(k))
		return mem_strdup("the cluster is not up");
	if (k->resizing)
		return mem_strdup("the nodes of the cluster are being changed");
	if (nodes < 1 || nodes > r->nnodes)
		return mem_printf("the job wants %zu nodes and the cluster has %zu", nodes, r->nnodes);
	for (size_t i = 0; i < nodes; i++)
		if (!server_connected(k->server, i))
			return mem_printf("node %zu is missing; `muster up NAME` restores it", i);
	if (k->jobs && !share)
		return mem_printf("run %s uses it; wait for it, or use --share to run beside it", k->jobs->run);
	return NULL;
}

static void check_drained(struct persistent_cluster *k)
{
	if (k->draining && !k->jobs)
		dispatch(k, HAPPENS_DRAINED);
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
	job_cleanup_fini(&job->cleanup);
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
	autojson json_t *answer = mem_json("{s:s, s:o}", "msg", "job", "nodes", nodes_for_job(k->membership, nodes));
	conn_send(client, answer);
}

// --- what jobs leave ----------------------------------------------------------------

static void ask_to_clean(struct persistent_cluster *k, struct job *job, size_t node)
{
	autojson json_t *argv = mem_json("[s, s, s]", "muster-agent", "reap", job->run);
	job_cleanup_ask(&job->cleanup, node, server_errand(k->server, node, argv));
}

static void warn_not_cleaned(struct persistent_cluster *k, const struct job *job, size_t node, const char *what)
{
	autofree char *why = mem_printf("node %zu %s what the killed run %s left there; what runs of it ends when its "
					"lease expires",
		node, what, job->run);
	record(k, event_make("warn", "s:i, s:s", "node", (int)node, "why", why));
}

static void check_cleaned(struct persistent_cluster *k, struct job *job)
{
	if (job->cleanup.pending == 0)
		end_job(k, job);
}

// A job's controller that went without a word was killed. A node that was lost before has nothing to be asked.
static void clean_up_job(struct persistent_cluster *k, struct job *job)
{
	job->client = NULL;
	job_cleanup_start(&job->cleanup, job->nodes);
	for (size_t i = 0; i < job->nodes; i++)
		if (server_connected(k->server, i) || (k->membership->nodes[i].away && !k->draining))
			ask_to_clean(k, job, i);
		else
			warn_not_cleaned(k, job, i, "is lost and cannot remove");
	check_cleaned(k, job);
}

void persistent_cluster_node_cleaned(struct persistent_cluster *k, size_t node, uint32_t errand, bool ok)
{
	for (struct job *job = k->jobs; job; job = job->next) {
		if (!job_cleanup_answer(&job->cleanup, node, errand))
			continue;
		if (!ok)
			warn_not_cleaned(k, job, node, "could not remove all of");
		check_cleaned(k, job);
		return;
	}
}

void persistent_cluster_node_back(struct persistent_cluster *k, size_t node)
{
	for (struct job *job = k->jobs; job; job = job->next)
		if (job_cleanup_is_pending(&job->cleanup, node))
			ask_to_clean(k, job, node);
}

void persistent_cluster_node_lost(struct persistent_cluster *k, size_t node)
{
	for (struct job *job = k->jobs, *next; job; job = next) {
		next = job->next;
		if (!job_cleanup_give_up(&job->cleanup, node))
			continue;
		warn_not_cleaned(k, job, node, "was lost before it had removed");
		check_cleaned(k, job);
	}
}

// A cluster that goes down waits only for those that can answer.
void persistent_cluster_node_away(struct persistent_cluster *k, size_t node)
{
	if (k->draining)
		persistent_cluster_node_lost(k, node);
}

void persistent_cluster_client_gone(struct persistent_cluster *k, struct conn *client)
{
	struct job *job = find_job(k, client);
	if (k->waiter == client)
		k->waiter = NULL; // the cluster goes on changing
	if (job)
		clean_up_job(k, job);
}

// The job's controller reads from the value why it is stopped.
void persistent_cluster_drain(struct persistent_cluster *k)
{
	k->draining = true;
	for (struct job *job = k->jobs; job; job = job->next)
		if (proc_alive(job->pid, job->started))
			interrupt_send_cluster_down(job->pid);
	for (size_t i = 0; i < k->membership->nnodes; i++)
		if (!server_connected(k->server, i))
			persistent_cluster_node_away(k, i);
	check_drained(k);
}

// --- the nodes --------------------------------------------------------------------

// Writes the plan for another number of nodes and makes it the present one.
static int change_plan(struct persistent_cluster *k, size_t nodes, struct error *err)
{
	size_t before = k->membership->nnodes;
	autojson json_t *plan = plan_resize(k->options.plan, nodes);
	autofree char *text = json_dumps(plan, JSON_INDENT(1) | JSON_REAL_PRECISION(16));
	autofree char *path = run_path(k->options.run, "plan.json");
	if (fs_write(path, text, strlen(text), 0644, err) < 0)
		return -1;
	autojson json_t *old = k->plan;
	k->options.plan = k->plan = json_incref(plan);
	record(k, event_make("resize", "s:i, s:i", "from", (int)before, "nodes", (int)nodes));
	k->options.ops->resize(plan, nodes, k->options.data);
	return 0;
}

// Those that were not wanted any more have left: now what is missing of the others is made.
static void go_on(struct persistent_cluster *k)
{
	struct error err = {0};
	k->leaving = false;
	loop_timer_cancel(k->late);
	if (k->target != k->membership->nnodes && change_plan(k, k->target, &err) < 0)
		answer_waiter(k, err.text);
	else
		dispatch(k, HAPPENS_RESIZE);
}

static bool extra_are_there(const struct persistent_cluster *k)
{
	for (size_t i = k->target; i < k->membership->nnodes; i++)
		if (server_connected(k->server, i))
			return true;
	return false;
}

static void on_late(void *data)
{
	struct persistent_cluster *k = data;
	record(k, event_make("warn", "s:s", "why", "a removed node did not leave in time"));
	go_on(k);
}

static void resize(struct persistent_cluster *k, struct conn *client, const json_t *msg)
{
	json_int_t wanted = json_integer_value(json_object_get(msg, "nodes"));
	size_t nodes = wanted ? (size_t)wanted : k->membership->nnodes; // 0: as many as there are to be
	autofree char *why = NULL;
	if (wanted < 0 || nodes > plan_room(k->options.plan))
		why = mem_printf("found %lld nodes, expected 1 to %zu%s", (long long)wanted, plan_room(k->options.plan),
			plan_names_hosts(k->options.plan) ? ", the number of hosts in its file" : "");
	else if (!is_up(k) || k->draining)
		why = mem_strdup("the cluster is not up");
	else if (wanted == 0 && !k->waiter && (k->resizing || is_busy(k))) {
		k->waiter = client; // what goes on is just that
		return;
	} else if (k->resizing || is_busy(k))
		why = mem_strdup("the nodes of the cluster are being changed");
	for (struct job *job = k->jobs; job && !why; job = job->next)
		if (job->nodes > nodes)
			why = mem_printf("run %s uses %zu nodes; wait for it or cancel it", job->run, job->nodes);
	if (why) {
		refuse(client, "resize", why);
		return;
	}
	k->waiter = client;
	k->target = nodes;
	k->resizing = k->leaving = true;
	for (size_t i = nodes; i < k->membership->nnodes; i++)
		k->options.ops->send_bye(i, k->options.data);
	loop_timer_set(k->late, leave_within);
	persistent_cluster_check(k);
}

void persistent_cluster_check(struct persistent_cluster *k)
{
	if (!is_up(k))
		return;
	if (k->leaving) {
		if (!extra_are_there(k))
			go_on(k);
	} else if (!is_busy(k) && membership_all_hello(k->membership) &&
		   server_count_connected(k->server) == k->membership->nnodes)
		dispatch(k, HAPPENS_ALL_UP);
}

void persistent_cluster_failed(struct persistent_cluster *k, const char *why)
{
	answer_waiter(k, why);
}

void persistent_cluster_ready(struct persistent_cluster *k)
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
		refuse(client, "unknown", "unknown request");
}

void persistent_cluster_start(struct persistent_cluster *k, struct loop *loop)
{
	k->touch = loop_timer_new(loop, on_touch, k);
	k->late = loop_timer_new(loop, on_late, k);
	loop_timer_set(k->touch, touch_every);
}

void persistent_cluster_stop(struct persistent_cluster *k)
{
	loop_timer_free(steal(k->touch));
	loop_timer_free(steal(k->late));
}
