#include "tui/status_panel.h"

#include "base/mem.h"
#include "tui/terminal_text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
	ADDRESS_MOST = 24,
	METRIC_LINES = 2,
	WIDTH_ADDRESS = 70, // narrower windows have no room for addresses
	WIDTH_SAMPLE = 50,  // nor for what nodes use
	GAP = 3,            // between things on one line
};

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN };
static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[36m"};

// One line as it is made.
struct line {
	const struct status_panel *panel;
	struct str *out;
	size_t used;
};

static void put_text(struct line *line, enum colour colour, const char *text, size_t len)
{
	bool coloured = line->panel->colour && colour != PLAIN;
	if (coloured)
		str_puts(line->out, codes[colour]);
	line->used += terminal_text_add(line->out, text, len, line->panel->width - line->used);
	if (coloured)
		str_puts(line->out, "\033[0m");
}

static void put(struct line *line, enum colour colour, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void put(struct line *line, enum colour colour, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	put_text(line, colour, text, strlen(text));
}

static void put_many(struct line *line, enum colour colour, const char *text, size_t count)
{
	autostr struct str s = {0};
	while (count-- > 0)
		str_puts(&s, text);
	put_text(line, colour, s.text, s.len);
}

// Blanks up to a column.
static void put_tab(struct line *line, size_t column)
{
	if (line->used < column)
		put_many(line, PLAIN, " ", column - line->used);
}

static struct line begin(const struct status_panel *panel, struct str *out)
{
	return (struct line){.panel = panel, .out = out};
}

static void end(struct line *line)
{
	str_puts(line->out, "\n");
}

// --- header and phases ------------------------------------------------------

// Whole seconds: a clock that is still running need not flicker.
static char *clock_text(double seconds)
{
	long s = seconds > 0 && seconds < 1e12 ? (long)seconds : 0;
	if (s < 60)
		return mem_printf("%ld s", s);
	return str_seconds((double)s);
}

static char *status_text(const struct status_panel *panel, const struct run_progress *p)
{
	if (p->outcome) {
		autofree char *took = str_seconds(p->seconds);
		return mem_printf("%s after %s", p->outcome, took);
	}
	if (!p->begun)
		return mem_strdup("starting");
	autofree char *elapsed = clock_text(panel->now - p->begun);
	double seconds = run_progress_left(p, panel->now);
	if (seconds < 0)
		return steal(elapsed);
	autofree char *left = clock_text(seconds);
	return mem_printf("%s, about %s left", elapsed, left);
}

static void draw_header(const struct status_panel *panel, const struct run_progress *p, struct str *out)
{
	struct line line = begin(panel, out);
	const char *rule = panel->utf8 ? "\u2500" : "-";
	enum colour colour = !p->outcome ? BOLD : strcmp(p->outcome, "ok") == 0 ? GREEN : RED;
	autofree char *status = status_text(panel, p);
	size_t right = terminal_text_width(status, strlen(status)) + 4;
	put_many(&line, DIM, rule, 2);
	size_t room = panel->width > right + 8 ? panel->width - right - 6 : 0;
	if (room) {
		autostr struct str id = {0};
		terminal_text_add(&id, p->id ? p->id : "", p->id ? strlen(p->id) : 0, room);
		put(&line, BOLD, " %s ", id.text ? id.text : "");
	}
	if (line.used + right < panel->width)
		put_many(&line, DIM, rule, panel->width - right - line.used);
	put(&line, colour, " %s ", status);
	put_many(&line, DIM, rule, panel->width > line.used ? panel->width - line.used : 0);
	end(&line);
}

static void draw_phases(const struct status_panel *panel, const struct run_progress *p, struct str *out)
{
	struct line line = begin(panel, out);
	// The latest ones matter: leave out the first when there are too many (after retries).
	size_t first = p->nphases > 8 ? p->nphases - 8 : 0;
	for (size_t i = first; i < p->nphases; i++) {
		const struct run_progress_phase *phase = &p->phases[i];
		bool over = phase->seconds >= 0;
		autofree char *took = over ? str_seconds(phase->seconds) : clock_text(panel->now - phase->begun);
		put_many(&line, PLAIN, " ", i > first ? GAP : 1);
		if (over)
			put(&line, GREEN, panel->utf8 ? "\u2713 " : "+ ");
		else
			put(&line, CYAN, panel->utf8 ? "\u25b8 " : "> ");
		put(&line, over ? PLAIN : BOLD, "%s ", phase->name);
		put(&line, DIM, "%s", took);
	}
	end(&line);
}

// --- nodes ------------------------------------------------------------------

static enum colour state_colour(enum run_progress_state state)
{
	switch (state) {
	case RUN_PROGRESS_STARTING:
		return DIM;
	case RUN_PROGRESS_BUSY:
		return CYAN;
	case RUN_PROGRESS_DONE:
		return GREEN;
	case RUN_PROGRESS_FAILED:
	case RUN_PROGRESS_LOST:
		return RED;
	default:
		return PLAIN;
	}
}

static const char *const state_names[] = {
	[RUN_PROGRESS_STARTING] = "starting",
	[RUN_PROGRESS_READY] = "ready",
	[RUN_PROGRESS_BUSY] = "busy",
	[RUN_PROGRESS_RUNNING] = "running",
	[RUN_PROGRESS_DONE] = "done",
	[RUN_PROGRESS_FAILED] = "failed",
	[RUN_PROGRESS_LOST] = "lost",
};

static char *state_text(const struct run_progress_node *node)
{
	if (node->state == RUN_PROGRESS_BUSY && node->phase[0])
		return mem_strdup(node->phase);
	if (node->state == RUN_PROGRESS_RUNNING && node->running + node->ended > 1)
		return mem_printf("%zu of %zu run", node->running, node->running + node->ended);
	return mem_strdup(state_names[node->state]);
}

// Columns that all lines of nodes share.
struct columns {
	size_t number, address, state; // widths
	bool sample;
};

static struct columns measure(const struct status_panel *panel, const struct run_progress *p)
{
	struct columns c = {.number = (size_t)snprintf(NULL, 0, "node %zu", p->nnodes ? p->nnodes - 1 : 0), .state = 8};
	for (size_t i = 0; i < p->nnodes; i++) {
		const struct run_progress_node *node = &p->nodes[i];
		size_t len = node->address ? strlen(node->address) : 0;
		c.address = len > c.address ? len : c.address;
		autofree char *state = state_text(node);
		c.state = strlen(state) > c.state ? strlen(state) : c.state;
		c.sample |= node->sampled;
	}
	c.address = panel->width < WIDTH_ADDRESS ? 0 : c.address < ADDRESS_MOST ? c.address : ADDRESS_MOST;
	c.sample &= panel->width >= WIDTH_SAMPLE;
	return c;
}

static void draw_node(const struct status_panel *panel, const struct run_progress *p, const struct columns *c, size_t i,
	struct str *out)
{
	const struct run_progress_node *node = &p->nodes[i];
	struct line line = begin(panel, out);
	put(&line, PLAIN, " node %zu", i);
	size_t at = 1 + c->number + 2;
	put_tab(&line, at);
	if (c->address) {
		put(&line, DIM, "%.*s", ADDRESS_MOST, node->address ? node->address : "");
		put_tab(&line, at += c->address + 2);
	}
	autofree char *state = state_text(node);
	put(&line, state_colour(node->state), "%s", state);
	put_tab(&line, at += c->state + 2);
	if (c->sample) {
		if (node->sampled) {
			autofree char *memory = str_bytes(node->memory);
			put(&line, PLAIN, "%5.2f cpu %9s", node->cpu, memory);
		}
		put_tab(&line, at += 9 + 10 + 2);
	}
	if (node->last_len && line.used < panel->width) {
		if (p->size > p->nnodes)
			put(&line, DIM, "%zu| ", node->last_rank);
		put_text(&line, DIM, node->last, node->last_len);
	}
	end(&line);
}

static void draw_rest(
	const struct status_panel *panel, const struct run_progress *p, const bool *shown, struct str *out)
{
	size_t counts[RUN_PROGRESS_LOST + 1] = {0}, rest = 0;
	double cpu = 0, memory = 0;
	bool sampled = false;
	for (size_t i = 0; i < p->nnodes; i++) {
		const struct run_progress_node *node = &p->nodes[i];
		sampled |= node->sampled;
		cpu += node->cpu;
		memory += node->memory;
		if (!shown[i]) {
			counts[node->state]++;
			rest++;
		}
	}
	struct line line = begin(panel, out);
	put(&line, PLAIN, " %zu more:", rest);
	bool first = true;
	for (size_t s = 0; s < countof(counts); s++) {
		if (counts[s])
			put(&line, state_colour((enum run_progress_state)s), "%s %zu %s", first ? "" : ",", counts[s],
				state_names[s]);
		first &= !counts[s];
	}
	if (sampled) {
		autofree char *bytes = str_bytes(memory);
		put(&line, PLAIN, "; all %zu nodes use %.1f cpu and %s", p->nnodes, cpu, bytes);
	}
	end(&line);
}

// Trouble is shown first when there is no room for everybody, then the nodes as they are numbered.
static void choose(const struct run_progress *p, bool *shown, size_t room)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < p->nnodes && room; i++) {
			if (shown[i] || (pass == 0 && p->nodes[i].state < RUN_PROGRESS_FAILED))
				continue;
			shown[i] = true;
			room--;
		}
	}
}

