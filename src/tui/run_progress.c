#include "tui/run_progress.h"

#include "base/json.h"
#include "base/mem.h"
#include "predict/remaining_time.h"
#include "wire/event.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	NODES_MOST = 1 << 16, // arrays are this long at most, whatever a damaged log says
	RANKS_MOST = 1 << 18,
	METRICS_MOST = 64, // more names than anybody can look at
};

static char *copy(const char *from)
{
	return mem_strdup(from ? from : "");
}

struct run_progress *run_progress_new(void)
{
	return mem_alloc(sizeof(struct run_progress));
}

void run_progress_free(struct run_progress *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->nphases; i++)
		free(p->phases[i].name);
	for (size_t i = 0; i < p->nnodes; i++) {
		free(p->nodes[i].name);
		free(p->nodes[i].address);
	}
	for (size_t i = 0; i < p->nmetrics; i++) {
		free(p->metrics[i].name);
		free(p->metrics[i].unit);
		free(p->metrics[i].values);
	}
	void *owned[] = {p->phases, p->nodes, p->ranks, p->metrics, p->id, p->executor, p->outcome, p->why, p};
	for (size_t i = 0; i < countof(owned); i++)
		free(owned[i]);
}

// --- things found by their number, made when they are new -----------------------

static void grow(void *array, size_t *have, size_t want, size_t size)
{
	if (want <= *have)
		return;
	char *bytes = mem_resize(*(void **)array, want * size);
	memset(bytes + *have * size, 0, (want - *have) * size);
	*(void **)array = bytes;
	*have = want;
}

// NULL: the run has no such node.
static struct run_progress_node *find_node(struct run_progress *p, const json_t *event)
{
	const json_t *value = json_object_get(event, "node");
	json_int_t node = json_integer_value(value);
	return json_is_integer(value) && node >= 0 && (size_t)node < p->nnodes ? &p->nodes[node] : NULL;
}

static struct run_progress_rank *find_rank(struct run_progress *p, const json_t *event)
{
	const json_t *value = json_object_get(event, "rank");
	json_int_t rank = json_integer_value(value);
	return json_is_integer(value) && rank >= 0 && (size_t)rank < p->size ? &p->ranks[rank] : NULL;
}

static struct run_progress_metric *find_metric(struct run_progress *p, const char *name, const char *unit)
{
	for (size_t i = 0; i < p->nmetrics; i++)
		if (strcmp(p->metrics[i].name, name) == 0)
			return &p->metrics[i];
	if (p->nmetrics >= METRICS_MOST)
		return NULL;
	grow(&p->metrics, &p->nmetrics, p->nmetrics + 1, sizeof *p->metrics);
	struct run_progress_metric *m = &p->metrics[p->nmetrics - 1];
	m->name = mem_strdup(name);
	m->unit = unit ? mem_strdup(unit) : NULL;
	return m;
}

// --- one function for each type ----------------------------------------------

static void on_run(struct run_progress *p, const json_t *event)
{
	free(p->id);
	free(p->executor);
	p->id = copy(json_text(event, "id"));
	p->executor = copy(json_text(event, "executor"));
	p->begun = json_number(event, "ts");
	json_int_t nodes = json_integer_value(json_object_get(event, "nodes")),
		   size = json_integer_value(json_object_get(event, "size"));
	if (nodes > 0 && nodes <= NODES_MOST)
		grow(&p->nodes, &p->nnodes, (size_t)nodes, sizeof *p->nodes);
	if (size > 0 && size <= RANKS_MOST)
		grow(&p->ranks, &p->size, (size_t)size, sizeof *p->ranks);
}

static void on_node_phase(struct run_progress_node *node, const char *name, bool begins)
{
	if (begins && node->state <= RUN_PROGRESS_READY) {
		node->state = RUN_PROGRESS_BUSY;
		snprintf(node->phase, sizeof node->phase, "%s", name);
	} else if (!begins && node->state == RUN_PROGRESS_BUSY && strcmp(node->phase, name) == 0) {
		node->state = RUN_PROGRESS_READY;
	}
}

