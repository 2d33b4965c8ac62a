#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "predict/iterations.h"
#include "predict/logfile.h"
#include "predict/series.h"
#include "run/run.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct wish {
	const char *runs, *pattern;
	double total, first; // NAN: not given
};

static int on_event(json_t *event, void *data)
{
	iterations_add(data, event);
	return 0;
}

// A file is a log; anything else names a run.
static int read_source(
	const struct wish *w, const char *name, struct iterations *it, struct logfile *found, struct error *err)
{
	struct stat st;
	if (stat(name, &st) == 0 && !S_ISDIR(st.st_mode))
		return logfile_read(name, w->pattern, w->total, it, found, err);
	struct run *run = run_open(w->runs, name, err);
	if (!run)
		return error_wrap(err, "'%s' is not a file", name);
	uint64_t events = 0, metrics = 0;
	int rc = run_read(run, false, &events, on_event, it, err);
	if (rc == 0)
		run_read(run, true, &metrics, on_event, it, NULL); // none yet is no error
	*found = (struct logfile){.clock = "muster"};
	if (rc == 0 && iterations_leader(it) < 0)
		rc = error_set(err, ERROR_USAGE,
			"%s: no rank has printed a line that reports an iteration; set its pattern in the job file "
			"with "
			"'progress'",
			run->id);
	run_free(run);
	return rc;
}

// Only the first turns count as seen: returns how many there were. *actual becomes the whole run's time when the rest
// of it is there too.
static double cut(struct estimate_input *in, double first, double *actual)
{
	double seconds = in->before, done = in->done, seen = NAN;
	size_t kept = in->count;
	for (size_t i = 0; i < in->count; i++) {
		seconds += in->turns[i].seconds;
		done += in->turns[i].count;
		if (isnan(seen) && done >= first) {
			kept = i + 1;
			seen = done;
		}
	}
	*actual = !isnan(in->total) && done >= in->total ? seconds : NAN;
	in->count = kept;
	return isnan(seen) ? done : seen;
}

static json_t *interval(double value, double low, double high)
{
	return mem_json("[o, o, o]", series_number(value), series_number(low), series_number(high));
}

static json_t *predict(const struct wish *w, const char *name, struct error *err)
{
	struct iterations *it = iterations_new();
	struct logfile found = {0};
	struct estimate_input in;
	double actual = NAN;
	if (read_source(w, name, it, &found, err) < 0 || !iterations_input(it, iterations_leader(it), &in)) {
		iterations_free(it);
		return NULL;
	}
	if (!isnan(w->total))
		in.total = w->total;
	in.grain = found.grain;
	in.stamped = found.stamped;
	double done = cut(&in, w->first, &actual);
	struct estimate e = estimate_make(&in);
	json_t *doubts = json_array();
	for (unsigned bit = 1; bit <= ESTIMATE_NOTHING; bit <<= 1)
		if (e.doubts & bit)
			json_array_append_new(doubts, json_string(estimate_doubt(bit)));
	json_t *result = mem_json("{s:s, s:s, s:o, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "name",
		name, "clock", found.clock, "done", series_number(done), "seen", (int)e.seen, "warm_up", (int)e.warm_up,
		"pauses", (int)e.pauses, "turns", series_number(in.total), "turn",
		interval(e.turn, e.turn_low, e.turn_high), "median", series_number(e.median), "init",
		series_number(e.init), "total", interval(e.total, e.total_low, e.total_high), "actual",
		series_number(actual), "error", series_number(e.total / actual - 1), "doubts", doubts);
	iterations_free(it);
	return result;
}

// --- printing -------------------------------------------------------------------

static double at(const json_t *object, const char *name, size_t i)
{
	const json_t *value = json_object_get(object, name);
	if (json_is_array(value))
		value = json_array_get(value, i);
	return json_is_number(value) ? json_number_value(value) : NAN;
}

static char *seconds_text(double seconds)
{
	return isnan(seconds)   ? mem_strdup("")
	       : seconds < 1e-6 ? mem_strdup("0 s")
	       : seconds < 60   ? mem_printf("%.4g s", seconds)
				: str_seconds(seconds);
}

