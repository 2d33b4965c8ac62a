#include "controller/controller.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "controller/roster.h"
#include "controller/server.h"
#include "controller/state.h"
#include "controller/worker.h"
#include "job/plan.h"
#include "run/report.h"
#include "wire/event.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

// Nodes that leave are waited for as long as bytes come from them; this is how long silence may last.
static const double silence_max = 20;
// A node that dialled off and whose process is dead gets no lease.
static const double look_again = 0.2;
// A log of strangers that somebody sends on purpose must not fill the disk.
enum { REFUSED_MAX = 1000 };

struct controller {
	const struct controller_options *options;
	const json_t *plan;
	struct run *run;
	struct loop *loop;
	struct server *server;
	struct roster roster;
	struct worker *worker;
	struct cluster cluster;
	volatile int cancelled; // seen by the executor's thread
	char *secret, *nonce, *machine;
	enum state state;
	size_t attempt;
	int cancels;
	double started;
	struct conn_message *peers; // sent before each launch
	json_t *began; // by name of a phase: when it began
	json_t *open;  // the phases that go on now
	size_t refused;
	struct loop_timer *deadline, *timeout, *silence, *watch;
	struct loop_watch *signals, *leash;
	double *away_since; // by node; 0: it is not away
	bool up_done, down_wanted;
	// The outcome, set once.
	const char *outcome, *stop_why;
	char *why;
	int exit;
	bool broken; // the run directory cannot be written
};

static void happen(struct controller *c, enum happening happening, const char *why);

// --- the record -----------------------------------------------------------------

static void decide(struct controller *c, const char *outcome, int exit, const char *why)
{
	if (c->outcome)
		return;
	c->outcome = outcome;
	c->exit = exit;
	c->why = why ? mem_strdup(why) : NULL;
}

// What went wrong after all ranks had ended well.
static void spoil(struct controller *c, const char *outcome, int exit, const char *why)
{
	if (c->outcome && strcmp(c->outcome, "ok") == 0)
		c->outcome = NULL;
	decide(c, outcome, exit, why);
}

static void on_trouble(const char *why, void *data)
{
	struct controller *c = data;
	if (c->broken)
		return;
	c->broken = true;
	spoil(c, "failed", ERROR_SYSTEM, why);
	happen(c, HAPPENS_FAIL, why);
}

static void say(struct controller *c, json_t *event)
{
	struct error err = {0};
	if (run_event(c->run, event, &err) < 0)
		on_trouble(err.text, c);
	json_decref(event);
}

static double since(const struct controller *c, const char *name)
{
	return clock_mono() - json_number_value(json_object_get(c->began, name));
}

static void say_phase_end(struct controller *c, const char *name)
{
	if (json_object_del(c->open, name) == 0)
		say(c, event_make("phase", "s:s, s:s, s:f", "name", name, "edge", "end", "seconds", since(c, name)));
}

static void say_phase_begin(struct controller *c, const char *name)
{
	json_object_set_new(c->began, name, json_real(clock_mono()));
	json_object_set_new(c->open, name, json_true());
	say(c, event_make("phase", "s:s, s:s", "name", name, "edge", "begin"));
}

static void end_phases(struct controller *c)
{
	for (void *i; (i = json_object_iter(c->open));) {
		autofree char *name = mem_strdup(json_object_iter_key(i));
		say_phase_end(c, name);
	}
}

// --- what the table asks for ------------------------------------------------------

static void check_gone(struct controller *c);

static void on_worker_up(int result, const struct error *err, void *data)
{
	struct controller *c = data;
	c->up_done = true;
	if (result < 0 && !c->down_wanted) {
		decide(c, "failed", ERROR_SYSTEM, err->text);
		say(c, event_make("fail", "s:s, s:s", "phase", "bring-up", "why", err->text));
		happen(c, HAPPENS_FAIL, err->text);
	}
	check_gone(c); // when it was cancelled nobody else will ask again
}

static void act_up(struct controller *c)
{
	say_phase_begin(c, "bring-up");
	say(c, event_make("intent", "s:s, s:s", "label", c->run->id, "executor", c->options->executor->name));
	loop_timer_set(c->deadline, plan_seconds(c->plan, "deadline"));
	worker_start(c->worker, c->options->executor->up, &c->cluster, on_worker_up, c);
}

