#include "controller/node_events.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "controller/budget.h"
#include "job/plan.h"
#include "wire/event.h"

#include <math.h>
#include <string.h>

// A log of strangers that somebody sends on purpose must not fill the disk.
enum { REFUSED_MAX = 1000 };
// So many turns before their spread is believed when a run is to stop as soon as its time is known.
enum { WITHIN_LEAST = 20 }; // fewer may be alike by chance, and what comes once in ten of them has not been seen

static const char *signal_name(int sig) // "TERM"
{
	const char *name = sigabbrev_np(sig);
	return name ? name : "unknown";
}

static void on_hello(size_t node, json_t *hello, bool again, void *data)
{
	struct lifecycle *c = data;
	struct membership_node *n = &c->membership.nodes[node];
	if (again)
		lifecycle_record(c, event_make("back", "s:i, s:f", "node", (int)node, "seconds",
					    c->away_since[node] ? clock_mono() - c->away_since[node] : 0.0));
	else
		lifecycle_record(
			c, event_make("hello", "s:i, s:O, s:O, s:O, s:O, s:f", "node", (int)node, "name",
				   json_object_get(hello, "name"), "address", json_object_get(hello, "address"),
				   "machine", json_object_get(hello, "machine"), "facts",
				   json_object_get(hello, "facts"), "seconds", lifecycle_seconds_since(c, "bring-up")));
	c->away_since[node] = 0;
	json_decref(n->said);
	n->said = json_incref(hello);
	membership_set_hello(&c->membership, node, true);
	n->away = false;
	if (c->persistent)
		persistent_cluster_node_back(c->persistent, node);
	if (c->state == STATE_READY)
		persistent_cluster_check(c->persistent);
	else if (c->state == STATE_STARTING && membership_all_hello(&c->membership))
		lifecycle_dispatch(c, c->persistent ? HAPPENS_ALL_UP : HAPPENS_ALL_HELLO, NULL);
	else if (c->state == STATE_RUNNING &&
		 (size_t)json_integer_value(json_object_get(hello, "attempt")) < c->attempt)
		lifecycle_send_launch(c, node);
	else if (c->state == STATE_STOPPING)
		lifecycle_send_bye(c, node);
}

// Of an attempt that is over.
static bool is_stale(const struct lifecycle *c, const json_t *event)
{
	return (size_t)json_integer_value(json_object_get(event, "attempt")) != c->attempt;
}

static void on_rank_exit(struct lifecycle *c, const json_t *event)
{
	size_t rank = (size_t)json_integer_value(json_object_get(event, "rank"));
	if (rank >= c->membership.nranks)
		return;
	const struct membership_rank *r = &c->membership.ranks[rank];
	const json_t *status = json_object_get(event, "status"), *sig = json_object_get(event, "signal");
	membership_set_rank(&c->membership, rank, RANK_ENDED,
		json_is_integer(status) ? (int)json_integer_value(status) : -1, (int)json_integer_value(sig));
	if (c->state != STATE_RUNNING)
		return;
	if (r->status == 0) {
		if (membership_all_done(&c->membership)) {
			lifecycle_set_outcome(c, "ok", 0, NULL);
			lifecycle_dispatch(c, HAPPENS_ALL_DONE, NULL);
		}
		return;
	}
	autofree char *how = r->signal
				     ? mem_printf("was killed by signal %d (SIG%s)", r->signal, signal_name(r->signal))
				     : mem_printf("exited with status %d", r->status);
	const char *more = json_string_value(json_object_get(event, "why"));
	autofree char *why =
		mem_printf("rank %zu on node %zu %s%s%s", rank, r->node, how, more ? ": " : "", more ? more : "");
	lifecycle_fail_attempt(c, why);
}

static void on_rank_start(struct lifecycle *c, const json_t *event)
{
	size_t rank = (size_t)json_integer_value(json_object_get(event, "rank"));
	if (rank < c->membership.nranks)
		membership_set_rank(&c->membership, rank, RANK_RUNS, 0, 0);
	double timeout = plan_timeout(c->plan);
	if (timeout > 0 && rank == 0)
		loop_timer_set(c->timeout, timeout);
}

static void on_node_phase(struct lifecycle *c, size_t node, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "name"));
	const char *edge = json_string_value(json_object_get(event, "edge"));
	if (!name || !edge)
		return;
	bool begins = strcmp(edge, "begin") == 0;
	if (!membership_phase(&c->membership, node, name, begins))
		return;
	if (begins)
		lifecycle_phase_begin(c, name);
	else
		lifecycle_phase_end(c, name);
}

