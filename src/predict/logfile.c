#include "predict/logfile.h"

#include "base/mem.h"
#include "base/regex.h"
#include "base/str.h"
#include "job/plan_make.h"
#include "job/progress_parse.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND "(?<second>\\d\\d(?:[.,]\\d{1,9})?)"

enum { PROGRESS_MAX = 16, NEAREST_BYTES = 200 };

// Forms of time stamps and of times that something took; the groups say which.
static const char *const stamp_forms[] = {
	"(?<year>\\d{4})[-/](?<month>\\d\\d)[-/](?<day>\\d\\d)[T ](?<hour>\\d\\d):(?<minute>\\d\\d):" SECOND,
	"^\\W{0,2}(?<since>\\d{9,10}(?:\\.\\d+)?)\\b",
	"^\\W{0,3}(?:\\d\\d/\\d\\d )?(?<hour>\\d\\d):(?<minute>\\d\\d):" SECOND "\\b",
	"^\\[\\s*(?<since>\\d+(?:\\.\\d+)?)\\s*s?\\]",
};
// What a progress bar has taken so far.
static const char bar_form[] = "\\[(?:(?<hour>\\d{1,4}):)?(?<minute>\\d\\d):(?<second>\\d\\d)<";
static const char *const took_forms[] = {
	"(?i)\\btime per iteration \\((?<unit>ms|s)\\)\\W{1,3}(?<value>\\d+(?:\\.\\d+)?)",
	"\\b(?<value>\\d+(?:\\.\\d+)?)(?<unit>ms|us|s)/(?:step|epoch)\\b",
	"(?<value>\\d+(?:\\.\\d+)?(?:e-?\\d+)?)\\s*s/it",
	"(?<rate>\\d+(?:\\.\\d+)?)\\s*it/s",
	"(?i)(?:\\b|_)(?:time|took|duration|elapsed)\\W{1,3}(?<value>\\d+(?:\\.\\d+)?(?:e-?\\d+)?)\\s*(?<unit>ms|us)?",
};

struct head {
	double done, total, epoch, stamp, took, bar;
};

struct reader {
	struct regex *progress[PROGRESS_MAX], *stamps[countof(stamp_forms)], *took[countof(took_forms)], *bar;
	size_t nprogress;
	struct progress_parse counter;
	double total, begun, last;
	double stamp_grain, took_grain; // the finest that was seen
	struct head *heads;
	size_t count, size, lines;
	char *nearest; // a line with a number, a long one if there is one, where none is one of an iteration
};

// --- one line -------------------------------------------------------------------

static double number(struct regex *p, const char *name, double otherwise)
{
	size_t len;
	const char *at = regex_text(p, regex_group(p, name), &len);
	char text[40];
	if (!regex_group(p, name) || !at || len >= sizeof text)
		return otherwise;
	memcpy(text, at, len);
	text[len] = '\0';
	text[strcspn(text, ",")] = text[strcspn(text, ",")] ? '.' : '\0'; // Python's logging
	return strtod(text, NULL);
}

// Seconds that a number of the last found line is a multiple of, from its digits; the finest of all stays in *grain.
static void note_grain(struct regex *p, const char *name, double unit, double *grain)
{
	size_t len;
	const char *at = regex_group(p, name) ? regex_text(p, regex_group(p, name), &len) : NULL, *point;
	if (!at || memchr(at, 'e', len))
		return;
	point = memchr(at, '.', len) ? memchr(at, '.', len) : memchr(at, ',', len);
	*grain = fmin(*grain, unit * (point ? pow(10, -(double)(at + len - point - 1)) : 1));
}

static double days(double year, double month, double day)
{
	struct tm tm = {.tm_year = (int)year - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day};
	return (double)timegm(&tm);
}

static double stamp_of(struct reader *r, const char *line, size_t len)
{
	for (size_t i = 0; i < countof(stamp_forms); i++) {
		struct regex *p = r->stamps[i];
		if (!regex_find(p, line, len))
			continue;
		double since = number(p, "since", NAN), year = number(p, "year", NAN);
		note_grain(p, isnan(since) ? "second" : "since", 1, &r->stamp_grain);
		if (!isnan(since))
			return since;
		double day = isnan(year) ? 0 : days(year, number(p, "month", 1), number(p, "day", 1));
		double at = day + number(p, "hour", 0) * 3600 + number(p, "minute", 0) * 60 + number(p, "second", 0);
		while (isnan(year) && at < r->last - 43200) // past midnight
			at += 86400;
		return at;
	}
	return NAN;
}

static double took_of(struct reader *r, const char *line, size_t len)
{
	for (size_t i = 0; i < countof(took_forms); i++) {
		struct regex *p = r->took[i];
		if (!regex_find(p, line, len))
			continue;
		size_t n = 0;
		const char *unit = regex_group(p, "unit") ? regex_text(p, regex_group(p, "unit"), &n) : NULL;
		double value = number(p, "value", NAN), rate = number(p, "rate", NAN),
		       of = !unit || *unit == 's' ? 1
			    : *unit == 'm'        ? 1e-3
						  : 1e-6;
		note_grain(p, "value", of, &r->took_grain);
		return isnan(value) ? 1 / rate : value * of;
	}
	return NAN;
}

