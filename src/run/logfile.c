#include "run/logfile.h"

#include "base/mem.h"
#include "base/pattern.h"
#include "base/str.h"
#include "job/plan.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECOND "(?<second>\\d\\d(?:[.,]\\d{1,9})?)"

enum { PROGRESS_MAX = 8, NEAREST_BYTES = 200 };

// Forms of time stamps and of times that something took; the groups say which.
static const char *const stamp_forms[] = {
	"(?<year>\\d{4})-(?<month>\\d\\d)-(?<day>\\d\\d)[T ](?<hour>\\d\\d):(?<minute>\\d\\d):" SECOND,
	"^\\W{0,2}(?<since>\\d{9,10}(?:\\.\\d+)?)\\b",
	"^\\W{0,3}(?<hour>\\d\\d):(?<minute>\\d\\d):" SECOND "\\b",
	"^\\[\\s*(?<since>\\d+(?:\\.\\d+)?)\\s*s?\\]",
};
static const char *const took_forms[] = {
	"(?<value>\\d+(?:\\.\\d+)?(?:e-?\\d+)?)\\s*s/it",
	"(?<rate>\\d+(?:\\.\\d+)?)\\s*it/s",
	"(?i)(?:\\b|_)(?:time|took|duration|elapsed)\\W{1,3}(?<value>\\d+(?:\\.\\d+)?(?:e-?\\d+)?)\\s*(?<unit>ms|us)?",
};

struct head {
	double done, total, epoch, stamp, took;
};

struct reader {
	struct pattern *progress[PROGRESS_MAX], *stamps[countof(stamp_forms)], *took[countof(took_forms)];
	size_t nprogress;
	double total, begun, last;
	struct head *heads;
	size_t count, size, lines;
	char *nearest; // the longest line with a number, where none is one of an iteration
};

// --- one line -------------------------------------------------------------------

static double number(struct pattern *p, const char *name, double otherwise)
{
	size_t len;
	const char *at = pattern_text(p, pattern_group(p, name), &len);
	char text[40];
	if (!pattern_group(p, name) || !at || len >= sizeof text)
		return otherwise;
	memcpy(text, at, len);
	text[len] = '\0';
	text[strcspn(text, ",")] = text[strcspn(text, ",")] ? '.' : '\0'; // Python's logging
	return strtod(text, NULL);
}

static double days(double year, double month, double day)
{
	struct tm tm = {.tm_year = (int)year - 1900, .tm_mon = (int)month - 1, .tm_mday = (int)day};
	return (double)timegm(&tm);
}

static double stamp_of(struct reader *r, const char *line, size_t len)
{
	for (size_t i = 0; i < countof(stamp_forms); i++) {
		struct pattern *p = r->stamps[i];
		if (!pattern_find(p, line, len))
			continue;
		double since = number(p, "since", NAN), year = number(p, "year", NAN);
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
		struct pattern *p = r->took[i];
		if (!pattern_find(p, line, len))
			continue;
		size_t n = 0;
		const char *unit = pattern_group(p, "unit") ? pattern_text(p, pattern_group(p, "unit"), &n) : NULL;
		double value = number(p, "value", NAN), rate = number(p, "rate", NAN);
		value *= unit ? *unit == 'm' ? 1e-3 : 1e-6 : 1;
		return isnan(value) ? 1 / rate : value;
	}
	return NAN;
}

static void add_head(struct reader *r, struct head h)
{
	if (r->count == r->size) {
		r->size = r->size ? 2 * r->size : 256;
		r->heads = mem_resize(r->heads, r->size * sizeof *r->heads);
	}
	r->heads[r->count++] = h;
}