static void on_node_fail(struct lifecycle *c, size_t node, const json_t *event)
{
	const char *why = json_string_value(json_object_get(event, "why"));
	const json_t *rank = json_object_get(event, "rank");
	if (c->state != STATE_RUNNING)
		return;
	autofree char *who = json_is_integer(rank)
				     ? mem_printf("rank %d on node %zu", (int)json_integer_value(rank), node)
				     : mem_printf("node %zu", node);
	autofree char *text =
		why && json_flag(event, "named") ? mem_strdup(why) : mem_printf("%s: %s", who, why ? why : "unknown");
	const char *phase = json_string_value(json_object_get(event, "phase"));
	if (phase && strcmp(phase, "run") == 0)
		lifecycle_fail_attempt(c, text);
	else
		lifecycle_fail(c, "failed", ERROR_JOB, text);
}

static void on_checked(struct lifecycle *c, size_t node)
{
	if (!c->options->preflight_only)
		return;
	membership_set_checked(&c->membership, node);
	if (!membership_all_checked(&c->membership))
		return;
	lifecycle_set_outcome(c, "ok", 0, NULL);
	lifecycle_dispatch(c, HAPPENS_ALL_DONE, NULL);
}

// A pattern that no file of any node matches was meant to match one.
static void on_left(struct lifecycle *c, size_t node, const json_t *event)
{
	size_t i;
	const json_t *glob;
	c->membership.nodes[node].left = true;
	json_array_foreach (json_object_get(event, "unmatched"), i, glob) {
		const char *text = json_string_value(glob);
		json_int_t before = text ? json_integer_value(json_object_get(c->unmatched, text)) : -1;
		if (!text)
			continue;
		json_object_set_new(c->unmatched, text, json_integer(before + 1));
		autofree char *why = mem_printf("no file matches the output pattern '%s'", text);
		if ((size_t)before + 1 == c->membership.nnodes)
			lifecycle_record(c, event_make("warn", "s:s", "why", why));
	}
}

// Has the job shown what it was started for?
static bool is_enough(struct plan_stop stop, const struct estimate_input *input)
{
	double seen = 0;
	for (size_t i = 0; i < input->count; i++)
		seen += input->turns[i].count;
	if (seen >= stop.iterations)
		return true;
	if (isnan(stop.within) || input->count < WITHIN_LEAST || input->done + seen >= input->total)
		return false; // of a loop that is over there is nothing to predict: the run ends, or another one
			      // begins
	struct estimate e = estimate_make(input);
	bool known = !isnan(e.total);
	double value = known ? e.total : e.turn, low = known ? e.total_low : e.turn_low,
	       high = known ? e.total_high : e.turn_high;
	return !e.doubts && fmax(high - value, value - low) <= stop.within * value;
}

static void say_enough(struct lifecycle *c, long leader)
{
	json_t *said = event_make("enough", ""), *more = iterations_describe(c->iterations, leader);
	json_object_update(said, more);
	json_decref(more);
	lifecycle_record(c, said);
	c->stop_why = "the stop condition of the job is met";
	lifecycle_set_outcome(c, "ok", 0, c->stop_why);
	lifecycle_dispatch(c, HAPPENS_ENOUGH, c->stop_why);
}

// What the iterations predict may be more than the run may take: better to stop now than when all is spent.
static void check_budget(struct lifecycle *c, const struct estimate_input *input, long leader)
{
	double gone = iterations_begun(c->iterations, leader) - (clock_wall() - (clock_mono() - c->started));
	autofree char *why = budget_judge(c->plan, input, gone, lifecycle_cores(c));
	if (!why)
		return;
	lifecycle_record(c, event_make("fail", "s:s, s:s", "phase", "run", "why", why));
	c->stop_why = "over budget";
	lifecycle_fail(c, "failed", ERROR_JOB, why);
}

static void on_turn(struct lifecycle *c, const json_t *event)
{
	struct estimate_input input;
	iterations_add(c->iterations, event);
	long leader = iterations_leader(c->iterations);
	if (c->state != STATE_RUNNING || !event_is(event, "progress") ||
		json_integer_value(json_object_get(event, "rank")) != leader ||
		!iterations_input(c->iterations, leader, &input))
		return;
	if (is_enough(plan_stop(c->plan), &input))
		say_enough(c, leader);
	else if (plan_has_budget(c->plan))
		check_budget(c, &input, leader);
}

