#include "cmd/sweep_runner.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "predict/remaining_time.h"
#include "run/run.h"
#include "tui/terminal_text.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUNS_MAX = 64, LINE_MAX_BYTES = 4 << 20, REDRAW_MS = 250 };

// A run that goes on: `muster run --json` as a child.
struct active {
	pid_t pid;
	size_t trial;
	int out, err; // -1: at its end
	struct str line, said;
	struct run *run; // once it has begun; only to see how far it is
	uint64_t seen;   // of its metrics
	double begun, done, total;
	char *outcome, *why;
};

struct runner {
	const struct sweep_runner_options *options;
	struct sweep_record *record;
	struct active active[RUNS_MAX];
	size_t at_once, nactive;
	bool stopping, tty;
	double begun, shown; // shown: when the screen was last drawn
	size_t drawn;        // lines on it
	struct error trouble;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = sig;
}

// --- how long it still takes ----------------------------------------------------

// What the trials took that ended well, by point.
struct paces {
	double *sums, all;
	size_t *counts, count;
};

static size_t point_of(const struct runner *s, size_t trial)
{
	return (size_t)json_number(sweep_record_get(s->record, trial), "point");
}

static struct paces paces_make(const struct runner *s)
{
	size_t points = json_count(s->record->tree, "points");
	struct paces p = {
		.sums = mem_alloc((points + 1) * sizeof *p.sums), .counts = mem_alloc((points + 1) * sizeof *p.counts)};
	for (size_t i = 0; i < sweep_record_count(s->record); i++) {
		const json_t *t = sweep_record_get(s->record, i);
		if (!json_is(t, "outcome", "ok") || !json_has(t, "seconds"))
			continue;
		p.sums[point_of(s, i)] += json_number(t, "seconds");
		p.counts[point_of(s, i)]++;
		p.all += json_number(t, "seconds");
		p.count++;
	}
	return p;
}

// The mean of the same point, or else of all; NAN without one.
static double usual(const struct paces *p, size_t point)
{
	if (p->counts[point])
		return p->sums[point] / (double)p->counts[point];
	return p->count ? p->all / (double)p->count : NAN;
}

// How long a run that goes on still takes: as it went so far, or else as others did.
static double left_of(const struct runner *s, const struct paces *p, const struct active *a, double now)
{
	double target = s->options->iterations > 0 ? s->options->iterations + 1 : a->total, gone = now - a->begun;
	if (a->done > 1 && target > 0)
		return remaining_time(&(struct remaining_time_pace){a->done, target, a->done, gone, 0});
	double like = usual(p, point_of(s, a->trial));
	return isnan(like) ? NAN : fmax(like - gone, 0);
}

static bool is_active(const struct runner *s, size_t trial)
{
	for (size_t i = 0; i < s->nactive; i++)
		if (s->active[i].trial == trial)
			return true;
	return false;
}

// Seconds until all runs are over; NAN: nothing is known yet.
static double add_up(const struct runner *s, const struct paces *p)
{
	double now = clock_mono(), waiting = 0, mean = 0;
	autofree double *going = mem_alloc((s->nactive + 1) * sizeof *going);
	for (size_t i = 0; i < s->nactive; i++) {
		going[i] = left_of(s, p, &s->active[i], now);
		mean += (going[i] + now - s->active[i].begun) / (double)s->nactive; // NAN when one is not known
	}
	for (size_t i = 0; i < sweep_record_count(s->record); i++) {
		if (json_has(sweep_record_get(s->record, i), "outcome") || is_active(s, i))
			continue;
		double like = usual(p, point_of(s, i));
		waiting += isnan(like) ? mean : like;
	}
	return remaining_time_of_queue(going, s->nactive, waiting, s->at_once);
}

static double to_go(const struct runner *s)
{
	struct paces p = paces_make(s);
	double left = add_up(s, &p);
	free(p.sums);
	free(p.counts);
	return left;
}

// In whole seconds.
static char *time_text(double seconds)
{
	return seconds < 59.5 ? mem_printf("%.0f s", seconds) : str_seconds(round(seconds));
}

