#include "fakes/agent.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "wire/event.h"

#include <assert.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fake_agent fake;

// --- watched descriptors --------------------------------------------------------------

struct loop_watch {
	int fd;
	void (*on_event)(enum loop_event event, void *data);
	void *data;
};

static struct loop_watch *watches[FAKE_WATCHES_MAX];

struct loop_watch *loop_watch(
	struct loop *loop, int fd, void (*on_event)(enum loop_event event, void *data), void *data)
{
	size_t k = 0;
	while (watches[k])
		assert(++k < FAKE_WATCHES_MAX);
	watches[k] = mem_alloc(sizeof *watches[k]);
	*watches[k] = (struct loop_watch){fd, on_event, data};
	return watches[k];
}

void loop_unwatch(struct loop_watch *watch)
{
	for (size_t k = 0; watch && k < FAKE_WATCHES_MAX; k++)
		if (watches[k] == watch) {
			watches[k] = NULL;
			close(watch->fd);
			free(watch);
			return;
		}
	assert(!watch);
}

int loop_watch_fd(const struct loop_watch *watch)
{
	return watch->fd;
}

void fake_watches_read(void)
{
	for (size_t k = 0; k < FAKE_WATCHES_MAX; k++) {
		struct pollfd p = {.fd = watches[k] ? watches[k]->fd : -1, .events = POLLIN};
		if (poll(&p, 1, 0) > 0)
			watches[k]->on_event(LOOP_READABLE, watches[k]->data);
	}
}

// --- the uplink -----------------------------------------------------------------------

int uplink_open(struct uplink *up, uint32_t stream, struct error *err)
{
	return fake.broken ? error_set(err, ERROR_SYSTEM, "%s", fake.broken) : 0;
}

bool uplink_add(struct uplink *up, uint32_t stream, const void *bytes, size_t len)
{
	autofree char *key = mem_printf("%u", stream);
	autofree char *all = mem_printf("%s%.*s", fake_output(key), (int)len, (const char *)bytes);
	json_object_set_new(fake.output, key, json_string(all));
	return !uplink_full(up, stream);
}

void uplink_event(struct uplink *up, json_t *event)
{
	json_array_append_new(fake.events, event);
}

bool uplink_full(const struct uplink *up, uint32_t stream)
{
	assert(stream < FAKE_STREAMS_MAX);
	return fake.full[stream];
}

void uplink_send(struct uplink *up, json_t *msg)
{
	json_array_append_new(fake.sent, msg);
}

const char *fake_output(const char *stream)
{
	return json_text_or(fake.output, stream, "");
}

// --- ranks ----------------------------------------------------------------------------

struct rank *rank_start(struct loop *loop, const struct rank_options *options, struct error *err)
{
	int pmi = options->pmi;
	if (fake.rank_error) {
		mem_cleanup_fd(&pmi);
		error_set(err, ERROR_SYSTEM, "%s", fake.rank_error);
		return NULL;
	}
	assert(fake.nranks < FAKE_RANKS_MAX);
	struct rank *r = &fake.ranks[fake.nranks++];
	*r = (struct rank){.options = *options, .running = true, .signals = json_array()};
	r->options.argv = json_deep_copy(options->argv);
	r->options.env = json_deep_copy(options->env);
	r->options.dir = options->dir ? mem_strdup(options->dir) : NULL;
	r->options.cgroups = options->cgroups ? mem_strdup(options->cgroups) : NULL;
	return r;
}

void rank_free(struct rank *rank)
{
	if (!rank)
		return;
	assert(!rank->freed);
	rank->freed = true;
	rank->running = false;
	mem_cleanup_fd(&rank->options.pmi);
}

pid_t rank_pid(const struct rank *rank)
{
	return FAKE_RANK_PID + (pid_t)(rank - fake.ranks); // there is no such process
}

void rank_signal(struct rank *rank, int signal)
{
	assert(rank->running);
	json_array_append_new(rank->signals, json_integer(signal));
}

void rank_resume(struct rank *rank)
{
	assert(!rank->freed);
	rank->resumed++;
}

bool fake_rank_output(size_t k, const char *text)
{
	struct rank *r = &fake.ranks[k];
	assert(r->running);
	return r->options.on_output(text, strlen(text), r->options.data);
}

bool fake_rank_metric(size_t k, const char *line)
{
	struct rank *r = &fake.ranks[k];
	assert(r->running);
	return r->options.on_metric(line, strlen(line), r->options.data);
}

void fake_rank_exit(size_t k, int status, int signal)
{
	struct rank *r = &fake.ranks[k];
	assert(r->running);
	r->running = false;
	mem_cleanup_fd(&r->options.pmi);
	r->options.on_exit(status, signal, r->options.data);
}

bool fake_rank_signalled(size_t k, const char *list)
{
	autostr struct str s = {0};
	size_t i;
	const json_t *signal;
	json_array_foreach (fake.ranks[k].signals, i, signal)
		str_printf(&s, "%s%d", i ? " " : "", (int)json_integer_value(signal));
	return strcmp(s.len ? s.text : "", list) == 0;
}

const char *fake_rank_env(size_t k, const char *name)
{
	return json_text(fake.ranks[k].options.env, name);
}

// --- forked tasks ---------------------------------------------------------------------

// The work is done at once, as the child has the data as they are now. Nobody reads what it writes.
struct forked_task *forked_task_start(struct loop *loop, const struct forked_task_options *options, struct error *err)
{
	if (fake.task_error) {
		error_set(err, ERROR_SYSTEM, "%s", fake.task_error);
		return NULL;
	}
	assert(fake.ntasks < FAKE_TASKS_MAX);
	struct forked_task *t = &fake.tasks[fake.ntasks++];
	*t = (struct forked_task){.options = *options};
	options->work(-1, -1, options->work_data);
	return t;
}

