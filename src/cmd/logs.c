#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/logs_since.h"
#include "cmd/options.h"
#include "report/report.h"
#include "tui/follow.h"
#include "tui/nonblocking_writer.h"
#include "wire/event.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	BLIND_MS = 100, // between readings when nobody tells that something was written
	YOUNG = 10,     // seconds a run may be without a controller before it counts as lost
};

struct logs {
	const struct run *run;
	struct nonblocking_writer out;
	bool *chosen; // of size ranks; NULL: all
	size_t size;
	bool marked; // lines say whose they are
	bool outputs, events, metrics;
	double since; // 0: from the beginning
	bool open;    // the last line lacks its newline so far
	size_t open_rank;
	struct str block;
	json_t *end;
};

// --- printing ---------------------------------------------------------------

static int on_output(size_t rank, const char *bytes, size_t len, void *data)
{
	struct logs *l = data;
	if (!l->marked) {
		nonblocking_writer_write(&l->out, bytes, len);
		return l->out.closed;
	}
	char mark[32];
	size_t nmark = (size_t)snprintf(mark, sizeof mark, "%zu| ", rank);
	l->block.len = 0;
	if (l->open && l->open_rank != rank) {
		str_puts(&l->block, "\n");
		l->open = false;
	}
	for (const char *newline; len; bytes += newline ? newline + 1 - bytes : (ssize_t)len) {
		newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline + 1 - bytes) : len;
		if (!l->open)
			str_add(&l->block, mark, nmark);
		str_add(&l->block, bytes, n);
		l->open = !newline;
		len -= n;
	}
	l->open_rank = rank;
	nonblocking_writer_write(&l->out, l->block.text, l->block.len);
	return l->out.closed;
}

static bool wanted(const struct logs *l, const json_t *event)
{
	if (json_number(event, "ts") < l->since)
		return false;
	long rank = json_whole(event, "rank");
	return !l->chosen || (rank >= 0 && (size_t)rank < l->size && l->chosen[rank]);
}

static int print_event(struct logs *l, const json_t *event)
{
	if (wanted(l, event)) {
		autofree char *line = event_print(event);
		nonblocking_writer_write(&l->out, line, strlen(line));
	}
	return l->out.closed;
}

static int on_event(json_t *event, const char *line, size_t len, void *data)
{
	struct logs *l = data;
	if (event_is(event, "end") && !l->end)
		l->end = json_incref(event);
	return l->events ? print_event(l, event) : l->out.closed;
}

static int on_metric(json_t *event, void *data)
{
	return print_event(data, event);
}

// --- which ranks ------------------------------------------------------------

// "0,2,4-7"
static int choose(struct logs *l, const char *list, struct error *err)
{
	l->chosen = mem_alloc(l->size * sizeof *l->chosen);
	size_t count = 0;
	for (const char *at = list;; at++) {
		char *end;
		unsigned long from = strtoul(at, &end, 10), to = from;
		bool bad = end == at || *at == '-' || *at == '+' || *at == ' ';
		if (!bad && *end == '-') {
			at = end + 1;
			to = strtoul(at, &end, 10);
			bad = end == at || *at == '-' || *at == '+' || *at == ' ' || to < from;
		}
		if (bad || (*end && *end != ','))
			return error_set(
				err, ERROR_USAGE, "logs: found --rank '%s', expected numbers such as 0,2,4-7", list);
		if (to >= l->size)
			return error_set(err, ERROR_USAGE,
				"logs: found --rank '%s', but the run has %zu rank%s, numbered from 0", list, l->size,
				l->size == 1 ? "" : "s");
		for (; from <= to; from++) {
			count += !l->chosen[from];
			l->chosen[from] = true;
		}
		at = end;
		if (!*at)
			break;
	}
	l->marked = count > 1;
	return 0;
}

// Where each rank begins; the ones not asked for are not read at all.
static int set_begins(struct logs *l, struct follow *f, struct error *err)
{
	autofree uint64_t *begins = NULL;
	if (l->since > 0 && !(begins = logs_since_offsets(l->run, l->since, l->size, err)))
		return -1;
	for (size_t rank = 0; rank < l->size; rank++) {
		if (l->chosen && !l->chosen[rank])
			follow_begin(f, rank, UINT64_MAX);
		else if (begins)
			follow_begin(f, rank, begins[rank]);
	}
	return 0;
}

// --- following --------------------------------------------------------------

