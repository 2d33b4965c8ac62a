#include "agent/node.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/placeholders.h"
#include "job/plan.h"
#include "wire/event.h"

#include <stdlib.h>
#include <string.h>

struct fence {
	struct fence *next;
	char *name;
	json_t *data;
	void (*on_all)(struct node *node, const json_t *all, void *data);
	void *user;
};

void node_event(struct node *node, json_t *event)
{
	json_object_set_new(event, "node", json_integer((json_int_t)node->id));
	uplink_event(node->up, event);
}

// The attempt tells the controller what is news of one that it has given up.
static void add_attempt(const struct node *node, json_t *event)
{
	json_object_set_new(event, "attempt", json_integer((json_int_t)node->attempt));
}

static void say_phase(struct node *node, json_t *event)
{
	add_attempt(node, event);
	node_event(node, event);
}

void node_phase(struct node *node, const char *name)
{
	if (node->phase)
		say_phase(node, event_make("phase", "s:s, s:s, s:f", "name", node->phase, "edge", "end", "seconds",
					clock_mono() - node->phase_start));
	node->phase = name;
	node->phase_start = clock_mono();
	if (name)
		say_phase(node, event_make("phase", "s:s, s:s", "name", name, "edge", "begin"));
}

static void say_fail(struct node *node, long rank, bool named, const char *why)
{
	if (node->failed)
		return;
	node->failed = true;
	autofree char *clean = str_utf8_clean(why, strlen(why));
	json_t *event = event_make("fail", "s:s, s:s", "phase", node->phase ? node->phase : "run", "why", clean);
	add_attempt(node, event);
	if (rank >= 0)
		json_object_set_new(event, "rank", json_integer(rank));
	if (named)
		json_object_set_new(event, "named", json_true());
	node_event(node, event);
}

void node_fail(struct node *node, long rank, const char *why)
{
	say_fail(node, rank, false, why);
}

void node_fail_named(struct node *node, const char *why)
{
	say_fail(node, -1, true, why);
}

const char *node_host_name(const struct node *node)
{
	const char *name = plan_own_node(node->plan).host.host;
	return name ? name : node->name;
}

// --- fences -------------------------------------------------------------------

static void send_fence(struct node *node, const struct fence *f)
{
	uplink_send(node->up, mem_json("{s:s, s:s, s:O}", "msg", "fence", "name", f->name, "data", f->data));
}

static void fence_free(struct fence *f)
{
	free(f->name);
	json_decref(f->data);
	free(f);
}

void node_fence(struct node *node, const char *name, json_t *data,
	void (*on_all)(struct node *node, const json_t *all, void *data), void *user)
{
	struct fence *f = mem_alloc(sizeof *f);
	*f = (struct fence){
		.next = node->fences, .name = mem_strdup(name), .data = data, .on_all = on_all, .user = user};
	node->fences = f;
	send_fence(node, f);
}

void node_fence_answer(struct node *node, const json_t *msg)
{
	const char *name = json_string_value(json_object_get(msg, "name"));
	for (struct fence **at = &node->fences; name && *at; at = &(*at)->next) {
		struct fence *f = *at;
		if (strcmp(f->name, name) != 0)
			continue;
		*at = f->next;
		f->on_all(node, json_object_get(msg, "data"), f->user);
		fence_free(f);
		return;
	}
}

void node_fence_again(struct node *node)
{
	for (struct fence *f = node->fences; f; f = f->next)
		send_fence(node, f);
}

void node_fence_drop(struct node *node)
{
	while (node->fences) {
		struct fence *f = node->fences;
		node->fences = f->next;
		fence_free(f);
	}
}

// --- placeholders -------------------------------------------------------------

struct look {
	struct node *node;
	long rank;
};

static const char *address_of(struct node *node, long index)
{
	return json_string_value(json_object_get(json_array_get(node->peers, (size_t)index), "address"));
}

static char *all_addresses(struct node *node)
{
	struct str s = {0};
	for (size_t i = 0; i < json_array_size(node->peers); i++)
		str_printf(&s, "%s%s", i ? "," : "", address_of(node, (long)i));
	return str_steal(&s);
}

static char *port_of(struct look *look, long index, struct error *err)
{
	long rank = index >= 0 ? index : look->rank;
	const json_t *port = rank >= 0 ? json_array_get(look->node->ports, (size_t)rank) : NULL;
	if (!port) {
		error_set(err, ERROR_USAGE, "there is no port of rank %ld", rank);
		return NULL;
	}
	return mem_printf("%d", (int)json_integer_value(port));
}

static char *look_up_address(struct node *node, long index, struct error *err)
{
	const char *address = address_of(node, index >= 0 ? index : (long)node->id);
	if (!address)
		error_set(err, ERROR_USAGE, "there is no node %ld", index);
	return address ? mem_strdup(address) : NULL;
}

static char *look_up(const char *name, long index, void *data, struct error *err)
{
	struct look *look = data;
	struct node *node = look->node;
	const struct placeholder *p = placeholders_find(name);
	switch (p ? p->id : PLACEHOLDER_COUNT) {
	case PLACEHOLDER_DATA:
		return mem_strdup(node->data_dir);
	case PLACEHOLDER_OUT:
		return mem_strdup(node->out_dir);
	case PLACEHOLDER_HOSTS:
		return all_addresses(node);
	case PLACEHOLDER_HOSTFILE:
		return fs_join(node->dir, "hosts");
	case PLACEHOLDER_PORT:
		return port_of(look, index, err);
	case PLACEHOLDER_ADDR:
		return look_up_address(node, index, err);
	default: // the plan has filled it
		return NULL;
	}
}

json_t *node_expand(struct node *node, const json_t *tree, long rank, struct error *err)
{
	struct look look = {node, rank};
	err->code = 0;
	json_t *copy = json_deep_copy(tree);
	if (placeholders_expand_tree(copy, 1, look_up, &look, err) < 0) {
		json_decref(copy);
		return NULL;
	}
	return copy;
}