static size_t draw_nodes(const struct status_panel *panel, const struct run_progress *p, size_t room, struct str *out)
{
	if (!p->nnodes || !room)
		return 0;
	autofree bool *shown = mem_alloc(p->nnodes * sizeof *shown);
	bool fits = p->nnodes <= room;
	choose(p, shown, fits ? room : room - 1);
	struct columns c = measure(panel, p);
	for (size_t i = 0; i < p->nnodes; i++)
		if (shown[i])
			draw_node(panel, p, &c, i, out);
	if (!fits)
		draw_rest(panel, p, shown, out);
	return fits ? p->nnodes : room;
}

// --- metrics and the bar ----------------------------------------------------

static char *metric_text(const struct run_progress_metric *m)
{
	double mean, least, most;
	size_t ranks = run_progress_mean(m, &mean, &least, &most);
	if (!ranks)
		return NULL;
	const char *unit = m->unit ? m->unit : "", *blank = m->unit ? " " : "";
	if (ranks > 1 && least < most)
		return mem_printf("%.4g%s%s (%.4g to %.4g)", mean, blank, unit, least, most);
	return mem_printf("%.4g%s%s", mean, blank, unit);
}

static size_t draw_metrics(const struct status_panel *panel, const struct run_progress *p, size_t room, struct str *out)
{
	size_t lines = 0;
	struct line line = {0};
	for (size_t i = 0; i < p->nmetrics; i++) {
		const struct run_progress_metric *m = &p->metrics[i];
		autofree char *value = metric_text(m);
		if (!value)
			continue;
		size_t width = strlen(m->name) + 1 + strlen(value);
		if (lines == 0 || line.used + GAP + width > panel->width) {
			if (lines == room)
				break;
			if (lines++)
				end(&line);
			line = begin(panel, out);
			put(&line, PLAIN, " ");
		} else {
			put_many(&line, PLAIN, " ", GAP);
		}
		put(&line, DIM, "%s ", m->name);
		put(&line, PLAIN, "%s", value);
	}
	if (lines)
		end(&line);
	return lines;
}

