#include "cmd/live_target.h"

#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/start_and_follow.h"
#include "exec/executor.h"
#include "job/plan.h"
#include "run/clusters.h"
#include "wire/client.h"

#include <stdlib.h>
#include <string.h>

// --- opening -------------------------------------------------------------------

static int open_run(struct live_target *t, struct error *err)
{
	t->plan = clusters_plan(t->run, err);
	t->nodes = plan_nodes(t->plan);
	return t->plan ? 0 : -1;
}

static int revive(struct run *run, struct error *err)
{
	autojson json_t *plan = clusters_plan(run, err);
	const struct executor *executor = plan ? executor_find(plan_executor(plan), err) : NULL;
	if (!executor)
		return -1;
	struct start_and_follow_options options = {
		.controller = {.run = run, .plan = plan, .executor = executor, .persistent = true}, .detach = true};
	return start_and_follow(&options, err);
}

// Starts the controller of a cluster whose own is gone, and waits until its nodes have found it, or those that live.
static int bring_back(struct live_target *t, const char *name, struct error *err)
{
	json_decref(steal(t->control));
	if (revive(t->run, err) < 0)
		return error_wrap(err, "the controller of the cluster '%s' is gone, and cannot be started again", name);
	if (!run_alive(t->run, &t->control))
		return error_set(err, ERROR_SYSTEM,
			"the controller of the cluster '%s' ended as soon as it was started again", name);
	autojson json_t *request = mem_json("{s:s, s:i}", "msg", "resize", "nodes", 0);
	autojson json_t *answer =
		live_target_ask(t, request, NULL); // which nodes there are, whoever needs them will see
	return 0;
}

int live_target_open_cluster(struct live_target *t, const char *name, struct error *err)
{
	*t = (struct live_target){.cluster = true, .run = clusters_open(name, err)};
	int rc = t->run ? 0 : -1;
	if (rc == 0 && !run_alive(t->run, &t->control))
		rc = bring_back(t, name, err);
	if (rc == 0 && open_run(t, err) == 0)
		return 0;
	live_target_close(t);
	return -1;
}

int live_target_open(struct live_target *t, const char *runs, const char *name, struct error *err)
{
	if (clusters_exist(name))
		return live_target_open_cluster(t, name, err);
	*t = (struct live_target){.run = run_open(runs, name, err)};
	if (!t->run)
		return -1;
	if (!run_alive(t->run, &t->control))
		error_set(err, ERROR_USAGE, "run '%s' has ended, expected one in progress", t->run->id);
	else if (open_run(t, err) == 0)
		return 0;
	live_target_close(t);
	return -1;
}

void live_target_close(struct live_target *t)
{
	run_free(t->run);
	json_decref(t->control);
	json_decref(t->plan);
}

int live_target_node(const struct live_target *t, const char *text, size_t *node, struct error *err)
{
	const char *digits = str_starts(text, "node-") ? text + 5 : text;
	char *end;
	unsigned long n = strtoul(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end)
		return error_set(err, ERROR_USAGE, "found node '%s', expected a number", text);
	if (n >= t->nodes)
		return error_set(err, ERROR_USAGE, "found node %lu, expected at most %zu: '%s' has %zu nodes", n,
			t->nodes - 1, t->run->id, t->nodes);
	*node = n;
	return 0;
}

// --- asking --------------------------------------------------------------------

struct question {
	struct loop *loop;
	struct client *client;
	const json_t *request;
	json_t *answer;
	struct error *err;
};

static void on_welcome(void *data)
{
	struct question *q = data;
	client_request(q->client, q->request);
}

static void on_answer(const json_t *msg, void *data)
{
	struct question *q = data;
	const char *why = json_string_value(json_object_get(msg, "error"));
	if (why)
		error_set(q->err, ERROR_SYSTEM, "%s", why);
	else
		q->answer = json_copy((json_t *)msg);
	loop_stop(q->loop);
}

static void on_close(const char *why, void *data)
{
	struct question *q = data;
	if (!q->answer)
		error_set(q->err, ERROR_SYSTEM, "the connection to the controller ended: %s", why);
	loop_stop(q->loop);
}

static const struct client_ops ops = {on_welcome, on_answer, on_close};

json_t *live_target_ask(const struct live_target *t, const json_t *request, struct error *err)
{
	struct question q = {.loop = loop_new(64, err), .request = request, .err = err};
	if (!q.loop)
		return NULL;
	q.client = client_dial(q.loop, t->control, &ops, &q, err);
	if (q.client)
		loop_run(q.loop);
	client_free(q.client);
	loop_free(q.loop);
	return q.answer;
}
