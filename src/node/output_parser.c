#include "node/output_parser.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/regex.h"
#include "base/str.h"
#include "job/plan.h"
#include "job/progress_parse.h"
#include "wire/event.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_KEPT = 64 * 1024, LAST_LINES = 10, LAST_BYTES = 400, NAME_MAX_BYTES = 200, HEADS = 128 };
static const double progress_every = 1;

// A pattern of the plan.
struct wanted {
	struct regex *pattern;
	const char *name, *unit; // of a metric; NULL for progress
	int value, step;         // group numbers, 0 for none
};

struct tail {
	char *lines[LAST_LINES];
	size_t next, count;
};

// How far a rank was when: what has been read since its last progress event.
struct heads {
	double at[HEADS], done[HEADS];
	size_t count;
	size_t seen, stride; // since the last event; every stride-th of them is kept
	size_t piece;        // the last one came with
	double total, epoch; // NAN, 0: not known
	struct progress_parse progress;
	double told;   // when the last event was made
	double since;  // when the first output came; 0: none
	bool found;    // a line has matched, or it was said that none does
	char *nearest; // the line most like one
	int likeness;
};

struct rank_scan {
	struct str line; // so far
	bool skipping;   // the rest of a line that is too long
	struct tail tail;
	struct heads heads;
};

struct output_parser {
	json_t *plan;
	struct wanted *wanted;
	size_t nwanted, nmetrics;
	struct rank_scan *ranks;
	size_t nranks;
	double total;   // of the job's progress where no line says it; NAN: not known
	double watched; // somebody waits for progress, and hears after so many seconds that there is none; 0: nobody
	double offset;  // from the clock that never jumps to the time of day, once for all
	double now;     // when this piece of output came; 0: nobody has asked yet
	size_t pieces;  // of output, so far
	void (*on_event)(size_t local, json_t *event, void *data);
	void *data;
};

// --- patterns -------------------------------------------------------------------

static int add_pattern(struct output_parser *s, const char *text, const char *name, const char *unit, struct error *err)
{
	struct error why;
	struct wanted *w = &s->wanted[s->nwanted];
	struct regex *p = w->pattern = regex_new(text, &why);
	if (!p)
		return error_set(err, ERROR_USAGE, "pattern '%s' %s", text, why.text);
	int first = regex_groups(p) ? 1 : 0, value = regex_group(p, "value");
	w->name = name;
	w->unit = unit;
	w->value = value ? value : first;
	w->step = regex_group(p, "step");
	s->nwanted++;
	return 0;
}

static int add_patterns(struct output_parser *s, struct error *err)
{
	const json_t *progress = plan_progress(s->plan), *value;
	size_t i;
	s->nmetrics = plan_metrics(s->plan);
	s->wanted = mem_alloc((s->nmetrics + json_array_size(progress)) * sizeof *s->wanted);
	for (i = 0; i < s->nmetrics; i++) {
		struct plan_metric metric = plan_metric(s->plan, i);
		if (add_pattern(s, metric.pattern, metric.name, metric.unit, err) < 0)
			return -1;
	}
	json_array_foreach (progress, i, value)
		if (add_pattern(s, json_string_value(value), NULL, NULL, err) < 0)
			return -1;
	return 0;
}

struct output_parser *output_parser_new(const json_t *plan, size_t nlocal,
	void (*on_event)(size_t local, json_t *event, void *data), void *data, struct error *err)
{
	struct output_parser *s = mem_alloc(sizeof *s);
	*s = (struct output_parser){.plan = plan ? json_incref((json_t *)plan) : NULL,
		.nranks = nlocal,
		.on_event = on_event,
		.data = data};
	s->ranks = mem_alloc(nlocal * sizeof *s->ranks);
	s->total = plan_total(plan);
	for (size_t i = 0; i < nlocal; i++)
		s->ranks[i].heads.stride = 1;
	s->offset = clock_wall() - clock_mono();
	s->watched = plan_watched(plan);
	if (add_patterns(s, err) < 0) {
		output_parser_free(s);
		return NULL;
	}
	return s;
}

void output_parser_free(struct output_parser *scan)
{
	if (!scan)
		return;
	for (size_t i = 0; i < scan->nwanted; i++)
		regex_free(scan->wanted[i].pattern);
	for (size_t i = 0; i < scan->nranks; i++) {
		str_fini(&scan->ranks[i].line);
		free(scan->ranks[i].heads.nearest);
		for (size_t k = 0; k < LAST_LINES; k++)
			free(scan->ranks[i].tail.lines[k]);
	}
	free(scan->wanted);
	free(scan->ranks);
	json_decref(scan->plan);
	free(scan);
}

// --- one line -------------------------------------------------------------------

static void say_metric(struct output_parser *s, size_t local, const struct wanted *w)
{
	double value, step;
	if (!regex_number(w->pattern, w->value, &value))
		return;
	json_t *event = event_make("metric", "s:s, s:f, s:s?", "name", w->name, "value", value, "unit", w->unit);
	if (regex_number(w->pattern, w->step, &step))
		json_object_set_new(event, "step", json_integer((json_int_t)step));
	s->on_event(local, event, s->data);
}