// Who the nodes are, which is the same for all of them.
static struct conn_message *peers_of(struct controller *c)
{
	json_t *peers = json_array();
	for (size_t i = 0; i < c->roster.nnodes; i++) {
		const json_t *h = c->roster.nodes[i].said;
		json_array_append_new(peers, mem_json("{s:i, s:O, s:O, s:O}", "node", (int)i, "name", json_object_get(h, "name"), "address",
			json_object_get(h, "address"), "port", json_object_get(h, "port")));
	}
	autojson json_t *msg = mem_json("{s:s, s:o}", "msg", "peers", "peers", peers);
	return conn_message_new(msg);
}

static void send_launch(struct controller *c, size_t node)
{
	autojson json_t *slice = plan_slice(c->plan, node);
	json_object_del(slice, "nodes"); // as long as the run is wide, and of no use to one of them
	autojson json_t *msg = mem_json("{s:s, s:i, s:O, s:s, s:b, s:s}", "msg", "launch", "attempt", (int)c->attempt, "plan", slice, "nonce",
		c->nonce, "preflight_only", c->options->preflight_only, "why", c->stop_why ? c->stop_why : "");
	server_send_message(c->server, node, c->peers);
	server_send(c->server, node, msg);
}

static void act_launch(struct controller *c)
{
	loop_timer_cancel(c->deadline);
	loop_timer_cancel(c->timeout);
	c->attempt++;
	end_phases(c);
	roster_start_attempt(&c->roster);
	conn_message_free(c->peers);
	c->peers = peers_of(c);
	for (size_t i = 0; i < c->roster.nnodes; i++)
		send_launch(c, i);
	c->stop_why = NULL;
}

static void send_bye(struct controller *c, size_t node)
{
	const char *why = c->stop_why ? c->stop_why : "";
	autojson json_t *msg = mem_json("{s:s, s:s, s:f}", "msg", "bye", "why", why, "grace", plan_seconds(c->plan, "grace"));
	server_send(c->server, node, msg);
}

static void check_gone(struct controller *c)
{
	if (c->state == STATE_STOPPING && !c->down_wanted && c->up_done && roster_all_gone(&c->roster) && server_count_connected(c->server) == 0)
		happen(c, HAPPENS_ALL_LEFT, NULL);
}

static void act_stop(struct controller *c)
{
	loop_timer_cancel(c->deadline);
	loop_timer_cancel(c->timeout);
	c->cancelled = 1;
	for (size_t i = 0; i < c->roster.nnodes; i++)
		send_bye(c, i);
	loop_timer_set(c->silence, plan_seconds(c->plan, "grace") + silence_max);
	check_gone(c);
}

static void on_worker_down(int result, const struct error *err, void *data)
{
	struct controller *c = data;
	if (result < 0)
		say(c, event_make("warn", "s:s", "why", err->text));
	happen(c, HAPPENS_GONE, NULL);
}

static void start_down(struct controller *c)
{
	end_phases(c);
	say_phase_begin(c, "teardown");
	worker_start(c->worker, c->options->executor->down, &c->cluster, on_worker_down, c);
}

// Up may still be at work: it is told to give up, and down follows it.
static void on_up_over(int result, const struct error *err, void *data)
{
	start_down(data);
}

static void act_down(struct controller *c)
{
	if (c->down_wanted)
		return;
	c->down_wanted = true;
	c->cancelled = 1;
	loop_timer_cancel(c->silence);
	autojson json_t *msg = mem_json("{s:s, s:b}", "msg", "bye", "now", 1);
	server_send_all(c->server, msg);
	if (worker_is_busy(c->worker))
		worker_then(c->worker, on_up_over);
	else
		start_down(c);
}

static void act_receipt(struct controller *c)
{
	struct error err = {0};
	autojson json_t *left = json_array();
	if (c->options->executor->left(&c->cluster, left, &err) < 0)
		say(c, event_make("warn", "s:s", "why", err.text));
	say_phase_end(c, "teardown");
	say(c, event_make("receipt", "s:O, s:f", "left", left, "seconds", since(c, "teardown")));
	if (json_array_size(left) && c->outcome && strcmp(c->outcome, "ok") == 0) {
		c->exit = ERROR_SYSTEM;
		c->outcome = "failed";
		c->why = mem_strdup("something was left behind; see the receipt");
	}
	loop_stop(c->loop);
}