static void on_phase(struct run_progress *p, const json_t *event)
{
	const char *name = json_text(event, "name"), *edge = json_text(event, "edge");
	if (!name || !edge)
		return;
	bool begins = strcmp(edge, "begin") == 0;
	struct run_progress_node *node = find_node(p, event);
	if (node) {
		on_node_phase(node, name, begins);
		return;
	}
	if (begins) {
		grow(&p->phases, &p->nphases, p->nphases + 1, sizeof *p->phases);
		p->phases[p->nphases - 1] = (struct run_progress_phase){mem_strdup(name), json_number(event, "ts"), -1};
		return;
	}
	for (size_t i = p->nphases; i-- > 0;) {
		if (p->phases[i].seconds < 0 && strcmp(p->phases[i].name, name) == 0) {
			p->phases[i].seconds = json_number(event, "seconds");
			return;
		}
	}
}

static void on_hello(struct run_progress *p, const json_t *event)
{
	struct run_progress_node *node = find_node(p, event);
	if (!node)
		return;
	free(node->name);
	free(node->address);
	node->name = copy(json_text(event, "name"));
	node->address = copy(json_text(event, "address"));
	node->state = RUN_PROGRESS_READY;
}

static void on_lost(struct run_progress *p, const json_t *event)
{
	struct run_progress_node *node = find_node(p, event);
	if (node && node->state != RUN_PROGRESS_LOST) {
		node->before = node->state;
		node->state = RUN_PROGRESS_LOST;
	}
}

static void on_back(struct run_progress *p, const json_t *event)
{
	struct run_progress_node *node = find_node(p, event);
	if (node && node->state == RUN_PROGRESS_LOST)
		node->state = node->before;
}

static void on_start(struct run_progress *p, const json_t *event)
{
	struct run_progress_node *node = find_node(p, event);
	struct run_progress_rank *rank = find_rank(p, event);
	if (!node || !rank)
		return;
	rank->placed = true;
	rank->node = (size_t)(node - p->nodes);
	node->running++;
	node->state = RUN_PROGRESS_RUNNING;
}

static void on_exit_rank(struct run_progress *p, const json_t *event)
{
	struct run_progress_node *node = find_node(p, event);
	if (!node)
		return;
	node->running -= node->running > 0;
	node->ended++;
	const char *why = json_text(event, "why");
	bool told = why && (strcmp(why, "told to stop") == 0 || strcmp(why, "cancelled") == 0);
	const json_t *status = json_object_get(event, "status");
	if (!told && !(json_is_integer(status) && json_integer_value(status) == 0))
		node->state = RUN_PROGRESS_FAILED;
	else if (node->running == 0 && node->state != RUN_PROGRESS_FAILED)
		node->state = RUN_PROGRESS_DONE;
}

// Everything that ranks did is done again.
static void on_retry(struct run_progress *p, const json_t *event)
{
	for (size_t i = 0; i < p->nnodes; i++) {
		struct run_progress_node *node = &p->nodes[i];
		node->running = node->ended = 0;
		if (node->state > RUN_PROGRESS_READY && node->state != RUN_PROGRESS_LOST)
			node->state = RUN_PROGRESS_READY;
	}
	for (size_t i = 0; i < p->size; i++)
		p->ranks[i].counts = false;
}

static void on_metric(struct run_progress *p, const json_t *event)
{
	const char *name = json_text(event, "name");
	const json_t *value = json_object_get(event, "value");
	const struct run_progress_rank *of = find_rank(p, event);
	struct run_progress_metric *m = name && of ? find_metric(p, name, json_text(event, "unit")) : NULL;
	if (!m)
		return;
	size_t rank = (size_t)(of - p->ranks);
	if (rank >= m->nvalues) {
		m->values = mem_resize(m->values, p->size * sizeof *m->values);
		while (m->nvalues < p->size)
			m->values[m->nvalues++] = NAN;
	}
	m->values[rank] = json_is_number(value) ? json_number_value(value) : NAN;
}

