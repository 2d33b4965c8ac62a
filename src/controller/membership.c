#include "controller/membership.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

// How many answered fences are remembered: a node can miss one answer, and all others may be one fence further by then.
// An honest node waits in one or two.
enum { FENCES_KEPT = 3, FENCES_OPEN = 16 };

static const char *const phases[] = {"preflight", "stage", "setup", "run", "collect"};

void membership_init(struct membership *r, const json_t *plan)
{
	*r = (struct membership){.fences = json_object(), .met = json_array()};
	r->nnodes = json_array_size(json_object_get(plan, "nodes"));
	r->nodes = mem_alloc(r->nnodes * sizeof *r->nodes);
	const json_t *ranks = json_object_get(plan, "ranks");
	r->nranks = json_array_size(ranks);
	r->ranks = mem_alloc(r->nranks * sizeof *r->ranks);
	for (size_t i = 0; i < r->nranks; i++) {
		const json_t *rank = json_array_get(ranks, i);
		size_t node = (size_t)json_integer_value(json_object_get(rank, "node"));
		r->ranks[i] = (struct membership_rank){
			.node = node, .decides = json_is_true(json_object_get(rank, "decides"))};
		if (r->nodes[node].count++ == 0)
			r->nodes[node].first = i;
	}
}

void membership_fini(struct membership *r)
{
	for (size_t i = 0; i < r->nnodes; i++)
		json_decref(r->nodes[i].said);
	free(r->nodes);
	free(r->ranks);
	json_decref(r->fences);
	json_decref(r->met);
}

void membership_resize(struct membership *r, size_t nodes)
{
	for (size_t i = nodes; i < r->nnodes; i++)
		json_decref(r->nodes[i].said);
	r->nodes = mem_resize(r->nodes, nodes * sizeof *r->nodes);
	for (size_t i = r->nnodes; i < nodes; i++)
		r->nodes[i] = (struct membership_node){0};
	r->nnodes = nodes;
}

bool membership_all_hello(const struct membership *r)
{
	size_t first;
	return membership_missing(r, &first) == 0;
}

size_t membership_missing(const struct membership *r, size_t *first)
{
	size_t n = 0;
	for (size_t i = r->nnodes; i-- > 0;)
		if (!r->nodes[i].hello) {
			*first = i;
			n++;
		}
	return n;
}

bool membership_all_done(const struct membership *r)
{
	for (size_t i = 0; i < r->nranks; i++)
		if (r->ranks[i].decides && (r->ranks[i].state != RANK_ENDED || r->ranks[i].status != 0))
			return false;
	return true;
}

bool membership_all_gone(const struct membership *r)
{
	for (size_t i = 0; i < r->nnodes; i++)
		if (r->nodes[i].hello && !r->nodes[i].gone)
			return false;
	return true;
}

void membership_start_attempt(struct membership *r)
{
	for (size_t i = 0; i < r->nranks; i++)
		r->ranks[i].state = RANK_WAITS;
	for (size_t i = 0; i < r->nnodes; i++) {
		r->nodes[i].phase = 0;
		r->nodes[i].phase_open = false;
		r->nodes[i].fences = 0;
	}
	json_object_clear(r->fences);
	json_array_clear(r->met);
}

// --- fences -------------------------------------------------------------------

static const json_t *met_before(const struct membership *r, const char *name)
{
	size_t i;
	const json_t *entry;
	json_array_foreach (r->met, i, entry)
		if (strcmp(json_string_value(json_object_get(entry, "name")), name) == 0)
			return json_object_get(entry, "data");
	return NULL;
}

static json_t *open_fence(struct membership *r, const char *name)
{
	json_t *all = json_object_get(r->fences, name);
	if (all)
		return all;
	all = json_array();
	for (size_t i = 0; i < r->nnodes; i++)
		json_array_append_new(all, json_null());
	json_object_set_new(r->fences, name, mem_json("{s:o, s:[]}", "all", all, "there"));
	return json_object_get(r->fences, name);
}

static bool is_there(const json_t *there, size_t node)
{
	size_t i;
	const json_t *value;
	json_array_foreach (there, i, value)
		if ((size_t)json_integer_value(value) == node)
			return true;
	return false;
}

const json_t *membership_fence(struct membership *r, size_t node, const char *name, json_t *data)
{
	const json_t *before = met_before(r, name);
	if (before)
		return before;
	if (r->nodes[node].fences >= FENCES_OPEN)
		return NULL;
	json_t *fence = open_fence(r, name);
	json_t *all = json_object_get(fence, "all"), *there = json_object_get(fence, "there");
	if (!is_there(there, node)) {
		json_array_append_new(there, json_integer((json_int_t)node));
		json_array_set(all, node, data);
		r->nodes[node].fences++;
	}
	if (json_array_size(there) < r->nnodes)
		return NULL;
	for (size_t i = 0; i < r->nnodes; i++)
		r->nodes[i].fences--;
	if (json_array_size(r->met) == FENCES_KEPT)
		json_array_remove(r->met, 0);
	json_array_append_new(r->met, mem_json("{s:s, s:O}", "name", name, "data", all));
	json_object_del(r->fences, name);
	return met_before(r, name);
}

// --- phases -------------------------------------------------------------------

static size_t phase_index(const char *name)
{
	for (size_t i = 0; i < countof(phases); i++)
		if (strcmp(phases[i], name) == 0)
			return i + 1;
	return 0;
}

bool membership_phase(struct membership *r, size_t node, const char *name, bool begins)
{
	size_t phase = phase_index(name);
	if (phase == 0)
		return false;
	bool first = true, last = true;
	for (size_t i = 0; i < r->nnodes; i++) {
		first = first && r->nodes[i].phase < phase;
		if (i != node)
			last = last &&
			       (r->nodes[i].phase > phase || (r->nodes[i].phase == phase && !r->nodes[i].phase_open) ||
				       r->nodes[i].gone);
	}
	r->nodes[node].phase = phase;
	r->nodes[node].phase_open = begins;
	return begins ? first : last;
}