static void (*const actions[])(struct controller *c) = {
	[ACTION_UP] = act_up,
	[ACTION_LAUNCH] = act_launch,
	[ACTION_STOP] = act_stop,
	[ACTION_DOWN] = act_down,
	[ACTION_RECEIPT] = act_receipt,
};

static void happen(struct controller *c, enum happening happening, const char *why)
{
	const struct transition *t = state_find(c->state, happening);
	if (!t)
		return;
	enum state before = c->state;
	c->state = t->next;
	if (t->next != before)
		say(c, event_make("state", "s:s, s:s, s:s?", "from", state_name(before), "to", state_name(t->next), "why", why));
	if (actions[t->action])
		actions[t->action](c);
}

// --- failures ---------------------------------------------------------------------

static void fail_run(struct controller *c, const char *outcome, int exit, const char *why)
{
	decide(c, outcome, exit, why);
	happen(c, HAPPENS_FAIL, why);
}

// The ranks failed: they may be started again. What came before them (inputs, setup) is not tried twice.
static void fail_attempt(struct controller *c, const char *why)
{
	if (c->state != STATE_RUNNING || c->attempt > (size_t)plan_seconds(c->plan, "retries") || c->options->preflight_only) {
		fail_run(c, "failed", ERROR_JOB, why);
		return;
	}
	say(c, event_make("retry", "s:i, s:s", "attempt", (int)c->attempt + 1, "why", why));
	happen(c, HAPPENS_AGAIN, why);
}

static void lose_node(struct controller *c, size_t node, const char *why)
{
	struct roster_node *n = &c->roster.nodes[node];
	if (n->gone)
		return;
	n->gone = true;
	c->away_since[node] = 0;
	autofree char *text = mem_printf("node %zu is lost: %s", node, why);
	say(c, event_make("lost", "s:i, s:s", "node", (int)node, "why", why));
	spoil(c, "lost", ERROR_SYSTEM, text);
	happen(c, HAPPENS_FAIL, text);
	check_gone(c);
}

static void on_deadline(void *data)
{
	struct controller *c = data;
	size_t first = 0, missing = roster_missing(&c->roster, &first);
	autofree char *why = mem_printf("%zu of %zu nodes did not say hello within %g s; the first is node %zu", missing, c->roster.nnodes,
		plan_seconds(c->plan, "deadline"), first);
	say(c, event_make("fail", "s:s, s:s, s:i", "phase", "bring-up", "why", why, "node", (int)first));
	fail_run(c, "failed", ERROR_SYSTEM, why);
}

static void on_timeout(void *data)
{
	struct controller *c = data;
	autofree char *why = mem_printf("timeout: the ranks ran longer than %g s", plan_seconds(c->plan, "timeout"));
	say(c, event_make("fail", "s:s, s:s", "phase", "run", "why", why));
	c->stop_why = "timeout";
	fail_attempt(c, why);
}

static void on_silence(void *data)
{
	struct controller *c = data;
	static const char why[] = "a node did not leave in time; what it had not sent yet is lost";
	say(c, event_make("warn", "s:s", "why", why));
	spoil(c, "lost", ERROR_SYSTEM, why);
	happen(c, HAPPENS_ALL_LEFT, NULL);
}

// Nodes that are away: lost when their lease is over, or at once when their process can be seen to be dead.
static void on_watch(void *data)
{
	struct controller *c = data;
	bool some = false;
	for (size_t i = 0; i < c->roster.nnodes; i++) {
		if (c->away_since[i] == 0)
			continue;
		const json_t *said = c->roster.nodes[i].said, *facts = json_object_get(said, "facts");
		const char *machine = json_string_value(json_object_get(said, "machine"));
		pid_t pid = (pid_t)json_integer_value(json_object_get(facts, "pid"));
		unsigned long long started = (unsigned long long)json_integer_value(json_object_get(facts, "started"));
		if (c->machine && machine && strcmp(machine, c->machine) == 0 && !proc_alive(pid, started))
			lose_node(c, i, "its agent was killed");
		else if (clock_mono() - c->away_since[i] > plan_seconds(c->plan, "lease"))
			lose_node(c, i, "its agent could not be reached any more");
		else
			some = true;
	}
	if (some)
		loop_timer_set(c->watch, look_again);
}

// --- what nodes say -----------------------------------------------------------------