static void on_progress(struct run_progress *p, const json_t *event)
{
	struct run_progress_rank *rank = find_rank(p, event);
	double done = json_number(event, "done"), total = json_number(event, "total");
	if (!rank || total <= 0)
		return;
	if (!rank->counts || done < rank->done || total != rank->total) {
		rank->first_done = done;
		rank->first_ts = json_number(event, "ts");
	}
	rank->counts = true;
	rank->done = done;
	rank->total = total;
	rank->ts = json_number(event, "ts");
}

static void on_sample(struct run_progress *p, const json_t *event)
{
	struct run_progress_node *node = find_node(p, event);
	if (!node)
		return;
	node->sampled = true;
	node->cpu = json_number(event, "cpu");
	node->memory = json_number(event, "memory");
}

static void on_end(struct run_progress *p, const json_t *event)
{
	free(p->outcome);
	free(p->why);
	p->outcome = copy(json_text(event, "outcome"));
	p->why = json_text(event, "why") ? copy(json_text(event, "why")) : NULL;
	p->seconds = json_number(event, "seconds");
}

static const struct taker {
	const char *type;
	void (*take)(struct run_progress *p, const json_t *event);
} takers[] = {
	{"run", on_run},
	{"phase", on_phase},
	{"hello", on_hello},
	{"lost", on_lost},
	{"back", on_back},
	{"start", on_start},
	{"exit", on_exit_rank},
	{"retry", on_retry},
	{"metric", on_metric},
	{"progress", on_progress},
	{"sample", on_sample},
	{"end", on_end},
};

void run_progress_event(struct run_progress *p, const json_t *event)
{
	for (size_t i = 0; i < countof(takers); i++)
		if (event_is(event, takers[i].type))
			takers[i].take(p, event);
}

static bool ends_line(char c)
{
	return c == '\n' || c == '\r';
}

void run_progress_output(struct run_progress *p, size_t rank, const char *bytes, size_t len)
{
	if (rank >= p->size || !p->ranks[rank].placed)
		return;
	while (len && ends_line(bytes[len - 1]))
		len--;
	size_t begin = len;
	while (begin && !ends_line(bytes[begin - 1]))
		begin--;
	if (begin == len)
		return;
	struct run_progress_node *node = &p->nodes[p->ranks[rank].node];
	node->last_len = len - begin < RUN_PROGRESS_LAST ? len - begin : RUN_PROGRESS_LAST;
	memcpy(node->last, bytes + begin, node->last_len);
	node->last_rank = rank;
}

// --- sums -------------------------------------------------------------------

double run_progress_share(const struct run_progress *p)
{
	double sum = 0;
	size_t count = 0;
	for (size_t i = 0; i < p->size; i++) {
		if (!p->ranks[i].counts)
			continue;
		double share = p->ranks[i].done / p->ranks[i].total;
		sum += share < 0 ? 0 : share > 1 ? 1 : share;
		count++;
	}
	return count ? sum / (double)count : -1;
}

double run_progress_left(const struct run_progress *p, double now)
{
	double most = -1;
	for (size_t i = 0; i < p->size; i++) {
		const struct run_progress_rank *rank = &p->ranks[i];
		double took = rank->ts - rank->first_ts, did = rank->done - rank->first_done;
		if (!rank->counts)
			continue;
		if (took < 1 || did <= 0)
			return -1;
		most = fmax(most, remaining_time(&(struct remaining_time_pace){
					  rank->done, rank->total, did, took, now - rank->ts}));
	}
	return most;
}

size_t run_progress_mean(const struct run_progress_metric *m, double *mean, double *least, double *most)
{
	size_t count = 0;
	double sum = 0;
	*least = INFINITY;
	*most = -INFINITY;
	for (size_t i = 0; i < m->nvalues; i++) {
		if (isnan(m->values[i]))
			continue;
		sum += m->values[i];
		*least = fmin(*least, m->values[i]);
		*most = fmax(*most, m->values[i]);
		count++;
	}
	*mean = count ? sum / (double)count : NAN;
	return count;
}
