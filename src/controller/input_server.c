#include "controller/input_server.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/tar_stream.h"
#include "controller/git_fetch.h"
#include "job/plan.h"
#include "wire/event.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum item_state { UNSEEN, LOOKING, READY, FAILED };

// An input. While LOOKING its tar stream stream, its error and its commit are the thread's.
struct item {
	struct input_server *input_server;
	struct plan_input input;
	enum item_state state;
	struct tar_stream *tar;
	struct error err;
	char commit[GIT_FETCH_COMMIT];
	double began;
	pthread_t thread;
	atomic_bool through;
};

// A node: what it wants now.
struct customer {
	struct item *item; // NULL: nothing
	uint64_t at, until;
	bool answered;
	struct tar_stream_reader *reader; // once it was answered well
};

struct input_server {
	const struct input_server_ops *ops;
	void *data;
	const char *dir, *skip;
	json_t *plan;
	struct item *items;
	size_t nitems;
	struct customer *customers;
	size_t ncustomers;
	int signal; // an eventfd the threads write to
	struct loop_watch *watch;
	atomic_bool cancelled;
	bool stopped;
};

static size_t index_of(const struct item *item)
{
	return (size_t)(item - item->input_server->items);
}

static bool is_git(const struct item *item)
{
	return item->input.kind == PLAN_INPUT_GIT;
}

static char *fetch_dir(const struct input_server *s, const struct item *item)
{
	return item ? mem_printf("%s/fetched/%zu", s->dir, index_of(item)) : fs_join(s->dir, "fetched");
}

// --- finding out what it is ---------------------------------------------------

static int fetch(struct item *item, const char *dir)
{
	struct input_server *s = item->input_server;
	if (fs_mkdirs(dir, 0700, &item->err) < 0)
		return -1;
	return git_fetch_run(item->input.from, dir, &s->cancelled, item->commit, &item->err);
}

static void *look(void *data)
{
	struct item *item = data;
	struct input_server *s = item->input_server;
	autofree char *dir = is_git(item) ? fetch_dir(s, item) : NULL;
	if (!dir || fetch(item, dir) == 0)
		item->tar = tar_stream_new(dir ? dir : item->input.from, s->skip, &s->cancelled, &item->err);
	item->through = true;
	eventfd_write(s->signal, 1);
	return NULL;
}

static void forget(struct customer *c)
{
	tar_stream_close(steal(c->reader));
	*c = (struct customer){0};
}

static void refuse(struct input_server *s, size_t node, const char *why)
{
	struct customer *c = &s->customers[node];
	s->ops->send(node, mem_json("{s:s, s:i, s:s}", "msg", "input", "input", (int)index_of(c->item), "why", why),
		s->data);
	forget(c);
}

static void answer(struct input_server *s, size_t node)
{
	struct customer *c = &s->customers[node];
	const struct tar_stream *p = c->item->tar;
	if (c->item->state == FAILED) {
		refuse(s, node, c->item->err.text);
		return;
	}
	if (c->at > tar_stream_size(p)) {
		forget(c);
		s->ops->on_bad(node, "request for an input beyond its end", s->data);
		return;
	}
	c->reader = tar_stream_open(p);
	s->ops->send(node,
		mem_json("{s:s, s:i, s:I, s:i, s:b}", "msg", "input", "input", (int)index_of(c->item), "size",
			(json_int_t)tar_stream_size(p), "mode", (int)tar_stream_mode(p), "archive",
			tar_stream_is_archive(p)),
		s->data);
	s->ops->wake(node, s->data);
}

static void say_fetched(struct item *item)
{
	bool ok = item->state == READY;
	if (is_git(item))
		item->input_server->ops->on_fetched(
			event_make("input", "s:s, s:s, s:f, s:s?, s:b, s:s?", "name", item->input.name, "from",
				item->input.from, "seconds", clock_mono() - item->began, "commit",
				*item->commit ? item->commit : NULL, "ok", ok, "why", ok ? NULL : item->err.text),
			item->input_server->data);
}

static void finish(struct item *item)
{
	struct input_server *s = item->input_server;
	item->state = item->tar ? READY : FAILED;
	say_fetched(item);
	for (size_t i = 0; i < s->ncustomers; i++)
		if (s->customers[i].item == item)
			answer(s, i);
}

static void on_through(enum loop_event event, void *data)
{
	struct input_server *s = data;
	eventfd_t count;
	if (event != LOOP_READABLE || eventfd_read(s->signal, &count) < 0)
		return;
	for (size_t i = 0; i < s->nitems && !s->stopped; i++) {
		struct item *item = &s->items[i];
		if (item->state != LOOKING || !item->through)
			continue;
		pthread_join(item->thread, NULL);
		finish(item);
	}
}