static void on_hello(size_t node, json_t *hello, bool again, void *data)
{
	struct controller *c = data;
	struct roster_node *n = &c->roster.nodes[node];
	if (again)
		say(c, event_make("back", "s:i, s:f", "node", (int)node, "seconds", c->away_since[node] ? clock_mono() - c->away_since[node] : 0.0));
	else
		say(c, event_make("hello", "s:i, s:O, s:O, s:O, s:O, s:f", "node", (int)node, "name", json_object_get(hello, "name"), "address",
			json_object_get(hello, "address"), "machine", json_object_get(hello, "machine"), "facts", json_object_get(hello, "facts"),
			"seconds", since(c, "bring-up")));
	c->away_since[node] = 0;
	json_decref(n->said);
	n->said = json_incref(hello);
	n->hello = true;
	n->away = false;
	if (c->state == STATE_STARTING && roster_all_hello(&c->roster))
		happen(c, HAPPENS_ALL_HELLO, NULL);
	else if (c->state == STATE_RUNNING && (size_t)json_integer_value(json_object_get(hello, "attempt")) < c->attempt)
		send_launch(c, node);
	else if (c->state == STATE_STOPPING)
		send_bye(c, node);
}

static const char *signal_text(int sig)
{
	const char *name = sigabbrev_np(sig);
	return name ? name : "unknown";
}

// Of an attempt that is over.
static bool is_stale(const struct controller *c, const json_t *event)
{
	return (size_t)json_integer_value(json_object_get(event, "attempt")) != c->attempt;
}

static void on_rank_exit(struct controller *c, const json_t *event)
{
	size_t rank = (size_t)json_integer_value(json_object_get(event, "rank"));
	if (rank >= c->roster.nranks)
		return;
	struct roster_rank *r = &c->roster.ranks[rank];
	const json_t *status = json_object_get(event, "status"), *sig = json_object_get(event, "signal");
	r->state = RANK_ENDED;
	r->status = json_is_integer(status) ? (int)json_integer_value(status) : -1;
	r->signal = (int)json_integer_value(sig);
	if (c->state != STATE_RUNNING)
		return;
	if (r->status == 0) {
		if (roster_all_done(&c->roster)) {
			decide(c, "ok", 0, NULL);
			happen(c, HAPPENS_ALL_DONE, NULL);
		}
		return;
	}
	autofree char *how = r->signal ? mem_printf("was killed by signal %d (SIG%s)", r->signal, signal_text(r->signal))
				       : mem_printf("exited with status %d", r->status);
	const char *more = json_string_value(json_object_get(event, "why"));
	autofree char *why = mem_printf("rank %zu on node %zu %s%s%s", rank, r->node, how, more ? ": " : "", more ? more : "");
	fail_attempt(c, why);
}

static void on_rank_start(struct controller *c, const json_t *event)
{
	size_t rank = (size_t)json_integer_value(json_object_get(event, "rank"));
	if (rank < c->roster.nranks)
		c->roster.ranks[rank].state = RANK_RUNS;
	double timeout = plan_seconds(c->plan, "timeout");
	if (timeout > 0 && rank == 0)
		loop_timer_set(c->timeout, timeout);
}

static void on_node_phase(struct controller *c, size_t node, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "name"));
	const char *edge = json_string_value(json_object_get(event, "edge"));
	if (!name || !edge)
		return;
	bool begins = strcmp(edge, "begin") == 0;
	if (!roster_phase(&c->roster, node, name, begins))
		return;
	if (begins)
		say_phase_begin(c, name);
	else
		say_phase_end(c, name);
}

static void on_node_fail(struct controller *c, size_t node, const json_t *event)
{
	const char *why = json_string_value(json_object_get(event, "why"));
	const json_t *rank = json_object_get(event, "rank");
	if (c->state != STATE_RUNNING)
		return;
	autofree char *who = json_is_integer(rank) ? mem_printf("rank %d on node %zu", (int)json_integer_value(rank), node) : mem_printf("node %zu", node);
	autofree char *text = why && strncmp(why, "node ", 5) == 0 ? mem_strdup(why) : mem_printf("%s: %s", who, why ? why : "unknown");
	const char *phase = json_string_value(json_object_get(event, "phase"));
	if (phase && strcmp(phase, "run") == 0)
		fail_attempt(c, text);
	else
		fail_run(c, "failed", ERROR_JOB, text);
}

static void on_checked(struct controller *c, size_t node)
{
	size_t all = 0;
	if (!c->options->preflight_only)
		return;
	c->roster.nodes[node].phase = (size_t)-1;
	for (size_t i = 0; i < c->roster.nnodes; i++)
		all += c->roster.nodes[i].phase == (size_t)-1;
	if (all < c->roster.nnodes)
		return;
	decide(c, "ok", 0, NULL);
	happen(c, HAPPENS_ALL_DONE, NULL);
}

