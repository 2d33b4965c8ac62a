#include "controller/lifecycle.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "controller/budget.h"
#include "controller/interrupt.h"
#include "controller/retry.h"
#include "job/heartbeat.h"
#include "job/plan.h"
#include "wire/event.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Nodes that leave are waited for as long as bytes come from them; this is how long silence may last.
static const double silence_max = 20;
// A node that dialled off and whose process is dead gets no lease.
static const double look_soon = 0.01, look_again = 0.2;

// --- the record -----------------------------------------------------------------

void lifecycle_set_outcome(struct lifecycle *c, const char *outcome, int exit, const char *why)
{
	if (c->outcome)
		return;
	c->outcome = outcome;
	c->exit = exit;
	c->why = why ? mem_strdup(why) : NULL;
}

// What went wrong after all ranks had ended well.
void lifecycle_override_outcome(struct lifecycle *c, const char *outcome, int exit, const char *why)
{
	if (c->outcome && strcmp(c->outcome, "ok") == 0) {
		c->outcome = NULL;
		free(steal(c->why));
	}
	lifecycle_set_outcome(c, outcome, exit, why);
}

void lifecycle_on_write_error(const char *why, void *data)
{
	struct lifecycle *c = data;
	if (c->broken)
		return;
	c->broken = true;
	lifecycle_override_outcome(c, "failed", ERROR_SYSTEM, why);
	lifecycle_dispatch(c, HAPPENS_FAIL, why);
}

void lifecycle_record(struct lifecycle *c, json_t *event)
{
	struct error err = {0};
	if (run_event(c->run, event, &err) < 0)
		lifecycle_on_write_error(err.text, c);
	json_decref(event);
}

double lifecycle_seconds_since(const struct lifecycle *c, const char *name)
{
	return clock_mono() - json_number_value(json_object_get(c->began, name));
}

void lifecycle_phase_end(struct lifecycle *c, const char *name)
{
	if (json_object_del(c->open, name) == 0)
		lifecycle_record(c, event_make("phase", "s:s, s:s, s:f", "name", name, "edge", "end", "seconds",
					    lifecycle_seconds_since(c, name)));
}

void lifecycle_phase_begin(struct lifecycle *c, const char *name)
{
	json_object_set_new(c->began, name, json_real(clock_mono()));
	json_object_set_new(c->open, name, json_true());
	lifecycle_record(c, event_make("phase", "s:s, s:s", "name", name, "edge", "begin"));
}

static void end_phases(struct lifecycle *c)
{
	for (void *i; (i = json_object_iter(c->open));) {
		autofree char *name = mem_strdup(json_object_iter_key(i));
		lifecycle_phase_end(c, name);
	}
}

// --- what the table asks for ------------------------------------------------------

static void on_worker_up(int result, const struct error *err, void *data)
{
	struct lifecycle *c = data;
	c->up_done = true;
	if (result < 0 && c->state == STATE_READY) {
		lifecycle_record(c, event_make("warn", "s:s", "why", err->text));
		lifecycle_phase_end(c, "bring-up");
		persistent_cluster_failed(c->persistent, err->text);
	} else if (result < 0 && !c->down_wanted) {
		lifecycle_set_outcome(c, "failed", ERROR_SYSTEM, err->text);
		lifecycle_record(c, event_make("fail", "s:s, s:s", "phase", "bring-up", "why", err->text));
		lifecycle_dispatch(c, HAPPENS_FAIL, err->text);
	} else if (c->persistent)
		persistent_cluster_check(c->persistent);
	lifecycle_check_nodes_gone(c); // when it was cancelled nobody else will ask again
}

static int bring_up(void *data, struct error *err)
{
	struct lifecycle *c = data;
	return c->options->executor->up(&c->cluster, err);
}