static int open_controller(const struct run *run)
{
	json_t *control;
	run_alive(run, &control);
	pid_t pid = (pid_t)json_integer_value(json_object_get(control, "pid"));
	autoclose int fd = control ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	json_decref(control);
	// Only what lives once the descriptor is open is surely what the descriptor is of.
	return fd >= 0 && run_alive(run, NULL) ? steal_fd(&fd) : -1;
}

static bool is_young(const struct run *run)
{
	autofree char *plan = run_path(run, "plan.json"), *control = run_path(run, "control.json");
	struct stat st;
	return !fs_exists(control) && stat(plan, &st) == 0 && clock_wall() - (double)st.st_mtim.tv_sec < YOUNG;
}

static int lost(const struct logs *l, struct error *err)
{
	autojson json_t *brief = report_brief(l->run, NULL);
	const char *why = json_text(brief, "why");
	return error_set(err, ERROR_SYSTEM, "the run %s is lost: %s", l->run->id, why ? why : "its controller is gone");
}

static int watch(struct logs *l, struct follow *f, struct error *err)
{
	autoclose int controller = open_controller(l->run);
	bool gone = controller < 0 && !is_young(l->run);
	for (;;) {
		// What the controller wrote before it went is there now, so one reading after it is enough.
		int rc = gone ? follow_finish(f, err) : follow_read(f, NULL, err);
		if (rc < 0)
			return -1;
		if (l->end)
			return (int)json_number(l->end, "exit");
		if (l->out.closed)
			return 0;
		if (gone)
			return lost(l, err);
		if (rc == FOLLOW_MORE)
			continue;
		int fd = follow_fd(f);
		struct pollfd fds[] = {{.fd = controller, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
		poll(fds, countof(fds), fd < 0 || controller < 0 ? BLIND_MS : -1);
		gone = fds[0].revents != 0;
		if (controller < 0) {
			controller = open_controller(l->run);
			gone = controller < 0 && !is_young(l->run);
		}
	}
}

static int print(struct logs *l, bool follow, struct error *err)
{
	struct follow_calls calls = {.on_event = on_event, .data = l};
	if (l->outputs)
		calls.on_output = on_output;
	if (l->metrics)
		calls.on_metric = on_metric;
	struct follow *f = follow_open(l->run, &calls, err);
	if (!f)
		return -1;
	int rc = set_begins(l, f, err);
	if (rc == 0 && follow)
		rc = watch(l, f, err);
	else if (rc == 0)
		rc = follow_finish(f, err) < 0 ? -1 : 0;
	follow_close(f);
	return rc;
}

// --- the command ------------------------------------------------------------

static int prepare(struct logs *l, const char *ranks, const char *since, struct error *err)
{
	autojson json_t *brief = report_brief(l->run, err);
	if (!brief)
		return -1;
	l->size = (size_t)json_whole(brief, "size");
	if (json_whole(brief, "size") < 0)
		l->size = 0;
	l->marked = l->size != 1;
	if (ranks && choose(l, ranks, err) < 0)
		return -1;
	return since ? logs_since_parse(since, clock_wall(), &l->since, err) : 0;
}

static const struct options_usage usage = {
	.arguments = "[RUN]",
	.most = 1,
	.about = "Prints the output of a run's ranks (default: the latest run). With several ranks, each line begins "
		 "with 'RANK| '." OPTIONS_ABOUT_RUN,
};

int cmd_logs(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *ranks = NULL, *since = NULL;
	bool follow = false;
	struct logs l = {0};
	const struct option_row rows[] = {
		OPTIONS_RUNS(&runs),
		{"follow", 'f', NULL, "continue until the run ends; exit with its exit status", &follow},
		{"rank", 0, "LIST", "only these ranks: 0,2,4-7", &ranks},
		{"since", 0, "WHEN", "only output since then: 10s (ago), 14:30 or 2026-01-31T14:30:00", &since},
		{"events", 0, NULL, "print the event log instead of output", &l.events},
		{"metrics", 0, NULL, "print metrics and samples instead of output", &l.metrics},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	struct run *run = run_open(runs, argv[first], err);
	if (!run)
		return -1;
	l.run = run;
	l.outputs = !l.events && !l.metrics;
	int rc = prepare(&l, ranks, since, err);
	if (rc == 0) {
		struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
		sigaction(SIGPIPE, &ignore, &old);
		nonblocking_writer_init(&l.out, STDOUT_FILENO, -1, NULL, NULL);
		rc = print(&l, follow, err);
		nonblocking_writer_fini(&l.out);
		sigaction(SIGPIPE, &old, NULL);
	}
	str_fini(&l.block);
	free(l.chosen);
	json_decref(l.end);
	run_free(run);
	return rc;
}