static void tell_progress(struct output_parser *s, size_t local)
{
	struct heads *h = &s->ranks[local].heads;
	if (!h->count)
		return;
	json_t *list = json_array(),
	       *event = event_make("progress", "s:f, s:f", "done", h->done[h->count - 1], "total", h->total);
	for (size_t i = 0; i < h->count; i++)
		json_array_append_new(list, mem_json("[f, f]", h->at[i], h->done[i]));
	if (h->epoch > 0)
		json_object_set_new(event, "epoch", json_real(h->epoch));
	json_object_set_new(event, "heads", list);
	h->count = h->seen = 0;
	h->stride = 1;
	s->on_event(local, event, s->data);
}

// Lines that came in one piece were printed at different times that nobody knows: the last of them counts. When there
// is no room, only every second, fourth... one stays, and the last: what lies between two that stay is as true.
static void add_head(struct heads *h, size_t piece, double at, double done)
{
	bool same = h->count && h->piece == piece;
	h->piece = piece;
	if (!same)
		h->seen++;
	if (same || (h->count && (h->seen - 2) % h->stride))
		h->count--; // the one before was there only because it was the last
	if (h->count == HEADS) {
		for (size_t i = 1; i < HEADS / 2; i++) {
			h->at[i] = h->at[2 * i];
			h->done[i] = h->done[2 * i];
		}
		h->count = HEADS / 2;
		h->stride *= 2;
	}
	h->at[h->count] = at;
	h->done[h->count++] = done;
}

static void say_progress(struct output_parser *s, size_t local, const struct wanted *w)
{
	struct heads *h = &s->ranks[local].heads;
	struct progress_parse_head head;
	if (!progress_parse_line(&h->progress, w->pattern, s->total, &head))
		return;
	if (s->now == 0)
		s->now = s->offset + clock_mono();
	if (head.anew)
		tell_progress(s, local);
	h->total = head.total;
	h->epoch = head.epoch;
	h->found = true;
	add_head(h, s->pieces, s->now, head.done);
}

// After a whole piece, so that the last of its lines is the one that counts.
static void tell_when_due(struct output_parser *s, size_t local)
{
	struct heads *h = &s->ranks[local].heads;
	if (!h->count || (s->now - h->told < progress_every && !(h->done[h->count - 1] >= h->total)))
		return;
	h->told = s->now;
	tell_progress(s, local);
}

// How much a line that did not match is like one that would: words of the pattern that are in it, and a number.
static int likeness(const char *pattern, const char *line)
{
	int score = line[strcspn(line, "0123456789")] ? 1 : 0;
	for (const char *at = pattern; *at;) {
		size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
		bool group_name = at > pattern && at[-1] == '<';
		autofree char *word = strndup(at, n);
		if (n > 2 && !group_name && strcasestr(line, word))
			score += 2;
		at += n ? n : 1;
	}
	return score;
}

static void keep_nearest(struct output_parser *s, size_t local, const char *line, size_t len)
{
	struct heads *h = &s->ranks[local].heads;
	autofree char *clean = str_utf8_clean(line, len < LAST_BYTES ? len : LAST_BYTES);
	size_t i;
	const json_t *pattern;
	json_array_foreach (plan_progress(s->plan), i, pattern) {
		int score = likeness(json_string_value(pattern), clean);
		if (score <= h->likeness)
			continue;
		h->likeness = score;
		free(h->nearest);
		h->nearest = mem_strdup(clean);
	}
}

// Somebody waits for lines that do not come: said once, while something can still be done.
static void say_nothing_matches(struct output_parser *s, size_t local, const char *when)
{
	struct heads *h = &s->ranks[local].heads;
	const json_t *patterns = plan_progress(s->plan);
	autofree char *pattern =
		json_array_size(patterns) == 1
			? mem_printf("the progress pattern '%s'", json_string_value(json_array_get(patterns, 0)))
			: mem_strdup("a known progress format (set 'progress' in the job file)");
	autofree char *why = mem_printf(
		"no line %s matches %s; the nearest is: %s", when, pattern, h->nearest ? h->nearest : "none at all");
	h->found = true;
	s->on_event(local, event_make("warn", "s:s", "why", why), s->data);
}

static void keep_last(struct tail *t, const char *line, size_t len)
{
	if (len > LAST_BYTES)
		len = LAST_BYTES;
	char *copy = t->lines[t->next] ? t->lines[t->next] : mem_alloc(LAST_BYTES + 1);
	memcpy(copy, line, len);
	memset(copy + len, 0, LAST_BYTES + 1 - len);
	for (size_t i = 0; i < len; i++)
		if (!copy[i])
			copy[i] = '?';
	t->lines[t->next] = copy;
	t->next = (t->next + 1) % LAST_LINES;
	t->count += t->count < LAST_LINES;
}