static void draw_bar(const struct status_panel *panel, double share, struct str *out)
{
	struct line line = begin(panel, out);
	size_t cells = panel->width > 60 ? 50 : panel->width > 12 ? panel->width - 10 : 0;
	size_t full = (size_t)(share * (double)cells);
	put(&line, PLAIN, " ");
	put_many(&line, GREEN, panel->utf8 ? "\u2588" : "#", full);
	put_many(&line, DIM, panel->utf8 ? "\u2591" : ".", cells - full);
	put(&line, PLAIN, " %.0f %%", share * 100);
	end(&line);
}

size_t status_panel_draw(const struct status_panel *panel, const struct run_progress *p, struct str *out)
{
	size_t room = panel->height;
	if (!room || !panel->width)
		return 0;
	draw_header(panel, p, out);
	room--;
	if (room && p->nphases) {
		draw_phases(panel, p, out);
		room--;
	}
	double share = p->outcome ? -1 : run_progress_share(p);
	bool bar = share >= 0 && room > 1;
	room -= bar;
	autostr struct str metrics = {0};
	room -= draw_metrics(panel, p, room > METRIC_LINES ? METRIC_LINES : room / 2, &metrics);
	if (!p->outcome)
		room -= draw_nodes(panel, p, room, out);
	if (metrics.len)
		str_add(out, metrics.text, metrics.len);
	if (bar)
		draw_bar(panel, share, out);
	return panel->height - room;
}