static void on_event(size_t node, json_t *event, const char *line, size_t len, void *data)
{
	struct lifecycle *c = data;
	struct error err = {0};
	if (run_line(c->run, event_is_metric(event), line, len, &err) < 0)
		lifecycle_on_write_error(err.text, c);
	if (event_is(event, "left"))
		on_left(c, node, event);
	else if (event_is(event, "output") && json_is_false(json_object_get(event, "ok")))
		lifecycle_lose_output(c, node, json_text_or(event, "path", "?"), json_text_or(event, "why", "?"));
	else if (event_is(event, "terminated"))
		lifecycle_on_terminated(c, node);
	if (c->iterations && (event_is_metric(event) || !is_stale(c, event)))
		on_turn(c, event);
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

static void on_lost_output(size_t node, const char *path, const char *why, void *data)
{
	struct lifecycle *c = data;
	lifecycle_lose_output(c, node, path, why);
	lifecycle_record(
		c, event_make("output", "s:i, s:s, s:b, s:s", "node", (int)node, "path", path, "ok", 0, "why", why));
}

static void on_fence(size_t node, const char *name, json_t *brought, void *data)
{
	struct lifecycle *c = data;
	bool open_before = json_object_get(c->membership.fences, name) != NULL;
	const json_t *all = membership_fence(&c->membership, node, name, brought);
	if (!all)
		return;
	autojson json_t *msg = mem_json("{s:s, s:s, s:O}", "msg", "fence", "name", name, "data", all);
	if (open_before || c->membership.nnodes == 1)
		server_send_all(c->server, msg);
	else
		server_send(c->server, node, msg); // it asks again for what the others have had
}

static void on_complete(size_t node, void *data)
{
	struct lifecycle *c = data;
	lifecycle_on_terminated_gone(c, node);
	if (c->state == STATE_READY && !c->membership.nodes[node].hello) { // lost, but can be brought back
		persistent_cluster_check(c->persistent);
		return;
	}
	membership_set_gone(&c->membership, node, true);
	if (c->persistent) {
		persistent_cluster_node_lost(c->persistent, node);
		persistent_cluster_check(c->persistent);
	}
	lifecycle_check_nodes_gone(c);
}

static void on_away(size_t node, double heard, const char *why, void *data)
{
	struct lifecycle *c = data;
	struct membership_node *n = &c->membership.nodes[node];
	if (n->gone) {
		if (c->persistent)
			persistent_cluster_check(c->persistent);
		lifecycle_check_nodes_gone(c);
		return;
	}
	n->away = true;
	if (c->persistent)
		persistent_cluster_node_away(c->persistent, node);
	c->away_since[node] = heard;
	lifecycle_record(c, event_make("warn", "s:i, s:s", "node", (int)node, "why", why));
	lifecycle_on_terminated_gone(c, node);
	lifecycle_check_away_soon(c);
}

static void on_refused(const char *peer, const char *why, void *data)
{
	struct lifecycle *c = data;
	if (c->refused++ < REFUSED_MAX)
		lifecycle_record(c, event_make("refused", "s:s, s:s", "peer", peer, "why",
					    c->refused < REFUSED_MAX ? why : "more refusals are not logged"));
}

static void on_activity(void *data)
{
	struct lifecycle *c = data;
	if (c->state == STATE_STOPPING && !c->down_wanted)
		lifecycle_wait_for_nodes(c);
}

static void on_fetched(json_t *event, void *data)
{
	lifecycle_record(data, event);
}

static void on_request(struct conn *client, const json_t *msg, void *data)
{
	struct lifecycle *c = data;
	if (c->persistent) {
		persistent_cluster_request(c->persistent, client, msg);
		return;
	}
	autojson json_t *answer = mem_json(
		"{s:O, s:s}", "msg", json_object_get(msg, "msg"), "error", "this is a run, not a persistent cluster");
	conn_send(client, answer);
}

static void on_client_gone(struct conn *client, void *data)
{
	struct lifecycle *c = data;
	if (c->persistent)
		persistent_cluster_client_gone(c->persistent, client);
}

static void on_errand(size_t node, uint32_t errand, bool ok, void *data)
{
	struct lifecycle *c = data;
	if (c->persistent)
		persistent_cluster_node_cleaned(c->persistent, node, errand, ok);
}

const struct server_ops node_events_ops = {on_hello, on_event, on_fence, on_complete, on_away, on_refused,
	lifecycle_on_write_error, on_lost_output, on_activity, on_request, on_client_gone, on_errand, on_fetched};