static double bar_of(struct reader *r, const char *line, size_t len)
{
	if (!regex_find(r->bar, line, len))
		return NAN;
	return number(r->bar, "hour", 0) * 3600 + number(r->bar, "minute", 0) * 60 + number(r->bar, "second", 0);
}

static void add_head(struct reader *r, struct head h)
{
	if (r->count == r->size) {
		r->size = r->size ? 2 * r->size : 256;
		r->heads = mem_resize(r->heads, r->size * sizeof *r->heads);
	}
	r->heads[r->count++] = h;
}

static bool read_head(struct reader *r, struct regex *p, struct head *h)
{
	struct progress_parse_head head;
	if (!progress_parse_line(&r->counter, p, r->total, &head))
		return false;
	if (head.anew)
		r->count = 0;
	*h = (struct head){.done = head.done, .total = head.total, .epoch = head.epoch};
	h->stamp = number(p, "at", NAN);
	h->took = number(p, "seconds", NAN);
	return true;
}

static void keep_nearest(struct reader *r, const char *line, size_t len)
{
	bool digits = false;
	for (size_t i = 0; i < len && !digits; i++)
		digits = line[i] >= '0' && line[i] <= '9';
	if (!digits || (r->nearest && strlen(r->nearest) >= NEAREST_BYTES / 2))
		return;
	free(r->nearest);
	r->nearest = str_utf8_clean(line, len < NEAREST_BYTES ? len : NEAREST_BYTES);
	for (char *at = r->nearest; *at; at++)
		if (*at > 0 && *at < ' ') // it is for a terminal
			*at = ' ';
}

static void read_line(struct reader *r, const char *line, size_t len)
{
	struct head h = {0};
	size_t i = 0;
	double stamp = stamp_of(r, line, len);
	r->lines++;
	if (!isnan(stamp))
		r->last = stamp;
	if (isnan(r->begun))
		r->begun = stamp;
	while (i < r->nprogress && !regex_find(r->progress[i], line, len))
		i++;
	if (i == r->nprogress || !read_head(r, r->progress[i], &h)) {
		keep_nearest(r, line, len);
		return;
	}
	h.stamp = isnan(h.stamp) ? stamp : h.stamp;
	h.took = isnan(h.took) ? took_of(r, line, len) : h.took;
	h.bar = bar_of(r, line, len);
	add_head(r, h);
}

// --- the whole ------------------------------------------------------------------

static int compile(struct reader *r, const char *pattern, struct error *err)
{
	struct error why;
	for (size_t i = 0; i < countof(stamp_forms); i++)
		r->stamps[i] = regex_new(stamp_forms[i], NULL);
	for (size_t i = 0; i < countof(took_forms); i++)
		r->took[i] = regex_new(took_forms[i], NULL);
	r->bar = regex_new(bar_form, NULL);
	autojson json_t *known = plan_make_progress_patterns();
	if (pattern) {
		r->progress[r->nprogress] = regex_new(pattern, &why);
		if (!r->progress[r->nprogress++])
			return error_set(err, ERROR_USAGE, "pattern '%s' %s", pattern, why.text);
		if (!regex_groups(r->progress[0]))
			return error_set(err, ERROR_USAGE,
				"pattern '%s' has no group, expected one around the number of the iteration", pattern);
		return 0;
	}
	for (size_t i = 0; i < json_array_size(known); i++)
		r->progress[r->nprogress++] = regex_new(json_string_value(json_array_get(known, i)), NULL);
	return 0;
}

static void reader_fini(struct reader *r)
{
	for (size_t i = 0; i < r->nprogress; i++)
		regex_free(r->progress[i]);
	for (size_t i = 0; i < countof(stamp_forms); i++)
		regex_free(r->stamps[i]);
	for (size_t i = 0; i < countof(took_forms); i++)
		regex_free(r->took[i]);
	regex_free(r->bar);
	free(r->heads);
	free(r->nearest);
}

static int read_file(struct reader *r, const char *path, struct error *err)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return error_errno(err, "cannot open %s", path);
	char *line = NULL;
	size_t size = 0;
	errno = 0;
	for (ssize_t n; (n = getdelim(&line, &size, '\n', file)) >= 0;) {
		// A line that was written over ("\r") is as many lines.
		for (char *at = line, *end = line + n, *stop; at < end; at = stop + 1) {
			stop = at;
			while (stop < end && *stop != '\r' && *stop != '\n')
				stop++;
			if (stop > at)
				read_line(r, at, (size_t)(stop - at));
		}
	}
	int rc = ferror(file) ? error_errno(err, "cannot read %s", path) : 0;
	free(line);
	fclose(file);
	return rc;
}

