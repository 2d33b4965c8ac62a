#include "exec/attached.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/thread.h"
#include "exec/require_machines.h"
#include "exec/tunnel.h"
#include "job/plan.h"
#include "run/clusters.h"
#include "wire/client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

// A thread of its own has the line to the cluster's controller: the tunnels ask it for streams, and each stream is a
// `muster-agent bridge` run on a node through that one line. It says there which job this is, and the cluster knows
// that the job is over when the line closes.

enum { CHUNK = 16 * 1024 };
static const double redial_after = 0.2, leave_within = 5, reap_within = 20, farewell_within = 1;

struct attachment;

// A bridge on a node, or (fd -1) the command that removes what a job left there.
struct stream {
	struct stream *next, **at; // at: what points to it
	struct attachment *attachment;
	size_t node;
	struct loop_watch *watch; // our end of the pair
	struct client_command *command;
	struct str out; // from the node, not yet written
	bool paused, reaps;
};

// What the tunnels' thread asks for.
struct wish {
	size_t node;
	int fd;
	bool reaps;
};

enum answer { NO_ANSWER, GRANTED, REFUSED };

struct attachment {
	const char *label;
	struct run *cluster;
	struct tunnels *tunnels;
	size_t count;
	pthread_t thread;
	bool started;
	// The thread's own.
	struct loop *loop;
	struct client *client;
	bool welcome, leaving;
	struct loop_timer *redial;
	struct loop_watch *wake;
	struct stream *streams;
	json_t *request;
	// Of both.
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int signal;
	struct wish *wishes;
	size_t nwishes;
	bool stopping;
	enum answer answer;
	json_t *nodes; // what the cluster said of them
	char *why;
	bool *dirty; // by node: an agent was started and has not been seen to end well
	size_t reaping;
};

// --- streams ------------------------------------------------------------------

static void stream_free(struct stream *s)
{
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	client_drop(s->command);
	loop_unwatch(s->watch);
	str_fini(&s->out);
	free(s);
}