// "; about 3 min 10 s to go", or nothing.
static char *eta_text(const struct runner *s)
{
	double left = to_go(s);
	autofree char *text = isnan(left) || left <= 0 ? NULL : time_text(fmax(left, 1));
	return text ? mem_printf("; about %s to go", text) : mem_strdup("");
}

// --- what is seen ---------------------------------------------------------------

static const char *point_name(const struct runner *s, size_t trial)
{
	return json_text(sweep_record_point(s->record, trial), "name");
}

static size_t count_over(const struct runner *s, size_t *failed)
{
	size_t over = 0;
	*failed = 0;
	for (size_t i = 0; i < sweep_record_count(s->record); i++) {
		const json_t *trial = sweep_record_get(s->record, i);
		over += json_has(trial, "outcome");
		*failed += json_has(trial, "outcome") && !json_is(trial, "outcome", "ok");
	}
	return over;
}

static void erase(struct runner *s)
{
	if (s->drawn)
		fprintf(stderr, "\033[%zuA\033[J", s->drawn);
	s->drawn = 0;
}

static void put_line(struct runner *s, const char *text, size_t columns)
{
	struct str line = {0};
	terminal_text_add(&line, text, strlen(text), columns);
	fprintf(stderr, "%s\n", line.text ? line.text : "");
	str_fini(&line);
	s->drawn++;
}

static char *active_text(const struct runner *s, const struct active *a)
{
	autofree char *gone = time_text(clock_mono() - a->begun);
	double target =
		s->options->iterations > 0 && s->options->iterations < a->total ? s->options->iterations : a->total;
	autofree char *far = a->done > 0 && target > 0
				     ? mem_printf("iteration %.0f of %.0f", fmin(a->done, target), target)
			     : a->done > 0 ? mem_printf("iteration %.0f", a->done)
					   : mem_strdup("starts");
	return mem_printf("  > %s: %s, %s", point_name(s, a->trial), far, gone);
}

static int on_metric(json_t *event, void *data)
{
	struct active *a = data;
	if (event_is(event, "progress") && json_whole(event, "rank") == 0) {
		a->done = json_number(event, "done");
		a->total = json_number(event, "total");
	}
	return 0;
}

// What goes on, below the lines of what is over.
static void draw(struct runner *s)
{
	if (!s->tty)
		return;
	struct winsize window = {0};
	ioctl(2, TIOCGWINSZ, &window);
	size_t columns = window.ws_col > 1 ? window.ws_col - 1U : 79, failed, over = count_over(s, &failed);
	size_t room = window.ws_row > 6 ? window.ws_row - 5U : RUNS_MAX;
	erase(s);
	s->shown = clock_mono();
	for (size_t i = 0; i < s->nactive; i++)
		if (s->active[i].run)
			run_read(s->active[i].run, true, &s->active[i].seen, on_metric, &s->active[i], NULL);
	for (size_t i = 0; i < s->nactive && i < room; i++) {
		autofree char *line = active_text(s, &s->active[i]);
		put_line(s, line, columns);
	}
	autofree char *gone = time_text(clock_mono() - s->begun), *eta = eta_text(s);
	autofree char *line = mem_printf("  %zu of %zu runs done, %zu failed; %s elapsed%s", over,
		sweep_record_count(s->record), failed, gone, eta);
	put_line(s, s->stopping ? "  stopping the runs in progress" : line, columns);
}

static void tell(struct runner *s, const struct active *a, const char *outcome, double seconds)
{
	const json_t *trial = sweep_record_get(s->record, a->trial);
	size_t failed, over = count_over(s, &failed);
	autofree char *took = str_seconds(seconds),
		      *eta = over < sweep_record_count(s->record) ? eta_text(s) : mem_strdup("");
	bool failure = strcmp(outcome, "ok") != 0 && a->why;
	erase(s);
	fprintf(stderr, "[%zu/%zu] %s: %s after %s%s%s%s%s%s\n", over, sweep_record_count(s->record),
		point_name(s, a->trial), outcome, took, failure ? ": " : "", failure ? a->why : "",
		json_text(trial, "run") ? "; " : "", json_text(trial, "run") ? json_text(trial, "run") : "",
		s->tty ? "" : eta);
	draw(s);
}

