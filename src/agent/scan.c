#include "agent/scan.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/event.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_KEPT = 64 * 1024, LAST_LINES = 10, LAST_BYTES = 400, NAME_MAX_BYTES = 200 };
static const uint32_t match_limit = 100000; // steps: a pattern that backtracks without end gives up
static const uint32_t heap_limit = 1024;     // KiB, for machines where code may not be made at run time
static const double progress_every = 1;

struct pattern {
	pcre2_code *code;
	pcre2_match_data *match;
	const char *name, *unit; // of a metric; NULL for progress
	int value, step, done, total, epoch, epochs; // group numbers, 0 for none
};

struct tail {
	char *lines[LAST_LINES];
	size_t next, count;
};

struct rank_scan {
	struct str line; // so far
	bool skipping;   // the rest of a line that is too long
	struct tail tail;
	double progress_at;
};

struct scan {
	json_t *plan;
	struct pattern *patterns;
	size_t npatterns, nmetrics;
	pcre2_match_context *context;
	struct rank_scan *ranks;
	size_t nranks;
	void (*on_event)(size_t local, json_t *event, void *data);
	void *data;
};

// --- patterns -------------------------------------------------------------------

static int group(const pcre2_code *code, const char *name, int otherwise)
{
	int n = pcre2_substring_number_from_name(code, (PCRE2_SPTR)name);
	return n > 0 ? n : otherwise;
}

static int add_pattern(struct scan *s, const char *text, const char *name, const char *unit, struct error *err)
{
	int code;
	size_t at;
	struct pattern *p = &s->patterns[s->npatterns];
	p->code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, &code, &at, NULL);
	if (!p->code) {
		char why[256];
		pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
		return error_set(err, ERROR_USAGE, "pattern '%s' at %zu: %s", text, at, why);
	}
	pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
	p->name = name;
	p->unit = unit;
	uint32_t groups;
	pcre2_pattern_info(p->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	p->value = group(p->code, "value", groups ? 1 : 0);
	p->step = group(p->code, "step", 0);
	p->done = group(p->code, "done", 0);
	p->total = group(p->code, "total", 0);
	p->epoch = group(p->code, "epoch", 0);
	p->epochs = group(p->code, "epochs", 0);
	s->npatterns++;
	return 0;
}

static int add_patterns(struct scan *s, struct error *err)
{
	const json_t *metrics = json_object_get(s->plan, "metrics"), *progress = json_object_get(s->plan, "progress"), *value;
	size_t i;
	s->nmetrics = json_array_size(metrics);
	s->patterns = mem_alloc((json_array_size(metrics) + json_array_size(progress)) * sizeof *s->patterns);
	json_array_foreach(metrics, i, value)
		if (add_pattern(s, json_string_value(json_object_get(value, "pattern")), json_string_value(json_object_get(value, "name")),
			    json_string_value(json_object_get(value, "unit")), err) < 0)
			return -1;
	json_array_foreach(progress, i, value)
		if (add_pattern(s, json_string_value(value), NULL, NULL, err) < 0)
			return -1;
	return 0;
}

struct scan *scan_new(const json_t *plan, size_t nlocal, void (*on_event)(size_t local, json_t *event, void *data), void *data, struct error *err)
{
	struct scan *s = mem_alloc(sizeof *s);
	*s = (struct scan){.plan = plan ? json_incref((json_t *)plan) : NULL, .nranks = nlocal, .on_event = on_event, .data = data};
	s->ranks = mem_alloc(nlocal * sizeof *s->ranks);
	s->context = pcre2_match_context_create(NULL);
	pcre2_set_match_limit(s->context, match_limit);
	pcre2_set_heap_limit(s->context, heap_limit);
	if (add_patterns(s, err) < 0) {
		scan_free(s);
		return NULL;
	}
	return s;
}

