#include "report/preflight_matrix.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"

#include <stdbool.h>
#include <stdlib.h>

enum { MATRIX_MAX = 16, WORST = 20 };

struct pair {
	size_t from, to;
	double latency, bandwidth; // seconds, bytes a second; negative: not known
	size_t order;              // of looks
};

struct pairs {
	struct pair *list;
	size_t count, size, nodes;
};

static double number(const json_t *row, const char *name)
{
	const json_t *value = json_object_get(row, name);
	return json_is_number(value) ? json_number_value(value) : -1;
}

static void add(struct pairs *p, size_t from, const json_t *row)
{
	struct pair pair = {from, (size_t)json_integer_value(json_object_get(row, "to")), number(row, "latency"),
		number(row, "bandwidth"), p->count};
	if (p->count == p->size) {
		p->size = p->size ? 2 * p->size : 64;
		p->list = mem_resize(p->list, p->size * sizeof *p->list);
	}
	p->list[p->count++] = pair;
	p->nodes = from + 1 > p->nodes ? from + 1 : p->nodes;
	p->nodes = pair.to + 1 > p->nodes ? pair.to + 1 : p->nodes;
}

static int by_nodes(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

static int by_nodes_and_order(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int nodes = by_nodes(a, b);
	return nodes ? nodes : x->order < y->order ? -1 : x->order > y->order;
}

// A pair may have been looked at more than once: the last look counts, and bandwidth from whichever had it.
static void merge(struct pairs *p)
{
	size_t kept = 0;
	if (p->count)
		qsort(p->list, p->count, sizeof *p->list, by_nodes_and_order);
	for (size_t i = 0; i < p->count; i++) {
		struct pair pair = p->list[i];
		bool again = kept && by_nodes(&p->list[kept - 1], &pair) == 0;
		if (again && pair.bandwidth < 0)
			pair.bandwidth = p->list[kept - 1].bandwidth;
		kept += !again;
		p->list[kept - 1] = pair;
	}
	p->count = kept;
}

static char *latency_text(const struct pair *p)
{
	if (!p || p->latency < 0)
		return mem_strdup("-");
	return p->latency < 0.001 ? mem_printf("%.0f us", p->latency * 1e6) : mem_printf("%.1f ms", p->latency * 1e3);
}

static char *bandwidth_text(const struct pair *p)
{
	if (!p || p->bandwidth < 0)
		return mem_strdup("-");
	autofree char *bytes = str_bytes(p->bandwidth);
	return mem_printf("%s/s", bytes);
}

static const struct pair *find(const struct pairs *p, size_t from, size_t to)
{
	struct pair key = {.from = from, .to = to};
	return bsearch(&key, p->list, p->count, sizeof key, by_nodes);
}

static void print_matrix(const struct pairs *p, const char *title, char *(*text)(const struct pair *), struct str *out)
{
	const char *heads[MATRIX_MAX + 2] = {title};
	char names[MATRIX_MAX][24];
	struct text_table grid = {.heads = heads};
	for (size_t to = 0; to < p->nodes; to++) {
		snprintf(names[to], sizeof names[to], "#%zu", to);
		heads[to + 1] = names[to];
	}
	for (size_t from = 0; from < p->nodes; from++) {
		text_table_take(&grid, mem_printf("node %zu", from));
		for (size_t to = 0; to < p->nodes; to++)
			text_table_take(&grid, text(find(p, from, to)));
	}
	text_table_print(&grid, out, "");
}

static int slower(const void *a, const void *b)
{
	double x = ((const struct pair *)a)->latency, y = ((const struct pair *)b)->latency;
	return (x < y) - (x > y);
}

static void print_worst(const struct pairs *p, struct str *out)
{
	static const char *const heads[] = {"FROM", "TO", "#LATENCY", "#BANDWIDTH", NULL};
	struct text_table grid = {.heads = heads};
	qsort(p->list, p->count, sizeof *p->list, slower);
	for (size_t i = 0; i < p->count && i < WORST; i++) {
		text_table_take(&grid, mem_printf("node %zu", p->list[i].from));
		text_table_take(&grid, mem_printf("node %zu", p->list[i].to));
		text_table_take(&grid, latency_text(&p->list[i]));
		text_table_take(&grid, bandwidth_text(&p->list[i]));
	}
	str_printf(out, "the slowest of %zu pairs:\n", p->count);
	text_table_print(&grid, out, "");
}

char *preflight_matrix_text(const json_t *report)
{
	struct pairs p = {0};
	struct str out = {0};
	size_t i, k;
	const json_t *look, *row;
	json_array_foreach (json_object_get(report, "preflight"), i, look)
		json_array_foreach (json_object_get(look, "rows"), k, row)
			add(&p, (size_t)json_integer_value(json_object_get(look, "node")), row);
	merge(&p);
	if (p.count && p.nodes <= MATRIX_MAX) {
		print_matrix(&p, "LATENCY", latency_text, &out);
		str_puts(&out, "\n");
		print_matrix(&p, "BANDWIDTH", bandwidth_text, &out);
	} else if (p.count)
		print_worst(&p, &out);
	free(p.list);
	return str_steal(&out);
}