static void add_row(struct text_table *g, const json_t *p)
{
	autofree char *low = seconds_text(at(p, "total", 1)), *high = seconds_text(at(p, "total", 2));
	double turns = at(p, "turns", 0), error = at(p, "error", 0), turn = at(p, "turn", 0);
	text_table_add(g, json_string_value(json_object_get(p, "name")));
	text_table_take(g, isnan(turns) ? mem_printf("%.0f", at(p, "done", 0))
					: mem_printf("%.0f of %.0f", at(p, "done", 0), turns));
	text_table_take(g, seconds_text(turn));
	text_table_take(g, !(turn > 0) ? mem_strdup("")
				       : mem_printf("%.2g %%", 50 * (at(p, "turn", 2) - at(p, "turn", 1)) / turn));
	text_table_take(g, seconds_text(at(p, "init", 0)));
	text_table_take(g, seconds_text(at(p, "total", 0)));
	text_table_take(g, *low ? mem_printf("%s to %s", low, high) : mem_strdup(""));
	text_table_take(g, seconds_text(at(p, "actual", 0)));
	text_table_take(g, isnan(error) ? mem_strdup("") : mem_printf("%+.2f %%", 100 * error));
}

static void print_text(const json_t *results)
{
	static const char *const heads[] = {
		"NAME", "#SEEN", "#ITERATION", "#+-", "#BEFORE", "#WHOLE RUN", "95 % BETWEEN", "#ACTUAL", "#OFF", NULL};
	struct text_table g = {.heads = heads};
	autostr struct str out = {0};
	size_t i, k;
	const json_t *p, *doubt;
	json_array_foreach (results, i, p)
		add_row(&g, p);
	text_table_print(&g, &out, "");
	json_array_foreach (results, i, p) {
		const char *name = json_string_value(json_object_get(p, "name"));
		if (isnan(at(p, "turns", 0)))
			str_printf(&out,
				"%s: the number of iterations of the whole run is unknown; set it with --total\n",
				name);
		json_array_foreach (json_object_get(p, "doubts"), k, doubt)
			str_printf(&out, "%s: not reliable: %s\n", name, json_string_value(doubt));
	}
	fputs(out.text, stdout);
}

static int number(const char *name, const char *text, double *value, struct error *err)
{
	char *end;
	*value = NAN;
	if (!text)
		return 0;
	*value = strtod(text, &end);
	if (end != text && !*end && *value >= 1 && *value <= 1e15)
		return 0;
	return error_set(err, ERROR_USAGE, "predict: found --%s '%s', expected a number of 1 or more", name, text);
}

static const struct options_usage usage = {
	.arguments = "LOG|RUN...",
	.least = 1,
	.most = OPTIONS_ANY,
	.about = "Predicts how long a whole run takes, from the times of its first iterations: in a log file of any "
		 "program, or in a run.\n\n"
		 "RE is a regular expression with the named groups done (or one group), total, epoch, epochs, at (a "
		 "time stamp) and seconds (the time of the iteration).",
};

int cmd_predict(int argc, char **argv, struct error *err)
{
	const char *total = NULL, *first = NULL;
	bool as_json = false;
	struct wish wish = {0};
	const struct option_row rows[] = {
		OPTIONS_RUNS(&wish.runs),
		{"pattern", 'p', "RE", "pattern of the lines that report an iteration", &wish.pattern},
		{"total", 't', "N", "iterations of the whole run, if the lines do not contain it", &total},
		{"first", 'f', "N", "use only the first N iterations, and compare with the actual time if known",
			&first},
		{"json", 0, NULL, "print a JSON array", &as_json},
		{0},
	};
	int at = options_parse(argc, argv, &usage, rows, err);
	if (at <= 0)
		return at;
	if (number("total", total, &wish.total, err) < 0 || number("first", first, &wish.first, err) < 0)
		return -1;
	autojson json_t *results = json_array();
	for (int i = at; i < argc; i++) {
		json_t *result = predict(&wish, argv[i], err);
		if (!result)
			return -1;
		json_array_append_new(results, result);
	}
	autofree char *text = as_json ? json_dumps(results, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
	if (text)
		puts(text);
	else
		print_text(results);
	return 0;
}