// --- one run --------------------------------------------------------------------

static json_t *all_sets(const struct runner *s, size_t trial)
{
	json_t *sets = json_array();
	json_array_extend(sets, (json_t *)s->options->before);
	json_array_extend(sets, (json_t *)s->options->after);
	json_array_extend(sets, json_object_get(sweep_record_point(s->record, trial), "sets"));
	return sets;
}

static int spawn(struct runner *s, struct active *a, json_t *sets, struct error *err)
{
	size_t count = json_array_size(sets), n = 0;
	autofree char *self = realpath("/proc/self/exe", NULL);
	autofree char **argv = mem_alloc((2 * count + 12) * sizeof *argv);
	argv[n++] = self ? self : "/proc/self/exe"; // another muster may have been put in its place meanwhile
	argv[n++] = "run";
	argv[n++] = "--json";
	argv[n++] = "--runs";
	argv[n++] = (char *)s->options->runs;
	if (s->options->site) {
		argv[n++] = "--site";
		argv[n++] = (char *)s->options->site;
	}
	if (s->options->prices) {
		argv[n++] = "--prices";
		argv[n++] = (char *)s->options->prices;
	}
	for (size_t i = 0; i < count; i++) {
		argv[n++] = "--set";
		argv[n++] = (char *)json_string_value(json_array_get(sets, i));
	}
	argv[n++] = (char *)s->options->job;
	int out[2], said[2];
	if (pipe2(out, O_CLOEXEC) < 0)
		return error_errno(err, "cannot make a pipe");
	autoclose int from_out = out[0], to_out = out[1];
	if (pipe2(said, O_CLOEXEC) < 0)
		return error_errno(err, "cannot make a pipe");
	autoclose int from_err = said[0], to_err = said[1];
	a->pid = proc_spawn(
		&(struct proc_options){
			.argv = argv, .in = -1, .out = to_out, .err = to_err, .group = true, .die_with_parent = true},
		NULL, err);
	if (a->pid < 0)
		return -1;
	a->out = steal_fd(&from_out);
	a->err = steal_fd(&from_err);
	return 0;
}

static int begin(struct runner *s, size_t trial, struct error *err)
{
	struct active *a = &s->active[s->nactive];
	*a = (struct active){.trial = trial, .out = -1, .err = -1, .begun = clock_mono()};
	autojson json_t *sets = all_sets(s, trial);
	if (spawn(s, a, sets, err) < 0)
		return -1;
	s->nactive++;
	draw(s);
	return 0;
}

static void on_event(struct runner *s, struct active *a, const json_t *event)
{
	if (event_is(event, "run")) {
		sweep_record_set_run(s->record, a->trial, json_text(event, "id"), &s->trouble);
		a->run = s->tty ? run_open(s->options->runs, json_text(event, "id"), NULL) : NULL;
	}
	if (event_is(event, "start") && json_whole(event, "rank") == 0)
		a->done = 0; // perhaps not for the first time
	if (event_is(event, "end")) {
		a->outcome = mem_strdup(json_text(event, "outcome") ? json_text(event, "outcome") : "failed");
		a->why = json_text(event, "why") ? mem_strdup(json_text(event, "why")) : NULL;
	}
}

static void take_lines(struct runner *s, struct active *a)
{
	char *text = a->line.text, *newline;
	size_t left = a->line.len;
	while (left && (newline = memchr(text, '\n', left))) {
		autojson json_t *event = event_parse(text, (size_t)(newline - text), NULL);
		if (event)
			on_event(s, a, event);
		left -= (size_t)(newline + 1 - text);
		text = newline + 1;
	}
	if (text != a->line.text)
		memmove(a->line.text, text, left);
	a->line.len = left;
	if (a->line.text)
		a->line.text[left] = '\0';
}