static bool all_have(const struct reader *r, size_t offset)
{
	for (size_t i = 0; i < r->count; i++)
		if (isnan(*(const double *)((const char *)&r->heads[i] + offset)))
			return false;
	return r->count > 0;
}

// Times that grow from line to line, and not a little, are counted from the beginning.
static bool is_elapsed(const struct reader *r)
{
	for (size_t i = 1; i < r->count; i++)
		if (r->heads[i].took <= r->heads[i - 1].took)
			return false;
	return r->count > 2 && r->heads[r->count - 1].took > 2 * r->heads[0].took;
}

static bool same_stamp(const struct head *a, const struct head *b)
{
	return a->stamp == b->stamp && a->done <= b->done;
}

// Most lines share their stamp with another.
static bool is_coarse(const struct reader *r)
{
	size_t groups = 1;
	for (size_t i = 1; i < r->count; i++)
		groups += !same_stamp(&r->heads[i - 1], &r->heads[i]);
	return groups > 2 && 2 * groups <= r->count;
}

// Of heads with the same stamp, which is not finer than that, one counts: where there are many, the first, which came
// when the stamp changed (not of the first stamp: the log began somewhere in it), and the last of the whole run; else
// the last.
static void add_stamped(const struct reader *r, struct iterations *it)
{
	bool coarse = is_coarse(r), first = true;
	iterations_start(it, 0, r->begun < r->heads[0].stamp ? r->begun : r->heads[0].stamp);
	for (size_t i = 0; i < r->count; i++) {
		const struct head *h = &r->heads[i];
		first = first && same_stamp(&r->heads[0], h);
		bool begins = i > 0 && !same_stamp(h - 1, h), ends = i + 1 == r->count || !same_stamp(h, h + 1);
		if (coarse ? (begins && !first) || h->done >= h->total : ends)
			iterations_head(it, 0, h->stamp, h->done, h->total, h->epoch);
	}
}

// Times of a bar, which may begin anew with each epoch, become stamps.
static void stamp_bars(struct reader *r)
{
	double gone = 0;
	r->begun = 0;
	for (size_t i = 0; i < r->count; i++) {
		gone += i > 0 && r->heads[i].bar < r->heads[i - 1].bar ? r->heads[i - 1].bar : 0;
		r->heads[i].stamp = gone + r->heads[i].bar;
	}
}

static void add_timed(const struct reader *r, bool elapsed, struct iterations *it)
{
	double at = 0, before = 0;
	iterations_start(it, 0, 0);
	for (size_t i = 0; i < r->count; i++) {
		const struct head *h = &r->heads[i];
		if (i > 0 && h->done <= before)
			continue; // another rank's
		at = elapsed ? h->took : at + h->took * (i > 0 ? h->done - before : 1);
		before = h->done;
		iterations_head(it, 0, at, h->done, h->total, h->epoch);
	}
}

// What the times are from: stamps say most, then a bar's time so far.
static int judge(struct reader *r, const char *path, struct logfile *found, struct error *err)
{
	bool stamped = all_have(r, offsetof(struct head, stamp)),
	     barred = !stamped && all_have(r, offsetof(struct head, bar));
	if (!stamped && !barred && !all_have(r, offsetof(struct head, took)))
		return error_set(err, ERROR_USAGE,
			"%s: its %zu iteration lines have neither a time stamp nor the time of an iteration", path,
			r->count);
	bool elapsed = !stamped && !barred && is_elapsed(r);
	double grain = barred ? 1 : stamped ? r->stamp_grain : r->took_grain;
	*found = (struct logfile){.lines = r->lines,
		.heads = r->count,
		.clock = stamped             ? "time stamps"
			 : barred || elapsed ? "elapsed times"
					     : "durations",
		.grain = isfinite(grain) ? grain : 0,
		.stamped = stamped || barred || elapsed};
	if (barred)
		stamp_bars(r);
	return 0;
}

int logfile_read(const char *path, const char *pattern, double total, struct iterations *it, struct logfile *found,
	struct error *err)
{
	struct reader r = {.total = total, .begun = NAN, .stamp_grain = INFINITY, .took_grain = INFINITY};
	*found = (struct logfile){0};
	int rc = compile(&r, pattern, err);
	if (rc == 0)
		rc = read_file(&r, path, err);
	if (rc == 0 && r.count == 0)
		rc = error_set(err, ERROR_USAGE,
			"%s: none of its %zu lines reports an iteration%s%s%s; describe such lines with --pattern",
			path, r.lines, r.nearest ? ", such as '" : "", r.nearest ? r.nearest : "",
			r.nearest ? "'" : "");
	if (rc == 0)
		rc = judge(&r, path, found, err);
	if (rc == 0 && all_have(&r, offsetof(struct head, stamp)))
		add_stamped(&r, it);
	else if (rc == 0)
		add_timed(&r, found->stamped, it);
	reader_fini(&r);
	return rc;
}