void forked_task_end(struct forked_task *child)
{
	assert(!child || !child->gone);
	if (child)
		child->ended = true;
}

void forked_task_kill(struct forked_task *child)
{
	assert(!child || !child->gone);
	if (child)
		child->gone = child->killed = true;
}

void fake_task_line(size_t k, json_t *line)
{
	autojson json_t *mine = line;
	assert(k < fake.ntasks && !fake.tasks[k].gone);
	fake.tasks[k].options.on_line(mine, fake.tasks[k].options.data);
}

void fake_task_exit(size_t k, int status)
{
	assert(k < fake.ntasks && !fake.tasks[k].gone);
	fake.tasks[k].gone = true;
	fake.tasks[k].options.on_exit(status, fake.tasks[k].options.data);
}

// --- what was recorded ------------------------------------------------------------------

size_t fake_count_events(const char *type)
{
	size_t count = 0, i;
	const json_t *event;
	json_array_foreach (fake.events, i, event)
		count += event_is(event, type);
	return count;
}

const json_t *fake_event(const char *type)
{
	for (size_t i = json_array_size(fake.events); i > 0; i--)
		if (event_is(json_array_get(fake.events, i - 1), type))
			return json_array_get(fake.events, i - 1);
	return NULL;
}

const char *fake_failure(void)
{
	return json_text(fake_event("fail"), "why");
}

static bool is_fence(const json_t *msg, const char *name)
{
	return json_is(msg, "msg", "fence") && json_is(msg, "name", name);
}

size_t fake_count_fences(const char *name)
{
	size_t count = 0, i;
	const json_t *msg;
	json_array_foreach (fake.sent, i, msg)
		count += is_fence(msg, name);
	return count;
}

const json_t *fake_fence_data(const char *name)
{
	size_t i;
	const json_t *msg;
	json_array_foreach (fake.sent, i, msg)
		if (is_fence(msg, name))
			return json_object_get(msg, "data");
	return NULL;
}

void fake_fence_answer(struct node *node, const char *name, json_t *all)
{
	autojson json_t *msg = mem_json("{s:s, s:s, s:o}", "msg", "fence", "name", name, "data", all);
	node_fence_answer(node, msg);
}

static void reset(void)
{
	for (size_t k = 0; k < fake.nranks; k++) {
		struct rank *r = &fake.ranks[k];
		json_decref(r->signals);
		json_decref((json_t *)r->options.argv);
		json_decref((json_t *)r->options.env);
		free((char *)r->options.dir);
		free((char *)r->options.cgroups);
	}
	json_decref(fake.events);
	json_decref(fake.sent);
	json_decref(fake.output);
	fake = (struct fake_agent){0};
}

// --- a node -----------------------------------------------------------------------------

int fake_node_set_up(void **state)
{
	char top[] = "agent-test-XXXXXX";
	assert_non_null(mkdtemp(top));
	signal(SIGPIPE, SIG_IGN); // as the agent does
	fake = (struct fake_agent){.events = json_array(), .sent = json_array(), .output = json_object()};
	struct node *node = mem_alloc(sizeof *node);
	*node = (struct node){.config = json_object(), .run = "run-1", .listener = -1, .claim = -1};
	node->dir = mem_strdup(top);
	node->data_dir = fs_join(top, "data");
	node->out_dir = fs_join(top, "out");
	node->machine = mem_strdup("machine");
	*state = node;
	return 0;
}

int fake_node_tear_down(void **state)
{
	struct node *node = *state;
	node_fence_drop(node);
	assert_int_equal(fs_remove(node->dir, NULL), 0);
	for (size_t k = 0; k < fake.nranks; k++)
		assert_true(fake.ranks[k].freed);
	for (size_t k = 0; k < FAKE_WATCHES_MAX; k++)
		assert_null(watches[k]);
	reset();
	json_decref(node->config);
	json_decref(node->plan);
	json_decref(node->peers);
	json_decref(node->offered);
	json_decref(node->moved);
	json_decref(node->ports);
	free(node->machines);
	free((char *)node->dir);
	free(node->data_dir);
	free(node->out_dir);
	free(node->machine);
	free(node->nonce);
	free(node);
	return 0;
}

static json_t *make_slice(const char *text, size_t id, size_t *count)
{
	struct error err = {0};
	struct job *job = job_parse(text, strlen(text), "t.yaml", NULL, 0, &err);
	assert_string_equal(err.text, "");
	autojson json_t *plan = plan_make(job, NULL, "/", &err);
	job_free(job);
	assert_string_equal(err.text, "");
	*count = plan_nodes(plan);
	json_t *slice = plan_slice(plan, id);
	json_object_del(slice, "nodes"); // as the controller does
	return slice;
}

static json_t *make_peer(size_t k)
{
	autofree char *name = mem_printf("host-%zu", k), *address = mem_printf("10.0.0.%zu", k);
	return mem_json(
		"{s:i, s:s, s:s, s:i}", "node", (int)k, "name", name, "address", address, "port", 7000 + (int)k);
}

void fake_node_launch(struct node *node, const char *job, size_t id)
{
	json_decref(node->plan);
	json_decref(node->peers);
	node->plan = make_slice(job, id, &node->count);
	node->peers = json_array();
	for (size_t k = 0; k < node->count; k++)
		json_array_append_new(node->peers, make_peer(k));
	node->id = id;
	node->attempt++;
	node->failed = false;
	node->address = json_text(json_array_get(node->peers, id), "address");
	node->name = json_text(json_array_get(node->peers, id), "name");
	if (!node->offered)
		node->offered = mem_json("[s]", node->address);
	if (!node->nonce)
		node->nonce = mem_strdup("nonce");
}