// Reads what there is; closes at the end.
static void read_some(struct runner *s, struct active *a, int *fd, struct str *into)
{
	char block[16384];
	ssize_t n = read(*fd, block, sizeof block);
	if (n > 0 && into->len < LINE_MAX_BYTES)
		str_add(into, block, (size_t)n);
	if (n == 0 || (n < 0 && errno != EINTR)) {
		close(*fd);
		*fd = -1;
	}
	if (into == &a->line)
		take_lines(s, a);
}

// A run that was interrupted is none: it is made again.
static void end(struct runner *s, size_t k)
{
	struct active a = s->active[k];
	int status;
	double seconds = clock_mono() - a.begun;
	waitpid(a.pid, &status, 0);
	s->active[k] = s->active[--s->nactive];
	if (!a.outcome && a.said.len) { // it could not even begin
		a.said.text[strcspn(a.said.text, "\n")] = '\0';
		a.why = mem_strdup(str_starts(a.said.text, "muster: ") ? a.said.text + 8 : a.said.text);
	}
	bool over = a.outcome ? strcmp(a.outcome, "cancelled") != 0 : !s->stopping;
	const char *outcome = a.outcome && strcmp(a.outcome, "ok") == 0 ? "ok" : "failed";
	if (over) {
		sweep_record_set_outcome(s->record, a.trial, outcome, a.why, seconds, &s->trouble);
		tell(s, &a, outcome, seconds);
	}
	str_fini(&a.line);
	str_fini(&a.said);
	run_free(a.run);
	free(a.outcome);
	free(a.why);
}

// --- all of them ----------------------------------------------------------------

static void stop(struct runner *s)
{
	s->stopping = true;
	for (size_t i = 0; i < s->nactive; i++)
		kill(s->active[i].pid, interrupted == SIGTERM ? SIGTERM : SIGINT);
	interrupted = 0;
	draw(s);
}

static void wait_some(struct runner *s)
{
	struct pollfd fds[2 * RUNS_MAX];
	for (size_t i = 0; i < s->nactive; i++) {
		fds[2 * i] = (struct pollfd){.fd = s->active[i].out, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = s->active[i].err, .events = POLLIN};
	}
	if (poll(fds, 2 * s->nactive, s->tty ? REDRAW_MS : -1) < 0)
		return;
	for (size_t i = s->nactive; i-- > 0;) {
		struct active *a = &s->active[i];
		if (fds[2 * i].revents)
			read_some(s, a, &a->out, &a->line);
		if (fds[2 * i + 1].revents)
			read_some(s, a, &a->err, &a->said);
		if (a->out < 0 && a->err < 0)
			end(s, i);
	}
	if (clock_mono() - s->shown >= REDRAW_MS / 1000.0)
		draw(s);
}

static int run_all(struct runner *s, struct error *err)
{
	size_t next = sweep_record_next(s->record, 0);
	while (s->nactive || (!s->stopping && next < sweep_record_count(s->record))) {
		while (!interrupted && !s->stopping && !s->trouble.text[0] && s->nactive < s->at_once &&
			next < sweep_record_count(s->record))
			if (begin(s, next, &s->trouble) == 0)
				next = sweep_record_next(s->record, next + 1);
		if (interrupted || (s->trouble.text[0] && !s->stopping))
			stop(s); // those that go on are ended first
		if (s->nactive)
			wait_some(s);
	}
	erase(s);
	if (s->trouble.text[0])
		return error_set(err, ERROR_SYSTEM, "%s", s->trouble.text);
	return s->stopping ? ERROR_CANCELLED : 0;
}

int sweep_runner_run(const struct sweep_runner_options *options, struct sweep_record *record, struct error *err)
{
	struct runner s = {.options = options,
		.record = record,
		.at_once = options->at_once < RUNS_MAX ? options->at_once : RUNS_MAX,
		.begun = clock_mono(),
		.tty = isatty(2)};
	struct sigaction action = {.sa_handler = on_interrupt}; // without SA_RESTART: poll is to return
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return run_all(&s, err);
}
