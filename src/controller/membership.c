#include "controller/membership.h"

#include "base/mem.h"
#include "job/plan.h"

#include <stdlib.h>
#include <string.h>

// How many answered fences are remembered: a node can miss one answer, and all others may be one fence further by then.
// An honest node waits in one or two.
enum { FENCES_KEPT = 3, FENCES_OPEN = 16 };

static const char *const phases[MEMBERSHIP_PHASES] = {"preflight", "stage", "setup", "run", "collect"};

// --- counts -------------------------------------------------------------------

static bool is_undone(const struct membership_rank *rank)
{
	return rank->decides && (rank->state != RANK_ENDED || rank->status != 0);
}

// Takes a node into the counts (1), or out of them (-1) before it changes.
static void count_node(struct membership *r, const struct membership_node *n, int by)
{
	struct membership_phase_count *phase = &r->phases[n->phase];
	r->silent += (size_t)(n->hello ? 0 : by);
	r->expected += (size_t)(n->hello && !n->gone ? by : 0);
	phase->nodes += (size_t)by;
	phase->present += (size_t)(n->gone ? 0 : by);
	phase->open += (size_t)(n->phase_open && !n->gone ? by : 0);
}

static void count_all(struct membership *r)
{
	r->silent = r->expected = r->undone = 0;
	memset(r->phases, 0, sizeof r->phases);
	for (size_t i = 0; i < r->nnodes; i++)
		count_node(r, &r->nodes[i], 1);
	for (size_t i = 0; i < r->nranks; i++)
		r->undone += is_undone(&r->ranks[i]);
}

void membership_init(struct membership *r, const json_t *plan)
{
	*r = (struct membership){.fences = json_object(), .met = json_array(), .not_there = json_object()};
	r->nnodes = plan_nodes(plan);
	r->nodes = mem_alloc(r->nnodes * sizeof *r->nodes);
	r->nranks = plan_ranks(plan);
	r->ranks = mem_alloc(r->nranks * sizeof *r->ranks);
	for (size_t i = 0; i < r->nranks; i++) {
		struct plan_rank rank = plan_rank(plan, i);
		r->ranks[i] = (struct membership_rank){.node = rank.node, .decides = rank.decides};
		if (r->nodes[rank.node].count++ == 0)
			r->nodes[rank.node].first = i;
	}
	count_all(r);
}

void membership_fini(struct membership *r)
{
	for (size_t i = 0; i < r->nnodes; i++) {
		json_decref(r->nodes[i].said);
		free(r->nodes[i].lost_why);
	}
	free(r->nodes);
	free(r->ranks);
	json_decref(r->fences);
	json_decref(r->met);
	json_decref(r->not_there);
}

static void forget_fences(struct membership *r)
{
	for (size_t i = 0; i < r->nnodes; i++)
		r->nodes[i].fences = 0;
	json_object_clear(r->fences);
	json_array_clear(r->met);
}

void membership_resize(struct membership *r, size_t nodes)
{
	for (size_t i = nodes; i < r->nnodes; i++) {
		json_decref(r->nodes[i].said);
		free(r->nodes[i].lost_why);
	}
	r->nodes = mem_resize(r->nodes, nodes * sizeof *r->nodes);
	for (size_t i = r->nnodes; i < nodes; i++)
		r->nodes[i] = (struct membership_node){0};
	r->nnodes = nodes;
	forget_fences(r); // they are as wide as there were nodes
	count_all(r);
}

// --- nodes and ranks ------------------------------------------------------------

void membership_set_hello(struct membership *r, size_t node, bool hello)
{
	count_node(r, &r->nodes[node], -1);
	r->nodes[node].hello = hello;
	count_node(r, &r->nodes[node], 1);
}

void membership_set_gone(struct membership *r, size_t node, bool gone)
{
	count_node(r, &r->nodes[node], -1);
	r->nodes[node].gone = gone;
	count_node(r, &r->nodes[node], 1);
}

static void set_phase(struct membership *r, size_t node, size_t phase, bool open)
{
	count_node(r, &r->nodes[node], -1);
	r->nodes[node].phase = phase;
	r->nodes[node].phase_open = open;
	count_node(r, &r->nodes[node], 1);
}

void membership_set_checked(struct membership *r, size_t node)
{
	set_phase(r, node, MEMBERSHIP_CHECKED, false);
}

void membership_set_rank(struct membership *r, size_t rank, enum rank_state state, int status, int signal)
{
	struct membership_rank *one = &r->ranks[rank];
	r->undone -= is_undone(one);
	one->state = state;
	one->status = status;
	one->signal = signal;
	r->undone += is_undone(one);
}

bool membership_all_hello(const struct membership *r)
{
	return r->silent == 0;
}

bool membership_all_checked(const struct membership *r)
{
	return r->phases[MEMBERSHIP_CHECKED].nodes == r->nnodes;
}

size_t membership_missing(const struct membership *r, size_t *first)
{
	for (size_t i = 0; i < r->nnodes; i++)
		if (!r->nodes[i].hello) {
			*first = i;
			break;
		}
	return r->silent;
}

bool membership_all_done(const struct membership *r)
{
	return r->undone == 0;
}

bool membership_all_gone(const struct membership *r)
{
	return r->expected == 0;
}

void membership_start_attempt(struct membership *r)
{
	for (size_t i = 0; i < r->nranks; i++)
		r->ranks[i].state = RANK_WAITS;
	for (size_t i = 0; i < r->nnodes; i++) {
		r->nodes[i].phase = 0;
		r->nodes[i].phase_open = false;
	}
	forget_fences(r);
	count_all(r);
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
	json_t *fence = json_object_get(r->fences, name);
	if (fence)
		return fence;
	json_t *all = json_array();
	for (size_t i = 0; i < r->nnodes; i++)
		json_array_append(all, r->not_there);
	fence = mem_json("{s:o, s:i}", "all", all, "count", 0);
	json_object_set_new(r->fences, name, fence);
	return fence;
}

const json_t *membership_fence(struct membership *r, size_t node, const char *name, json_t *data)
{
	const json_t *before = met_before(r, name);
	if (before)
		return before;
	if (r->nodes[node].fences >= FENCES_OPEN)
		return NULL;
	json_t *fence = open_fence(r, name), *all = json_object_get(fence, "all"),
	       *count = json_object_get(fence, "count");
	if (json_array_get(all, node) == r->not_there) {
		json_array_set_new(all, node, data ? json_incref(data) : json_null());
		json_integer_set(count, json_integer_value(count) + 1);
		r->nodes[node].fences++;
	}
	if ((size_t)json_integer_value(count) < r->nnodes)
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
	size_t before_it = 0, ahead = 0; // of nodes that are not gone; of all
	for (size_t i = 0; i < phase; i++)
		before_it += r->phases[i].present;
	for (size_t i = phase; i <= MEMBERSHIP_CHECKED; i++)
		ahead += r->phases[i].nodes;
	const struct membership_node *n = &r->nodes[node];
	bool behind = !n->gone && (n->phase < phase || (n->phase == phase && n->phase_open));
	bool first = ahead == 0, last = before_it + r->phases[phase].open == behind;
	set_phase(r, node, phase, begins);
	return begins ? first : last;
}