static void act_up(struct lifecycle *c)
{
	c->up_done = false;
	lifecycle_phase_begin(c, "bring-up");
	lifecycle_record(c,
		event_make("intent", "s:s, s:s", "label", c->run->id, "executor", c->options->executor->traits->name));
	loop_timer_set(c->deadline, plan_deadline(c->plan));
	worker_thread_start(c->worker, bring_up, on_worker_up, c);
}

static void act_ready(struct lifecycle *c)
{
	loop_timer_cancel(c->deadline);
	lifecycle_phase_end(c, "bring-up");
	persistent_cluster_ready(c->persistent);
}

static void act_drain(struct lifecycle *c)
{
	c->cancelled = true;
	persistent_cluster_drain(c->persistent);
}

// Who the nodes are, which is the same for all of them.
static struct conn_message *peers_of(struct lifecycle *c)
{
	json_t *peers = json_array();
	for (size_t i = 0; i < c->membership.nnodes; i++) {
		const json_t *h = c->membership.nodes[i].said;
		json_array_append_new(
			peers, mem_json("{s:i, s:O, s:O, s:O, s:O*}", "node", (int)i, "name",
				       json_object_get(h, "name"), "address", json_object_get(h, "address"), "port",
				       json_object_get(h, "port"), "addresses", json_object_get(h, "addresses")));
	}
	autojson json_t *msg = mem_json("{s:s, s:o}", "msg", "peers", "peers", peers);
	return conn_message_new(msg);
}

void lifecycle_send_launch(struct lifecycle *c, size_t node)
{
	autojson json_t *slice = plan_slice(c->plan, node);
	autojson json_t *msg = mem_json("{s:s, s:i, s:O, s:s, s:b, s:s}", "msg", "launch", "attempt", (int)c->attempt,
		"plan", slice, "nonce", c->nonce, "preflight_only", c->options->preflight_only, "why",
		c->stop_why ? c->stop_why : "");
	server_send_message(c->server, node, c->peers);
	server_send(c->server, node, msg);
}

double lifecycle_cores(const struct lifecycle *c)
{
	double most = 0;
	for (size_t i = 0; i < c->membership.nnodes; i++) {
		double cores = json_number_value(
			json_object_get(json_object_get(c->membership.nodes[i].said, "facts"), "cores"));
		most = cores > most ? cores : most;
	}
	return most;
}

// The clock began with the first node, not with the ranks.
static void watch_budget(struct lifecycle *c)
{
	double end = budget_end(c->plan, lifecycle_cores(c)), left = end - (clock_mono() - c->started);
	if (!isinf(end))
		loop_timer_set(c->spend, left > 0 ? left : 0);
}

static void act_launch(struct lifecycle *c)
{
	watch_budget(c);
	loop_timer_cancel(c->deadline);
	loop_timer_cancel(c->timeout);
	c->attempt++;
	end_phases(c);
	membership_start_attempt(&c->membership);
	conn_message_free(c->peers);
	c->peers = peers_of(c);
	for (size_t i = 0; i < c->membership.nnodes; i++)
		lifecycle_send_launch(c, i);
	c->stop_why = NULL;
}

void lifecycle_send_bye(struct lifecycle *c, size_t node)
{
	const char *why = c->stop_why ? c->stop_why : "";
	autojson json_t *msg = mem_json("{s:s, s:s, s:f}", "msg", "bye", "why", why, "grace", plan_grace(c->plan));
	server_send(c->server, node, msg);
}

void lifecycle_check_nodes_gone(struct lifecycle *c)
{
	if (c->state == STATE_STOPPING && !c->down_wanted && c->up_done && membership_all_gone(&c->membership) &&
		server_count_connected(c->server) == 0)
		lifecycle_dispatch(c, HAPPENS_ALL_LEFT, NULL);
}

static void act_stop(struct lifecycle *c)
{
	loop_timer_cancel(c->spend);
	loop_timer_cancel(c->deadline);
	loop_timer_cancel(c->timeout);
	c->cancelled = true;
	for (size_t i = 0; i < c->membership.nnodes; i++)
		lifecycle_send_bye(c, i);
	lifecycle_wait_for_nodes(c);
	lifecycle_check_nodes_gone(c);
}