static bool read_head(struct reader *r, struct pattern *p, struct head *h)
{
	int done = pattern_group(p, "done");
	if (!pattern_number(p, done ? done : 1, &h->done))
		return false;
	double epoch = number(p, "epoch", NAN), epochs = number(p, "epochs", NAN);
	h->total = number(p, "total", r->total);
	if (!isnan(epoch) && !isnan(epochs) && !isnan(h->total)) {
		h->epoch = h->total;
		h->done += (epoch - 1) * h->epoch;
		h->total *= epochs;
	}
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
	while (i < r->nprogress && !pattern_find(r->progress[i], line, len))
		i++;
	if (i == r->nprogress || !read_head(r, r->progress[i], &h)) {
		keep_nearest(r, line, len);
		return;
	}
	h.stamp = isnan(h.stamp) ? stamp : h.stamp;
	h.took = isnan(h.took) ? took_of(r, line, len) : h.took;
	add_head(r, h);
}

// --- the whole ------------------------------------------------------------------

static int compile(struct reader *r, const char *pattern, struct error *err)
{
	struct error why;
	for (size_t i = 0; i < countof(stamp_forms); i++)
		r->stamps[i] = pattern_new(stamp_forms[i], NULL);
	for (size_t i = 0; i < countof(took_forms); i++)
		r->took[i] = pattern_new(took_forms[i], NULL);
	autojson json_t *known = plan_progress();
	if (pattern) {
		r->progress[r->nprogress] = pattern_new(pattern, &why);
		if (!r->progress[r->nprogress++])
			return error_set(err, ERROR_USAGE, "pattern '%s' %s", pattern, why.text);
		if (!pattern_groups(r->progress[0]))
			return error_set(err, ERROR_USAGE, "pattern '%s' has no group, expected one around the number of the iteration", pattern);
		return 0;
	}
	for (size_t i = 0; i < json_array_size(known); i++)
		r->progress[r->nprogress++] = pattern_new(json_string_value(json_array_get(known, i)), NULL);
	return 0;
}

static void reader_fini(struct reader *r)
{
	for (size_t i = 0; i < r->nprogress; i++)
		pattern_free(r->progress[i]);
	for (size_t i = 0; i < countof(stamp_forms); i++)
		pattern_free(r->stamps[i]);
	for (size_t i = 0; i < countof(took_forms); i++)
		pattern_free(r->took[i]);
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

// Heads with the same stamp, which is not finer than that, count as the last of them.
static void add_stamped(const struct reader *r, struct iterations *it)
{
	iterations_start(it, 0, r->begun < r->heads[0].stamp ? r->begun : r->heads[0].stamp);
	for (size_t i = 0; i < r->count; i++) {
		const struct head *h = &r->heads[i];
		if (i + 1 == r->count || h[1].stamp != h->stamp || h[1].done < h->done)
			iterations_head(it, 0, h->stamp, h->done, h->total, h->epoch);
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

int logfile_read(const char *path, const char *pattern, double total, struct iterations *it, struct logfile *found, struct error *err)
{
	struct reader r = {.total = total, .begun = NAN};
	*found = (struct logfile){0};
	int rc = compile(&r, pattern, err);
	if (rc == 0)
		rc = read_file(&r, path, err);
	if (rc == 0 && r.count == 0)
		rc = error_set(err, ERROR_USAGE, "%s: none of its %zu lines is one of an iteration%s%s%s; say with --pattern how they look", path, r.lines,
			r.nearest ? ", such as '" : "", r.nearest ? r.nearest : "", r.nearest ? "'" : "");
	bool stamped = all_have(&r, offsetof(struct head, stamp)), timed = all_have(&r, offsetof(struct head, took));
	if (rc == 0 && !stamped && !timed)
		rc = error_set(err, ERROR_USAGE, "%s: its %zu lines of iterations have neither a time stamp nor say what an iteration took", path, r.count);
	if (rc == 0) {
		bool elapsed = !stamped && is_elapsed(&r);
		*found = (struct logfile){r.lines, r.count, stamped ? "time stamps" : elapsed ? "elapsed times" : "durations"};
		if (stamped)
			add_stamped(&r, it);
		else
			add_timed(&r, elapsed, it);
	}
	reader_fini(&r);
	return rc;
}