static void on_event(size_t node, json_t *event, const char *line, size_t len, void *data)
{
	struct controller *c = data;
	struct error err = {0};
	if (run_line(c->run, event_is_metric(event), line, len, &err) < 0)
		on_trouble(err.text, c);
	if (event_is(event, "left"))
		c->roster.nodes[node].left = true;
	if (event_is_metric(event) || is_stale(c, event))
		return;
	if (event_is(event, "phase"))
		on_node_phase(c, node, event);
	else if (event_is(event, "start"))
		on_rank_start(c, event);
	else if (event_is(event, "exit"))
		on_rank_exit(c, event);
	else if (event_is(event, "fail"))
		on_node_fail(c, node, event);
	else if (event_is(event, "checked"))
		on_checked(c, node);
}

static void on_fence(size_t node, const char *name, json_t *brought, void *data)
{
	struct controller *c = data;
	bool open_before = json_object_get(c->roster.fences, name) != NULL;
	const json_t *all = roster_fence(&c->roster, node, name, brought);
	if (!all)
		return;
	autojson json_t *msg = mem_json("{s:s, s:s, s:O}", "msg", "fence", "name", name, "data", all);
	if (open_before || c->roster.nnodes == 1)
		server_send_all(c->server, msg);
	else
		server_send(c->server, node, msg); // it asks again for what the others have had
}

static void on_complete(size_t node, void *data)
{
	struct controller *c = data;
	c->roster.nodes[node].gone = true;
	check_gone(c);
}

static void on_away(size_t node, const char *why, void *data)
{
	struct controller *c = data;
	struct roster_node *n = &c->roster.nodes[node];
	if (n->gone) {
		check_gone(c);
		return;
	}
	n->away = true;
	c->away_since[node] = clock_mono();
	say(c, event_make("warn", "s:i, s:s", "node", (int)node, "why", why));
	loop_timer_set(c->watch, 0.01);
}

static void on_refused(const char *peer, const char *why, void *data)
{
	struct controller *c = data;
	if (c->refused++ < REFUSED_MAX)
		say(c, event_make("refused", "s:s, s:s", "peer", peer, "why", c->refused < REFUSED_MAX ? why : "and more, which are not logged any more"));
}

static void on_activity(void *data)
{
	struct controller *c = data;
	if (c->state == STATE_STOPPING && !c->down_wanted)
		loop_timer_set(c->silence, plan_seconds(c->plan, "grace") + silence_max);
}

static const struct server_ops server_ops = {on_hello, on_event, on_fence, on_complete, on_away, on_refused, on_trouble, on_activity};

// --- life -------------------------------------------------------------------------

static void cancel(struct controller *c, const char *signal, const char *why)
{
	c->cancels++;
	c->cancelled = 1;
	say(c, event_make("signal", "s:s?, s:s", "signal", signal, "why", why));
	decide(c, "cancelled", ERROR_CANCELLED, "cancelled");
	if (c->cancels > 1 && c->state == STATE_STOPPING && !c->down_wanted)
		spoil(c, "cancelled", ERROR_CANCELLED, "cancelled before all outputs were there");
	if (!c->stop_why)
		c->stop_why = "cancelled";
	happen(c, HAPPENS_CANCEL, "cancelled");
	if (c->cancels > 1)
		happen(c, HAPPENS_HURRY, NULL);
}

static void on_signal(enum loop_event event, void *data)
{
	struct controller *c = data;
	struct signalfd_siginfo info;
	while (read(loop_watch_fd(c->signals), &info, sizeof info) == sizeof info)
		cancel(c, signal_text((int)info.ssi_signo), c->cancels ? "cancelled: at once" : "cancelled: stopping gently");
}

static void on_leash(enum loop_event event, void *data)
{
	struct controller *c = data;
	char word;
	bool free_to_go = read(loop_watch_fd(c->leash), &word, 1) == 1;
	if (event != LOOP_CLOSED)
		loop_unwatch(c->leash);
	c->leash = NULL;
	if (!free_to_go && c->cancels == 0)
		cancel(c, NULL, "cancelled: who watched it was killed");
}