static void on_worker_down(int result, const struct error *err, void *data)
{
	struct lifecycle *c = data;
	if (result < 0)
		lifecycle_record(c, event_make("warn", "s:s", "why", err->text));
	lifecycle_dispatch(c, HAPPENS_GONE, NULL);
}

void lifecycle_lose_output(struct lifecycle *c, size_t node, const char *path, const char *why)
{
	if (c->lost_outputs++ == 0)
		c->lost_output = mem_printf("'%s' of node %zu: %s", path, node, why);
}

// A run whose results are not all there is not ok.
static void judge_outputs(struct lifecycle *c)
{
	if (c->lost_outputs == 0)
		return;
	autofree char *others = mem_printf(" (and %zu more)", c->lost_outputs - 1);
	autofree char *why = mem_printf(
		"an output could not be brought back: %s%s", c->lost_output, c->lost_outputs > 1 ? others : "");
	lifecycle_record(c, event_make("fail", "s:s, s:s", "phase", "collect", "why", why));
	lifecycle_override_outcome(c, "failed", ERROR_JOB, why);
}

static int tear_down(void *data, struct error *err)
{
	struct lifecycle *c = data;
	return c->options->executor->down(&c->cluster, err);
}

static void start_down(struct lifecycle *c)
{
	end_phases(c);
	lifecycle_phase_begin(c, "teardown");
	worker_thread_start(c->worker, tear_down, on_worker_down, c);
}

// Up may still be at work: it is told to give up, and down follows it.
static void on_up_over(int result, const struct error *err, void *data)
{
	start_down(data);
}

static void act_down(struct lifecycle *c)
{
	if (c->down_wanted)
		return;
	judge_outputs(c);
	c->down_wanted = true;
	c->cancelled = true;
	loop_timer_cancel(c->silence);
	// Who asked for the end twice does not wait for outputs, and does not want them kept.
	const bool hurried = interrupt_rule(c->cancels) == INTERRUPT_AT_ONCE;
	autojson json_t *msg = mem_json("{s:s, s:b, s:b}", "msg", "bye", "now", 1, "keep", !hurried);
	server_send_all(c->server, msg);
	if (worker_thread_is_busy(c->worker))
		worker_thread_then(c->worker, on_up_over);
	else
		start_down(c);
}

static int list_left(void *data, struct error *err)
{
	struct lifecycle *c = data;
	return c->options->executor->left(&c->cluster, c->left, err);
}

static void on_worker_left(int result, const struct error *err, void *data)
{
	struct lifecycle *c = data;
	if (result < 0)
		lifecycle_record(c, event_make("warn", "s:s", "why", err->text));
	lifecycle_phase_end(c, "teardown");
	lifecycle_record(c,
		event_make("receipt", "s:O, s:f", "left", c->left, "seconds", lifecycle_seconds_since(c, "teardown")));
	if (json_array_size(c->left))
		lifecycle_override_outcome(c, "failed", ERROR_SYSTEM, "something was left behind; see the receipt");
	loop_stop(c->loop);
}

static void act_receipt(struct lifecycle *c)
{
	loop_timer_cancel(c->watch); // no node is waited for any more
	c->left = json_array();
	worker_thread_start(c->worker, list_left, on_worker_left, c);
}

static void (*const actions[])(struct lifecycle *c) = {
	[ACTION_UP] = act_up,
	[ACTION_READY] = act_ready,
	[ACTION_DRAIN] = act_drain,
	[ACTION_LAUNCH] = act_launch,
	[ACTION_STOP] = act_stop,
	[ACTION_DOWN] = act_down,
	[ACTION_RECEIPT] = act_receipt,
};