static void start_looking(struct item *item)
{
	item->state = LOOKING;
	item->began = clock_mono();
	if (pthread_create(&item->thread, NULL, look, item) == 0)
		return;
	error_set(&item->err, ERROR_SYSTEM, "cannot start a thread");
	item->state = FAILED;
}

// --- asking -------------------------------------------------------------------

static struct item *find(struct input_server *s, const json_t *msg)
{
	const json_t *number = json_object_get(msg, "input");
	json_int_t i = json_is_integer(number) ? json_integer_value(number) : -1;
	if (i < 0 || (size_t)i >= s->nitems)
		return NULL;
	enum plan_input_kind kind = s->items[i].input.kind;
	return kind == PLAN_INPUT_PATH || kind == PLAN_INPUT_GIT ? &s->items[i] : NULL;
}

static uint64_t number(const json_t *msg, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(msg, name));
	return n > 0 ? (uint64_t)n : 0;
}

void input_server_ask(struct input_server *s, size_t node, const json_t *msg)
{
	struct customer *c = &s->customers[node];
	struct item *item = find(s, msg);
	if (s->stopped)
		return;
	if (!item) {
		s->ops->on_bad(node, "request for an input that is not in its plan", s->data);
		return;
	}
	if (!json_object_get(msg, "from")) { // more room for what it asked for before
		if (c->item == item)
			c->until = number(msg, "until");
		if (c->reader)
			s->ops->wake(node, s->data);
		return;
	}
	forget(c);
	*c = (struct customer){.item = item, .at = number(msg, "from"), .until = number(msg, "until")};
	if (item->state == UNSEEN)
		start_looking(item);
	if (item->state != LOOKING)
		answer(s, node);
}

void input_server_resize(struct input_server *s, size_t nodes)
{
	for (size_t i = nodes; i < s->ncustomers; i++)
		forget(&s->customers[i]);
	s->customers = mem_resize(s->customers, nodes * sizeof *s->customers);
	for (size_t i = s->ncustomers; i < nodes; i++)
		s->customers[i] = (struct customer){0};
	s->ncustomers = nodes;
}

void input_server_away(struct input_server *s, size_t node)
{
	forget(&s->customers[node]);
}

size_t input_server_fill(
	struct input_server *s, size_t node, uint32_t *stream, uint64_t *offset, void *buf, size_t size)
{
	struct customer *c = &s->customers[node];
	if (s->stopped || !c->reader || c->at >= c->until)
		return 0;
	struct error err = {0};
	size_t room = c->until - c->at < size ? (size_t)(c->until - c->at) : size;
	ssize_t n = tar_stream_read(c->reader, c->at, buf, room, &err);
	if (n < 0)
		refuse(s, node, err.text);
	if (n <= 0)
		return 0;
	*stream = INPUT_SERVER_STREAMS + (uint32_t)index_of(c->item);
	*offset = c->at;
	c->at += (uint64_t)n;
	return (size_t)n;
}

// --- life ---------------------------------------------------------------------

struct input_server *input_server_new(struct loop *loop, const json_t *plan, const char *dir, const char *skip,
	const struct input_server_ops *ops, void *data, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		error_errno(err, "cannot make an event descriptor");
		return NULL;
	}
	struct input_server *s = mem_alloc(sizeof *s);
	*s = (struct input_server){
		.ops = ops, .data = data, .dir = dir, .skip = skip, .signal = fd, .plan = json_incref((json_t *)plan)};
	s->ncustomers = plan_nodes(plan);
	s->customers = mem_alloc(s->ncustomers * sizeof *s->customers);
	s->nitems = plan_inputs(plan);
	s->items = mem_alloc(s->nitems * sizeof *s->items);
	for (size_t i = 0; i < s->nitems; i++)
		s->items[i] = (struct item){.input_server = s, .input = plan_input(plan, i)};
	s->watch = loop_watch(loop, fd, on_through, s);
	return s;
}

void input_server_stop(struct input_server *s)
{
	if (!s || s->stopped)
		return;
	s->stopped = true;
	s->cancelled = true;
	bool fetched = false;
	for (size_t i = 0; i < s->nitems; i++) {
		if (s->items[i].state == LOOKING)
			pthread_join(s->items[i].thread, NULL);
		fetched = fetched || (s->items[i].state != UNSEEN && is_git(&s->items[i]));
	}
	for (size_t i = 0; i < s->ncustomers; i++)
		forget(&s->customers[i]);
	loop_unwatch(s->watch);
	autofree char *dir = fetch_dir(s, NULL);
	if (fetched)
		fs_remove(dir, NULL);
}

void input_server_free(struct input_server *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->nitems; i++)
		tar_stream_free(s->items[i].tar);
	json_decref(s->plan);
	free(s->items);
	free(s->customers);
	free(s);
}
