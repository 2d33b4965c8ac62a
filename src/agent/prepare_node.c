#include "agent/prepare_node.h"

#include "agent/container.h"
#include "agent/input_client.h"
#include "agent/rendezvous.h"
#include "agent/setup.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "job/plan.h"
#include "node/stage.h"
#include "wire/event.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct prepare {
	void (*on_ready)(struct node *node);
	struct forked_task *stager;
};

static void contain(struct node *node);
static void finish(struct node *node);

static bool stopped(const struct node *node)
{
	return !node->prepare || node->failed;
}

// --- inputs -------------------------------------------------------------------

// A live input of a node that does not see the controller's files is where the executor has put it.
static void find_live(const struct node *node, json_t *input, size_t number)
{
	const char *live = json_text(node->config, "live");
	if (!live || plan_input_read(input).kind != PLAN_INPUT_LIVE)
		return;
	autofree char *from = mem_printf("%s/%zu", live, number);
	plan_input_set_from(input, from);
}

// What no node can get by itself is sent by the controller: paths, unless its files are seen here too, and what it
// fetches with the user's own rights.
static bool is_sent(const struct node *node, enum plan_input_kind kind)
{
	return kind == PLAN_INPUT_GIT || (kind == PLAN_INPUT_PATH && !node->same_files);
}

// The inputs that this node brings itself (once: only those that all share), those that are sent with their "index".
static json_t *own_inputs(struct node *node, bool once)
{
	json_t *list = json_array();
	for (size_t i = 0; i < plan_inputs(node->plan); i++) {
		struct plan_input input = plan_input(node->plan, i);
		if ((node->shared && input.once) != once || (node->same_files && input.context))
			continue;
		json_t *own = json_copy(plan_input_json(node->plan, i));
		find_live(node, own, i);
		if (is_sent(node, input.kind))
			json_object_set_new(own, "index", json_integer((json_int_t)i));
		json_array_append_new(list, own);
	}
	return list;
}

struct stage_work {
	json_t *each, *once;
	const char *data_dir, *shared;
};

static int stage_work(int out, int control, void *data)
{
	struct stage_work *w = data;
	const int wire = 5;
	if (w->once && stage_run(w->once, w->shared, wire, out) < 0)
		return 1;
	return stage_run(w->each, w->data_dir, wire, out) < 0 ? 1 : 0;
}

static void fail_input(struct node *node, const char *name, const char *reason)
{
	autofree char *why = mem_printf("input '%s': %s", name, reason);
	node_fail(node, -1, why);
}

// The controller cannot send it: the stager waits in vain.
static void on_not_sent(struct node *node, size_t index, const char *why)
{
	if (stopped(node))
		return;
	struct plan_input input = plan_input(node->plan, index);
	node_event(node, event_make("input", "s:s, s:s, s:b, s:s, s:b", "name", input.name, "from", input.from, "ok", 0,
				 "why", why, "sent", 1));
	fail_input(node, input.name, why);
	forked_task_kill(steal(node->prepare->stager));
}

static void on_stage_line(json_t *line, void *data)
{
	struct node *node = data;
	if (stopped(node))
		return;
	if (event_is(line, "want")) {
		input_client_want(node->input_client, (size_t)json_integer_value(json_object_get(line, "input")));
		return;
	}
	node_event(node, json_incref(line));
	const json_t *ok = json_object_get(line, "ok");
	if (json_is_false(ok))
		fail_input(node, json_string_value(json_object_get(line, "name")),
			json_string_value(json_object_get(line, "why")));
}

// Where node 0's copy is seen from here.
static int link_shared(struct node *node, struct error *err)
{
	autojson json_t *once = own_inputs(node, true);
	size_t i;
	json_t *input;
	json_array_foreach (once, i, input) {
		const char *path = plan_input_read(input).path;
		autofree char *from = fs_join(node->shared, path), *to = fs_join(node->data_dir, path);
		if (fs_is_inside(path) && strchr(path, '/')) {
			autofree char *parent = mem_strndup(to, (size_t)(strrchr(to, '/') - to));
			if (fs_mkdirs(parent, 0755, err) < 0)
				return -1;
		}
		if (symlink(from, to) < 0 && errno != EEXIST)
			return error_errno(err, "cannot make the link '%s'", to);
	}
	return 0;
}

static void on_staged(struct node *node, const json_t *all, void *data)
{
	if (stopped(node))
		return;
	struct error err;
	if (node->shared && link_shared(node, &err) < 0) {
		node_fail(node, -1, err.text);
		return;
	}
	setup_start(node, contain);
}

static void on_stage_exit(int status, void *data)
{
	struct node *node = data;
	if (node->prepare)
		node->prepare->stager = NULL;
	input_client_free(steal(node->input_client));
	if (stopped(node))
		return;
	if (status != 0) {
		autofree char *why = mem_printf("fetching the inputs ended with status %d", status);
		node_fail(node, -1, why);
		return;
	}
	node_fence(node, "staged", json_null(), on_staged, NULL);
}

// One copy for all cannot be where the nodes share nothing.
static void warn_of_once(struct node *node)
{
	for (size_t i = 0; i < plan_inputs(node->plan); i++) {
		struct plan_input input = plan_input(node->plan, i);
		autofree char *why = mem_printf(
			"input '%s' has 'once', but the nodes share no directory: each node gets its own copy",
			input.name);
		if (node->id == 0 && !node->shared && input.once)
			node_event(node, event_make("warn", "s:s", "why", why));
	}
}

static void stage(struct node *node)
{
	if (node->attempt > 1 || plan_inputs(node->plan) == 0) {
		setup_start(node, contain);
		return;
	}
	node_phase(node, "stage");
	warn_of_once(node);
	autojson json_t *each = own_inputs(node, false), *once = own_inputs(node, true);
	struct stage_work work = {
		each, node->id == 0 && json_array_size(once) ? once : NULL, node->data_dir, node->shared};
	struct error err;
	autoclose int wire = -1;
	input_client_free(node->input_client);
	node->input_client = input_client_new(node, on_not_sent, &wire, &err);
	struct forked_task_options options = {.work = stage_work,
		.work_data = &work,
		.keep = wire,
		.on_line = on_stage_line,
		.on_exit = on_stage_exit,
		.data = node};
	if (node->input_client)
		node->prepare->stager = forked_task_start(node->loop, &options, &err);
	if (!node->prepare->stager)
		node_fail(node, -1, err.text);
}

// --- the whole ----------------------------------------------------------------

static void on_contained(struct node *node)
{
	if (!stopped(node))
		finish(node);
}

static void contain(struct node *node)
{
	container_start(node, on_contained);
}

static void finish(struct node *node)
{
	void (*on_ready)(struct node *) = node->prepare->on_ready;
	rendezvous_release(node);
	on_ready(node);
}

static void on_met(struct node *node)
{
	if (node->preflight_only)
		finish(node);
	else
		stage(node);
}

void prepare_node_start(struct node *node, void (*on_ready)(struct node *node))
{
	struct prepare *p = node->prepare = mem_alloc(sizeof *p);
	p->on_ready = on_ready;
	node_phase(node, "preflight");
	rendezvous_start(node, on_met);
}

void prepare_node_stop(struct node *node)
{
	struct prepare *p = node->prepare;
	if (!p)
		return;
	node->prepare = NULL;
	rendezvous_stop(node);
	forked_task_kill(p->stager);
	input_client_free(steal(node->input_client));
	setup_stop(node);
	free(p);
}