void lifecycle_dispatch(struct lifecycle *c, enum happening happening, const char *why)
{
	const struct transition *t = state_table_find(c->state, happening);
	if (!t)
		return;
	enum state before = c->state;
	c->state = t->next;
	if (t->next != before)
		lifecycle_record(c, event_make("state", "s:s, s:s, s:s?", "from", state_table_name(before), "to",
					    state_table_name(t->next), "why", why));
	if (actions[t->action])
		actions[t->action](c);
}

// --- failures ---------------------------------------------------------------------

void lifecycle_fail(struct lifecycle *c, const char *outcome, int exit, const char *why)
{
	lifecycle_set_outcome(c, outcome, exit, why);
	lifecycle_dispatch(c, HAPPENS_FAIL, why);
}

void lifecycle_fail_attempt(struct lifecycle *c, const char *why)
{
	struct retry retry = {c->state, c->attempt, plan_retries(c->plan), c->options->preflight_only};
	if (!retry_allows(&retry)) {
		lifecycle_fail(c, "failed", ERROR_JOB, why);
		return;
	}
	lifecycle_record(c, event_make("retry", "s:i, s:s", "attempt", (int)c->attempt + 1, "why", why));
	lifecycle_dispatch(c, HAPPENS_AGAIN, why);
}

void lifecycle_lose_node(struct lifecycle *c, size_t node, const char *why)
{
	struct membership_node *n = &c->membership.nodes[node];
	if (n->gone)
		return;
	membership_set_gone(&c->membership, node, true);
	c->away_since[node] = 0;
	autofree char *text = mem_printf("node %zu is lost: %s", node, why);
	lifecycle_record(c, event_make("lost", "s:i, s:s", "node", (int)node, "why", why));
	if (c->state == STATE_READY) { // it can be brought back
		membership_set_gone(&c->membership, node, false);
		membership_set_hello(&c->membership, node, false);
		n->away = n->left = n->terminated = false;
		server_forget(c->server, node);
		persistent_cluster_node_lost(c->persistent, node);
		return;
	}
	lifecycle_override_outcome(c, "lost", ERROR_SYSTEM, text);
	lifecycle_dispatch(c, HAPPENS_FAIL, text);
	lifecycle_check_nodes_gone(c);
}

// --- nodes that somebody else stops -------------------------------------------------

static const char told_to_stop[] = "was told to stop (SIGTERM)";

void lifecycle_on_terminated(struct lifecycle *c, size_t node)
{
	const char *known = c->membership.nodes[node].lost_why;
	autofree char *why = mem_printf("node %zu %s%s%s", node, told_to_stop, known ? ": " : "", known ? known : "");
	c->membership.nodes[node].terminated = true;
	if (c->state != STATE_STARTING && c->state != STATE_RUNNING)
		return;
	c->told = c->outcome ? 0 : node + 1;
	lifecycle_fail(c, "lost", ERROR_SYSTEM, why);
}

// What the executor knows of it says more than that a signal came.
static void explain(struct lifecycle *c, size_t node, const char *why)
{
	if (c->told != node + 1)
		return;
	c->told = 0;
	free(c->why);
	c->why = mem_printf("node %zu %s: %s", node, told_to_stop, why);
}

void lifecycle_on_terminated_gone(struct lifecycle *c, size_t node)
{
	struct membership_node *n = &c->membership.nodes[node];
	autofree char *why = steal(n->lost_why);
	if (why && (n->terminated || !n->left))
		lifecycle_lose_node(c, node, why);
	else if (c->state == STATE_READY && n->terminated && n->left)
		lifecycle_lose_node(c, node, "its agent was told to stop (SIGTERM)");
}

// While a node that was told to stop, or is about to be, is there, it brings back what it has.
static void on_lost(struct lifecycle *c, size_t node, const char *why, bool leaves)
{
	struct membership_node *n = &c->membership.nodes[node];
	explain(c, node, why);
	if ((!n->terminated && !leaves) || n->gone || !server_connected(c->server, node)) {
		lifecycle_lose_node(c, node, why);
		return;
	}
	free(n->lost_why);
	n->lost_why = mem_strdup(why);
}