static void on_line(struct output_parser *s, size_t local, const char *line, size_t len)
{
	if (len == 0)
		return;
	keep_last(&s->ranks[local].tail, line, len);
	if (s->watched > 0 && !s->ranks[local].heads.found)
		keep_nearest(s, local, line, len);
	for (size_t i = 0; i < s->nwanted; i++) {
		const struct wanted *w = &s->wanted[i];
		if (!regex_find(w->pattern, line, len))
			continue;
		if (w->name)
			say_metric(s, local, w);
		else {
			say_progress(s, local, w);
			break; // the known forms of progress exclude one another
		}
	}
}

// Without metrics only the last lines of a large piece count, for progress too: skip to where they begin.
static void skip_to_tail(const struct output_parser *s, const char **bytes, size_t *len)
{
	if (s->nmetrics || *len < LINE_KEPT)
		return;
	const char *at = *bytes + *len;
	for (int i = 0; i <= LAST_LINES && at; i++)
		at = memrchr(*bytes, '\n', (size_t)(at - *bytes));
	if (!at)
		return;
	*len -= (size_t)(at + 1 - *bytes);
	*bytes = at + 1;
}

// Where the next line ends; *newline remembers the next \n, so that a megabyte of lines that end with \r is not
// searched for each of them.
static const char *end_of_line(const char *bytes, size_t len, const char **newline)
{
	const char *stop = bytes + len;
	if (*newline < bytes) {
		*newline = memchr(bytes, '\n', len);
		if (!*newline)
			*newline = stop;
	}
	const char *cr = memchr(bytes, '\r', (size_t)(*newline - bytes));
	return cr ? cr : *newline < stop ? *newline : NULL;
}

void output_parser_watch(struct output_parser *scan)
{
	double now = clock_mono();
	for (size_t i = 0; i < scan->nranks && scan->watched > 0; i++) {
		const struct heads *h = &scan->ranks[i].heads;
		if (h->since > 0 && !h->found && now - h->since > scan->watched)
			say_nothing_matches(scan, i, "of the first minute");
	}
}

void output_parser_output(struct output_parser *scan, size_t local, const void *data, size_t len)
{
	struct rank_scan *r = &scan->ranks[local];
	const char *bytes = data, *before = bytes, *end, *newline = NULL;
	scan->now = 0;
	scan->pieces++;
	if (scan->watched > 0 && r->heads.since == 0)
		r->heads.since = clock_mono();
	skip_to_tail(scan, &bytes, &len);
	if (bytes != before) {
		r->line.len = 0;
		r->skipping = false;
	}
	while (len && (end = end_of_line(bytes, len, &newline))) {
		size_t n = (size_t)(end - bytes);
		if (r->line.len) {
			str_add(&r->line, bytes, n < LINE_KEPT - r->line.len ? n : LINE_KEPT - r->line.len);
			on_line(scan, local, r->line.text, r->line.len);
			r->line.len = 0;
		} else if (!r->skipping)
			on_line(scan, local, bytes, n < LINE_KEPT ? n : LINE_KEPT);
		r->skipping = false;
		bytes = end + 1;
		len -= n + 1;
	}
	tell_when_due(scan, local);
	if (r->skipping)
		return;
	str_add(&r->line, bytes, len < LINE_KEPT - r->line.len ? len : LINE_KEPT - r->line.len);
	if (r->line.len == LINE_KEPT) {
		on_line(scan, local, r->line.text, r->line.len);
		r->line.len = 0;
		r->skipping = true;
	}
}

void output_parser_end(struct output_parser *scan, size_t local)
{
	struct rank_scan *r = &scan->ranks[local];
	if (r->line.len)
		on_line(scan, local, r->line.text, r->line.len);
	r->line.len = 0;
	tell_progress(scan, local);
	if (scan->watched > 0 && r->heads.since > 0 && !r->heads.found)
		say_nothing_matches(scan, local, "of the output");
}

void output_parser_json_line(struct output_parser *scan, size_t local, const char *line, size_t len)
{
	autojson json_t *m = json_loadb(line, len, 0, NULL);
	const char *name = json_string_value(json_object_get(m, "name"));
	const char *unit = json_string_value(json_object_get(m, "unit"));
	const json_t *value = json_object_get(m, "value"), *step = json_object_get(m, "step");
	if (!name || !*name || strlen(name) > NAME_MAX_BYTES || !json_is_number(value))
		return;
	json_t *event = event_make("metric", "s:s, s:f, s:s?", "name", name, "value", json_number_value(value), "unit",
		unit && strlen(unit) <= NAME_MAX_BYTES ? unit : NULL);
	if (json_is_integer(step))
		json_object_set_new(event, "step", json_integer(json_integer_value(step)));
	scan->on_event(local, event, scan->data);
}

json_t *output_parser_last(const struct output_parser *scan, size_t local)
{
	const struct tail *t = &scan->ranks[local].tail;
	json_t *lines = json_array();
	for (size_t i = 0; i < t->count; i++) {
		const char *line = t->lines[(t->next + LAST_LINES - t->count + i) % LAST_LINES];
		autofree char *clean = str_utf8_clean(line, strlen(line));
		json_array_append_new(lines, json_string(clean));
	}
	return lines;
}