// To the tunnels; what they have taken the node may send more of. False when they do not want any more.
static bool flush(struct stream *s)
{
	size_t done = 0;
	while (done < s->out.len) {
		ssize_t n = send(
			loop_watch_fd(s->watch), s->out.text + done, s->out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			loop_watch_writable(s->watch);
			break;
		}
		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	if (done && s->command)
		client_taken(s->command, done);
	s->out.len -= done;
	if (s->out.len)
		memmove(s->out.text, s->out.text + done, s->out.len);
	return true;
}

static void on_bytes(bool error, const void *bytes, size_t len, void *data)
{
	struct stream *s = data;
	if (error || s->reaps) {
		client_taken(s->command, len);
		return;
	}
	str_add(&s->out, bytes, len);
	if (!flush(s))
		stream_free(s);
}

// From the tunnels, as long as there is room. True at the end.
static bool pump(struct stream *s, bool all)
{
	char bytes[CHUNK];
	while (all || client_room(s->command)) {
		ssize_t n = read(loop_watch_fd(s->watch), bytes, sizeof bytes);
		if (n <= 0)
			return n == 0 || (errno != EAGAIN && errno != EINTR);
		client_write(s->command, bytes, (size_t)n);
	}
	s->paused = true;
	loop_watch_pause(s->watch, true);
	return false;
}

static void on_room(void *data)
{
	struct stream *s = data;
	if (!s->paused || !s->watch)
		return;
	s->paused = false;
	loop_watch_pause(s->watch, false);
}

static void set_dirty(struct attachment *a, size_t node, bool dirty)
{
	pthread_mutex_lock(&a->lock);
	a->dirty[node] = dirty;
	pthread_mutex_unlock(&a->lock);
}

// Status 0 of a bridge: the agent has ended and nothing of it is there.
static void on_end(int status, const char *why, void *data)
{
	struct stream *s = data;
	struct attachment *a = s->attachment;
	s->command = NULL;
	if (status == 0)
		set_dirty(a, s->node, false);
	if (s->reaps) {
		pthread_mutex_lock(&a->lock);
		a->reaping--;
		pthread_cond_broadcast(&a->changed);
		pthread_mutex_unlock(&a->lock);
	} else
		flush(s);
	stream_free(s);
}

static const struct client_command_ops command_ops = {on_bytes, on_room, on_end};

static void on_pair(enum loop_event event, void *data)
{
	struct stream *s = data;
	if (event == LOOP_WRITABLE ? flush(s) : !pump(s, event == LOOP_CLOSED))
		return;
	if (event == LOOP_CLOSED)
		s->watch = NULL;
	stream_free(s);
}

static void grant(struct attachment *a, const struct wish *wish)
{
	autojson json_t *argv = wish->reaps ? mem_json("[s, s, s]", "muster-agent", "tidy", a->label)
					    : mem_json("[s, s]", "muster-agent", "bridge");
	struct client_what what = {.node = wish->node, .argv = argv, .agent = true};
	struct stream *s = mem_alloc(sizeof *s);
	*s = (struct stream){
		.next = a->streams, .at = &a->streams, .attachment = a, .node = wish->node, .reaps = wish->reaps};
	if (s->next)
		s->next->at = &s->next;
	a->streams = s;
	if (!wish->reaps)
		s->watch = loop_watch(a->loop, wish->fd, on_pair, s);
	set_dirty(a, wish->node, true);
	s->command = client_run(a->client, &what, &command_ops, s);
	if (wish->reaps)
		client_end_input(s->command);
}

// --- the line to the cluster ----------------------------------------------------

static void refuse(struct attachment *a, enum answer answer, const char *why)
{
	pthread_mutex_lock(&a->lock);
	if (a->answer == NO_ANSWER) {
		a->answer = answer;
		a->why = mem_strdup(why);
		pthread_cond_broadcast(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
}

static void on_welcome(void *data)
{
	struct attachment *a = data;
	client_request(a->client, a->request);
}

static void on_answer(const json_t *msg, void *data)
{
	struct attachment *a = data;
	const char *why = json_string_value(json_object_get(msg, "error"));
	if (a->leaving) {
		loop_stop(a->loop);
		return;
	}
	if (why) {
		refuse(a, REFUSED, why);
		if (!a->welcome)
			loop_timer_set(
				a->redial, redial_after); // a controller that has just taken over may have no nodes yet
		return;
	}
	a->welcome = true;
	pthread_mutex_lock(&a->lock);
	if (a->answer == NO_ANSWER) {
		a->answer = GRANTED;
		a->nodes = json_deep_copy(json_object_get(msg, "nodes"));
		pthread_cond_broadcast(&a->changed);
	}
	pthread_mutex_unlock(&a->lock);
}

static void on_close(const char *why, void *data)
{
	struct attachment *a = data;
	a->welcome = false;
	client_free(steal(a->client));
	refuse(a, REFUSED, why);
	loop_timer_set(a->redial, redial_after);
}

static const struct client_ops client_ops = {on_welcome, on_answer, on_close};

// The controller may have been killed and another one taken over since.
static void on_redial(void *data)
{
	struct attachment *a = data;
	struct error err = {0};
	autojson json_t *control = NULL;
	if (a->leaving) {
		loop_stop(a->loop);
		return;
	}
	if (a->client)
		client_request(a->client, a->request);
	else if (!run_alive(a->cluster, &control))
		error_set(&err, ERROR_SYSTEM, "the controller of the cluster was killed");
	else
		a->client = client_dial(a->loop, control, &client_ops, a, &err);
	if (a->client)
		return;
	refuse(a, REFUSED, err.text);
	loop_timer_set(a->redial, redial_after);
}

// A line that closes without this word is that of a controller that was killed: then the cluster removes what the job
// left.
static void say_farewell(struct attachment *a)
{
	a->leaving = true;
	autojson json_t *msg = mem_json("{s:s, s:b}", "msg", "job", "done", 1);
	if (a->welcome)
		client_request(a->client, msg);
	loop_timer_set(a->redial, a->welcome ? farewell_within : 0);
}

static void on_wake(enum loop_event event, void *data)
{
	struct attachment *a = data;
	eventfd_t count;
	eventfd_read(a->signal, &count);
	pthread_mutex_lock(&a->lock);
	struct wish *wishes = steal(a->wishes);
	size_t n = a->nwishes;
	bool stopping = a->stopping;
	a->nwishes = 0;
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < n; i++)
		if (a->welcome)
			grant(a, &wishes[i]);
		else if (wishes[i].fd >= 0)
			close(wishes[i].fd); // the tunnel tries again
	free(wishes);
	if (stopping)
		say_farewell(a);
}

static void *run(void *data)
{
	struct attachment *a = data;
	on_redial(a);
	loop_run(a->loop);
	while (a->streams)
		stream_free(a->streams);
	loop_timer_free(a->redial);
	client_free(steal(a->client));
	return NULL;
}

static void wish(struct attachment *a, size_t node, int fd, bool reaps)
{
	pthread_mutex_lock(&a->lock);
	a->wishes = mem_resize(a->wishes, (a->nwishes + 1) * sizeof *a->wishes);
	a->wishes[a->nwishes++] = (struct wish){node, fd, reaps};
	pthread_mutex_unlock(&a->lock);
	eventfd_write(a->signal, 1);
}

static int open_stream(size_t node, void *data, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return error_errno(err, "cannot make a pair of sockets");
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	wish(data, node, ends[0], false);
	return ends[1];
}

static const struct tunnel_ops tunnel_ops = {.open = open_stream};

// --- up -------------------------------------------------------------------------

static int attachment_check(const json_t *plan, struct error *err)
{
	const char *name = plan_cluster(plan);
	if (!name)
		return error_set(err, ERROR_USAGE, "a job runs on a persistent cluster by `muster run --on NAME`");
	struct run *cluster = clusters_open(name, err);
	autojson json_t *there = cluster ? clusters_plan(cluster, err) : NULL;
	run_free(cluster);
	if (!there)
		return -1;
	const struct executor_traits *executor = executor_traits_find(plan_executor(there), err);
	if (!executor)
		return -1;
	bool sees = executor->sees_controller_files && !executor->nodes_are_containers; // it mounts what its file names
	if (!sees && require_machines_no_live_inputs(plan, executor->name, err) < 0)
		return -1;
	if (plan_has_container(plan) && executor->nodes_are_containers)
		return error_set(err, ERROR_USAGE,
			"found 'run.container', but the nodes of the cluster '%s' are containers: its image is "
			"'cluster.image' of its file",
			name);
	for (size_t i = 0; i < plan_nodes(plan); i++) {
		struct plan_node node = plan_node(plan, i), has = plan_node(there, i);
		const struct limit {
			const char *name;
			double wanted, given;
		} limits[] = {{"cpus", node.cpus, has.cpus}, {"memory", (double)node.memory, (double)has.memory}};
		for (size_t k = 0; k < countof(limits); k++)
			if (limits[k].wanted > 0 && (limits[k].given <= 0 || limits[k].given > limits[k].wanted))
				return error_set(err, ERROR_USAGE,
					"the job limits `%s` of node %zu to %g, but the cluster '%s' does not: "
					"limits are set when it is brought up",
					limits[k].name, i, limits[k].wanted, name);
	}
	return 0;
}

static void attachment_free(struct attachment *a)
{
	if (a->loop)
		loop_free(a->loop);
	else
		mem_cleanup_fd(&a->signal);
	for (size_t i = 0; i < a->nwishes; i++)
		mem_cleanup_fd(&a->wishes[i].fd);
	free(a->wishes);
	run_free(a->cluster);
	json_decref(a->request);
	json_decref(a->nodes);
	free(a->why);
	free(a->dirty);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->changed);
	free(a);
}

static struct attachment *attachment_new(const struct cluster *c, struct error *err)
{
	struct attachment *a = mem_alloc(sizeof *a);
	*a = (struct attachment){.label = c->label, .count = plan_nodes(c->plan), .signal = -1};
	thread_cond_init(&a->changed);
	pthread_mutex_init(&a->lock, NULL);
	a->dirty = mem_alloc((a->count + 1) * sizeof *a->dirty);
	a->request = mem_json("{s:s, s:s, s:s, s:i, s:I, s:i, s:b}", "msg", "job", "run", c->label, "run_dir",
		c->run_dir ? c->run_dir : "", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()),
		"nodes", (int)a->count, "share", plan_shares(c->plan));
	a->cluster = clusters_open(plan_cluster(c->plan), err);
	a->loop = a->cluster ? loop_new(0, err) : NULL;
	if (a->loop && (a->signal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		error_errno(err, "cannot make an event descriptor");
	if (a->signal < 0) {
		attachment_free(a);
		return NULL;
	}
	a->wake = loop_watch(a->loop, a->signal, on_wake, a);
	a->redial = loop_timer_new(a->loop, on_redial, a);
	return a;
}

// Until done says so; false when the time is over or *cancelled. Called and returns with the lock held.
static bool wait_until(
	struct attachment *a, bool (*done)(const struct attachment *a), double seconds, const atomic_bool *cancelled)
{
	double end = clock_mono() + seconds;
	while (!done(a) && clock_mono() < end && !(cancelled && *cancelled))
		thread_cond_wait(&a->changed, &a->lock, 0.1);
	return done(a);
}

static bool has_answer(const struct attachment *a)
{
	return a->answer != NO_ANSWER;
}

static bool has_reaped(const struct attachment *a)
{
	return a->reaping == 0;
}

static int start_thread(struct attachment *a, struct error *err)
{
	int failed = thread_start(&a->thread, NULL, run, a);
	if (failed)
		return error_set(err, ERROR_SYSTEM, "cannot start a thread: %s", strerror(failed));
	a->started = true;
	return 0;
}

static int join_cluster(struct attachment *a, const struct cluster *c, struct error *err)
{
	if (start_thread(a, err) < 0)
		return -1;
	pthread_mutex_lock(&a->lock);
	wait_until(a, has_answer, plan_deadline(c->plan), c->cancelled);
	int rc = 0;
	if (a->answer == REFUSED)
		rc = error_set(err, ERROR_SYSTEM, "cluster '%s': %s", plan_cluster(c->plan), a->why);
	else if (a->answer == NO_ANSWER)
		rc = error_set(
			err, ERROR_SYSTEM, "cluster '%s': its controller does not answer", plan_cluster(c->plan));
	pthread_mutex_unlock(&a->lock);
	return rc;
}

static json_t *config_of(const struct attachment *a, const struct cluster *c, size_t node)
{
	const json_t *there = json_array_get(a->nodes, node);
	autofree char *token = c->token(c, node);
	json_t *config = mem_json("{s:s, s:i, s:i, s:s, s:s, s:O, s:O}", "run", c->label, "node", (int)node, "nodes",
		(int)a->count, "token", token, "fingerprint", c->fingerprint, "address",
		json_object_get(there, "address"), "name", json_object_get(there, "name"));
	plan_add_lease(c->plan, config);
	json_object_set(config, "cgroups", json_object_get(there, "cgroups"));
	json_object_set(config, "hosts", json_object_get(there, "hosts"));
	// The job's directory is in that of the cluster's node.
	json_object_set_new(config, "kept_until", json_string("until the cluster is taken down"));
	return config;
}

static int open_tunnels(struct attachment *a, const struct cluster *c, struct error *err)
{
	struct tunnel_options options = {
		.url = c->url, .count = a->count, .at_once = a->count, .ops = &tunnel_ops, .data = a};
	a->tunnels = tunnel_start(&options, err);
	if (!a->tunnels)
		return -1;
	for (size_t i = 0; i < a->count; i++)
		tunnel_open(a->tunnels, i, config_of(a, c, i));
	size_t node;
	if (tunnel_wait(a->tunnels, plan_deadline(c->plan), c->cancelled, &node, err) == 0)
		return 0;
	return node < a->count ? error_wrap(err, "node %zu", node) : -1;
}

static int attachment_up(struct cluster *c, struct error *err)
{
	if (c->state)
		return 0; // its tunnels open themselves again
	struct attachment *a = attachment_new(c, err);
	if (!a)
		return -1;
	c->state = a;
	return join_cluster(a, c, err) < 0 ? -1 : open_tunnels(a, c, err);
}

// --- down and left ----------------------------------------------------------------

// Where an agent was not seen to end by itself, what carries the label is removed by force.
static void reap(struct attachment *a)
{
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < a->count; i++)
		a->reaping += a->dirty[i];
	size_t wanted = a->reaping;
	bool *dirty = mem_alloc((a->count + 1) * sizeof *dirty);
	memcpy(dirty, a->dirty, a->count * sizeof *dirty);
	pthread_mutex_unlock(&a->lock);
	for (size_t i = 0; i < a->count; i++)
		if (dirty[i])
			wish(a, i, -1, true);
	free(dirty);
	pthread_mutex_lock(&a->lock);
	if (wanted)
		wait_until(a, has_reaped, reap_within, NULL);
	pthread_mutex_unlock(&a->lock);
}

static void stop_thread(struct attachment *a)
{
	pthread_mutex_lock(&a->lock);
	a->stopping = true;
	pthread_mutex_unlock(&a->lock);
	eventfd_write(a->signal, 1);
	pthread_join(a->thread, NULL);
}

static int attachment_down(struct cluster *c, struct error *err)
{
	struct attachment *a = c->state;
	if (!a)
		return 0; // the nodes' own lease ends what a killed controller leaves there
	tunnel_stop(steal(a->tunnels), leave_within);
	size_t left = 0, first = 0;
	if (a->started) {
		reap(a);
		stop_thread(a);
	}
	for (size_t i = a->count; i-- > 0;)
		if (a->dirty[i]) {
			left++;
			first = i;
		}
	c->state = NULL;
	attachment_free(a);
	if (!left)
		return 0;
	return error_set(err, ERROR_SYSTEM,
		"cannot remove what the job left on %zu nodes of the cluster (first: node %zu); the job's "
		"agents end when their lease expires",
		left, first);
}

static int attachment_left(struct cluster *c, json_t *found, struct error *err)
{
	return 0; // on the nodes of a cluster, which answers for them: see attachment_down
}

const struct executor executor_attached = {
	.traits = &executor_traits_attached,
	.check = attachment_check,
	.address = executor_loopback,
	.up = attachment_up,
	.down = attachment_down,
	.left = attachment_left,
};