// --- what the executor says ---------------------------------------------------------

// An image or a pod may take longer than nodes may: the deadline is for those. Whoever waits for one has a deadline of
// his own and knows more.
void lifecycle_on_executor_event(json_t *event, void *data)
{
	struct lifecycle *c = data;
	autojson json_t *mine = event;
	if (event_is(event, "lost")) {
		json_int_t node = json_integer_value(json_object_get(event, "node"));
		const char *why = json_string_value(json_object_get(event, "why"));
		if (node >= 0 && (size_t)node < c->membership.nnodes && !c->down_wanted)
			on_lost(c, (size_t)node, why ? why : "no reason given",
				json_is_true(json_object_get(event, "leaves")));
		return;
	}
	if ((event_is(event, "image") || event_is(event, "pod")) && c->state == STATE_STARTING) {
		if (json_object_get(event, "ok"))
			loop_timer_set(c->deadline, plan_deadline(c->plan));
		else
			loop_timer_cancel(c->deadline);
	}
	lifecycle_record(c, json_incref(event));
}

static void on_deadline(void *data)
{
	struct lifecycle *c = data;
	size_t first = 0, missing = membership_missing(&c->membership, &first);
	if (c->state == STATE_READY && !c->up_done) { // the executor has a deadline too, and knows more
		loop_timer_set(c->deadline, look_again);
		return;
	}
	const char *host = plan_node(c->plan, first).host.host;
	autofree char *why =
		mem_printf("%zu of %zu nodes did not say hello within %g s; the first is node %zu%s%s", missing,
			c->membership.nnodes, plan_deadline(c->plan), first, host ? " on host " : "", host ? host : "");
	if (c->state == STATE_READY) {
		lifecycle_record(c, event_make("warn", "s:s", "why", why));
		lifecycle_phase_end(c, "bring-up");
		persistent_cluster_failed(c->persistent, why);
		return;
	}
	lifecycle_record(c, event_make("fail", "s:s, s:s, s:i", "phase", "bring-up", "why", why, "node", (int)first));
	lifecycle_fail(c, "failed", ERROR_SYSTEM, why);
}

static void on_timeout(void *data)
{
	struct lifecycle *c = data;
	autofree char *why = mem_printf("timeout: the ranks ran longer than %g s", plan_timeout(c->plan));
	lifecycle_record(c, event_make("fail", "s:s, s:s", "phase", "run", "why", why));
	c->stop_why = "timeout";
	lifecycle_fail_attempt(c, why);
}

static void on_spent(void *data)
{
	struct lifecycle *c = data;
	autofree char *has = budget_text(c->plan, lifecycle_cores(c)),
		      *why = mem_printf("over budget: reached the limit, %s", has);
	if (c->state != STATE_RUNNING)
		return;
	lifecycle_record(c, event_make("fail", "s:s, s:s", "phase", "run", "why", why));
	c->stop_why = "over budget";
	lifecycle_fail(c, "failed", ERROR_JOB, why);
}

static void on_silence(void *data)
{
	struct lifecycle *c = data;
	static const char why[] = "a node did not leave in time; unsent data is lost";
	lifecycle_record(c, event_make("warn", "s:s", "why", why));
	lifecycle_override_outcome(c, "lost", ERROR_SYSTEM, why);
	lifecycle_dispatch(c, HAPPENS_ALL_LEFT, NULL);
}

// Nodes that are away: lost when their lease is over, or at once when their process can be seen to be dead.
static void on_watch(void *data)
{
	struct lifecycle *c = data;
	bool some = false;
	for (size_t i = 0; i < c->membership.nnodes; i++) {
		if (c->away_since[i] == 0)
			continue;
		const json_t *said = c->membership.nodes[i].said, *facts = json_object_get(said, "facts");
		const char *machine = json_string_value(json_object_get(said, "machine"));
		pid_t pid = (pid_t)json_integer_value(json_object_get(facts, "pid"));
		unsigned long long started = (unsigned long long)json_integer_value(json_object_get(facts, "started"));
		if (c->machine && machine && strcmp(machine, c->machine) == 0 && !proc_alive(pid, started))
			lifecycle_lose_node(c, i, "its agent was killed");
		else if (heartbeat_lease_left(plan_lease(c->plan), c->away_since[i], clock_mono()) <= 0)
			lifecycle_lose_node(c, i, "its agent is unreachable");
		else
			some = true;
	}
	if (some)
		loop_timer_set(c->watch, look_again);
}