void scan_free(struct scan *scan)
{
	if (!scan)
		return;
	for (size_t i = 0; i < scan->npatterns; i++) {
		pcre2_match_data_free(scan->patterns[i].match);
		pcre2_code_free(scan->patterns[i].code);
	}
	for (size_t i = 0; i < scan->nranks; i++) {
		str_fini(&scan->ranks[i].line);
		for (size_t k = 0; k < LAST_LINES; k++)
			free(scan->ranks[i].tail.lines[k]);
	}
	pcre2_match_context_free(scan->context);
	free(scan->patterns);
	free(scan->ranks);
	json_decref(scan->plan);
	free(scan);
}

// --- one line -------------------------------------------------------------------

static bool number(const struct pattern *p, const char *line, int n, double *value)
{
	PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
	if (n == 0 || at[2 * n] == PCRE2_UNSET || at[2 * n + 1] - at[2 * n] >= 64)
		return false;
	char text[64];
	size_t len = at[2 * n + 1] - at[2 * n];
	memcpy(text, line + at[2 * n], len);
	text[len] = '\0';
	char *end;
	*value = strtod(text, &end);
	return end != text && isfinite(*value);
}

static void say_metric(struct scan *s, size_t local, const struct pattern *p, const char *line)
{
	double value, step;
	if (!number(p, line, p->value, &value))
		return;
	json_t *event = event_make("metric", "s:s, s:f, s:s?", "name", p->name, "value", value, "unit", p->unit);
	if (number(p, line, p->step, &step))
		json_object_set_new(event, "step", json_integer((json_int_t)step));
	s->on_event(local, event, s->data);
}

static void say_progress(struct scan *s, size_t local, const struct pattern *p, const char *line)
{
	double done, total, epoch, epochs;
	if (!number(p, line, p->done, &done) || !number(p, line, p->total, &total) || total <= 0)
		return;
	if (number(p, line, p->epoch, &epoch) && number(p, line, p->epochs, &epochs)) {
		done += (epoch - 1) * total;
		total *= epochs;
	}
	double now = clock_mono();
	if (now - s->ranks[local].progress_at < progress_every && done < total)
		return;
	s->ranks[local].progress_at = now;
	s->on_event(local, event_make("progress", "s:f, s:f", "done", done, "total", total), s->data);
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

static void on_line(struct scan *s, size_t local, const char *line, size_t len)
{
	if (len == 0)
		return;
	keep_last(&s->ranks[local].tail, line, len);
	for (size_t i = 0; i < s->npatterns; i++) {
		struct pattern *p = &s->patterns[i];
		if (pcre2_match(p->code, (PCRE2_SPTR)line, len, 0, 0, p->match, s->context) <= 0)
			continue;
		if (p->name)
			say_metric(s, local, p, line);
		else {
			say_progress(s, local, p, line);
			break; // the known forms of progress exclude one another
		}
	}
}

// Without metrics only the last lines of a large piece count, for progress too: skip to where they begin.
static void skip_to_tail(const struct scan *s, const char **bytes, size_t *len)
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

// Where the next line ends; *newline remembers the next \n, so that a megabyte of lines that end with \r is not searched for each of them.
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

void scan_output(struct scan *scan, size_t local, const void *data, size_t len)
{
	struct rank_scan *r = &scan->ranks[local];
	const char *bytes = data, *before = bytes, *end, *newline = NULL;
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
	if (r->skipping)
		return;
	str_add(&r->line, bytes, len < LINE_KEPT - r->line.len ? len : LINE_KEPT - r->line.len);
	if (r->line.len == LINE_KEPT) {
		on_line(scan, local, r->line.text, r->line.len);
		r->line.len = 0;
		r->skipping = true;
	}
}

void scan_end(struct scan *scan, size_t local)
{
	struct rank_scan *r = &scan->ranks[local];
	if (r->line.len)
		on_line(scan, local, r->line.text, r->line.len);
	r->line.len = 0;
}

void scan_json_line(struct scan *scan, size_t local, const char *line, size_t len)
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

json_t *scan_last(const struct scan *scan, size_t local)
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