static char *make_token(const struct cluster *cluster, size_t node)
{
	const struct controller *c = cluster->token_data;
	autofree char *who = mem_printf("node:%zu", node);
	char *token = mem_alloc(CRYPTO_HEX);
	crypto_token(c->secret, who, token);
	return token;
}

static int write_control(struct controller *c, struct error *err)
{
	char token[CRYPTO_HEX];
	crypto_token(c->secret, "client", token);
	autojson json_t *control = mem_json("{s:i, s:I, s:s, s:s, s:s}", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()), "url",
		server_url(c->server), "fingerprint", server_fingerprint(c->server), "token", token);
	autofree char *text = json_dumps(control, JSON_INDENT(1));
	autofree char *path = run_path(c->run, "control.json");
	return fs_write(path, text, strlen(text), 0600, err);
}

static int watch_signals(struct controller *c, struct error *err)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN); // the terminal may go, the run need not
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return error_errno(err, "cannot watch signals");
	c->signals = loop_watch(c->loop, fd, on_signal, c);
	return 0;
}

static int init(struct controller *c, struct error *err)
{
	c->began = json_object();
	c->open = json_object();
	roster_init(&c->roster, c->plan);
	c->away_since = mem_alloc(c->roster.nnodes * sizeof *c->away_since);
	c->secret = crypto_random_hex(32);
	c->nonce = crypto_random_hex(16);
	c->machine = proc_machine();
	c->loop = loop_new(0, err);
	if (!c->loop || watch_signals(c, err) < 0)
		return -1;
	if (c->options->leash >= 0)
		c->leash = loop_watch(c->loop, c->options->leash, on_leash, c);
	c->deadline = loop_timer_new(c->loop, on_deadline, c);
	c->timeout = loop_timer_new(c->loop, on_timeout, c);
	c->silence = loop_timer_new(c->loop, on_silence, c);
	c->watch = loop_timer_new(c->loop, on_watch, c);
	c->worker = worker_new(c->loop, err);
	struct server_options options = {
		.run = c->run, .plan = c->plan, .address = "127.0.0.1", .secret = c->secret, .ops = &server_ops, .data = c};
	c->server = c->worker ? server_new(c->loop, &options, err) : NULL;
	if (!c->server)
		return -1;
	c->cluster = (struct cluster){.label = c->run->id,
		.plan = c->plan,
		.run_dir = c->run->dir,
		.url = server_url(c->server),
		.fingerprint = server_fingerprint(c->server),
		.token = make_token,
		.token_data = c,
		.cancelled = &c->cancelled};
	return write_control(c, err);
}

static void fini(struct controller *c)
{
	if (c->server)
		server_stop(c->server);
	worker_free(c->worker);
	loop_unwatch(c->signals); // else the end of the loop looks like the end of what they watch
	loop_unwatch(c->leash);
	loop_timer_free(c->deadline);
	loop_timer_free(c->timeout);
	loop_timer_free(c->silence);
	loop_timer_free(c->watch);
	loop_free(c->loop);
	server_free(c->server);
	roster_fini(&c->roster);
	conn_message_free(c->peers);
	json_decref(c->began);
	json_decref(c->open);
	free(c->away_since);
	free(c->secret);
	free(c->nonce);
	free(c->machine);
	free(c->why);
}

// The last words: the end event, then the report, which reads it.
static void finish(struct controller *c)
{
	say(c, event_make("end", "s:s, s:s?, s:i, s:f", "outcome", c->outcome, "why", c->why, "exit", c->exit, "seconds", clock_mono() - c->started));
	struct error err = {0};
	report_write(c->run, &err);
	autofree char *control = run_path(c->run, "control.json");
	unlink(control);
}

int controller_main(const struct controller_options *options, struct error *err)
{
	struct controller c = {.options = options, .plan = options->plan, .run = options->run, .started = clock_mono()};
	if (init(&c, err) < 0) {
		fini(&c);
		return -1;
	}
	say(&c, event_make("run", "s:s, s:O, s:s, s:i, s:i, s:s, s:s", "id", c.run->id, "name", json_object_get(c.plan, "name"), "executor",
		options->executor->name, "nodes", (int)plan_nodes(c.plan), "size", (int)plan_size(c.plan), "version", MUSTER_VERSION, "plan",
		"plan.json"));
	happen(&c, HAPPENS_GO, NULL);
	loop_run(c.loop);
	finish(&c);
	int status = c.exit;
	fini(&c);
	return status;
}