// --- waiting and life -------------------------------------------------------------

void lifecycle_wait_for_nodes(struct lifecycle *c)
{
	loop_timer_set(c->silence, plan_grace(c->plan) + silence_max);
}

void lifecycle_check_away_soon(struct lifecycle *c)
{
	loop_timer_set(c->watch, look_soon);
}

void lifecycle_init(struct lifecycle *c)
{
	c->began = json_object();
	c->open = json_object();
	membership_init(&c->membership, c->plan);
	c->away_since = mem_alloc(c->membership.nnodes * sizeof *c->away_since);
	c->unmatched = json_object();
	if (plan_has_stop(c->plan) || plan_has_budget(c->plan))
		c->iterations = iterations_new();
}

// --- what a cluster that stays up asks for ------------------------------------------

static void on_cluster_record(json_t *event, void *data)
{
	lifecycle_record(data, event);
}

static void on_cluster_dispatch(enum happening happening, void *data)
{
	lifecycle_dispatch(data, happening, NULL);
}

static bool is_cluster_up(void *data)
{
	const struct lifecycle *c = data;
	return c->state == STATE_READY;
}

static bool is_executor_busy(void *data)
{
	const struct lifecycle *c = data;
	return worker_thread_is_busy(c->worker);
}

static void on_cluster_bye(size_t node, void *data)
{
	lifecycle_send_bye(data, node);
}

static void on_cluster_resize(const json_t *plan, size_t nodes, void *data)
{
	struct lifecycle *c = data;
	size_t before = c->membership.nnodes;
	c->plan = c->cluster.plan = plan;
	membership_resize(&c->membership, nodes);
	server_resize(c->server, nodes);
	c->away_since = mem_resize(c->away_since, nodes * sizeof *c->away_since);
	for (size_t i = before; i < nodes; i++)
		c->away_since[i] = 0;
}

int lifecycle_make_persistent(struct lifecycle *c, struct error *err)
{
	static const struct persistent_cluster_ops ops = {on_cluster_record, on_cluster_dispatch, is_cluster_up,
		is_executor_busy, on_cluster_bye, on_cluster_resize};
	struct persistent_cluster_options options = {
		.run = c->run, .plan = c->plan, .membership = &c->membership, .ops = &ops, .data = c};
	c->persistent = persistent_cluster_new(&options, err);
	return c->persistent ? 0 : -1;
}

void lifecycle_start_timers(struct lifecycle *c)
{
	c->deadline = loop_timer_new(c->loop, on_deadline, c);
	c->timeout = loop_timer_new(c->loop, on_timeout, c);
	c->silence = loop_timer_new(c->loop, on_silence, c);
	c->watch = loop_timer_new(c->loop, on_watch, c);
	c->spend = loop_timer_new(c->loop, on_spent, c);
}

void lifecycle_stop_timers(struct lifecycle *c)
{
	loop_timer_free(c->deadline);
	loop_timer_free(c->timeout);
	loop_timer_free(c->silence);
	loop_timer_free(c->watch);
	loop_timer_free(c->spend);
}

void lifecycle_fini(struct lifecycle *c)
{
	membership_fini(&c->membership);
	conn_message_free(c->peers);
	json_decref(c->began);
	json_decref(c->open);
	json_decref(c->unmatched);
	json_decref(c->left);
	free(c->lost_output);
	iterations_free(c->iterations);
	free(c->away_since);
	free(c->why);
}
