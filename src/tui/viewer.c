#include "tui/viewer.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "controller/interrupt.h"
#include "tui/event_text.h"
#include "tui/follow.h"
#include "tui/live_view.h"
#include "tui/nonblocking_writer.h"
#include "wire/event.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	BUSY = 64 << 10, // bytes in one reading after which waiting a little saves more work than it costs
	BUSY_MS = 5,
	BLIND_MS = 100,      // between readings when nobody tells that something was written
	EARLIER = 2 << 10,   // bytes of what each rank printed before we came
	FAREWELL_MS = 10000, // for the controller to write its report after the end
};

struct viewer {
	const struct run *run;
	const struct viewer_options *options;
	struct follow_calls calls;
	struct follow *follow;
	struct live_view *live; // on a terminal, else NULL
	struct event_text story;
	struct nonblocking_writer out, err;
	int signals; // signalfd
	int pidfd;   // -1: the controller was gone when we came
	bool joined; // standard output and error are one place
	bool open;   // the last line of a rank lacks its newline so far
	size_t open_rank;
	struct str marked;
	int interrupts, told; // told: of that many interrupts the user was told
	bool stop_asked, resumed, resized, detached, reached;
	json_t *end;
};

// --- signals ----------------------------------------------------------------

static void on_signal(struct viewer *v, int number)
{
	switch (number) {
	case SIGINT:
	case SIGTERM:
		if (v->options->owner) {
			v->interrupts++;
			if (v->pidfd >= 0)
				interrupt_send(v->pidfd, &(struct error){0}); // the end of the run tells the rest
			break;
		}
		v->detached = true;
		break;
	case SIGHUP: // the terminal is gone, the run need not go with it
	case SIGQUIT:
		v->detached = true;
		break;
	case SIGTSTP:
		v->stop_asked = true;
		break;
	case SIGCONT:
		v->resumed = true;
		break;
	case SIGWINCH:
		v->resized = true;
		break;
	}
}

// True: stop showing.
static bool on_wake(void *data)
{
	struct viewer *v = data;
	struct signalfd_siginfo info;
	while (read(v->signals, &info, sizeof info) == sizeof info)
		on_signal(v, (int)info.ssi_signo);
	return v->detached;
}

// --- printing ---------------------------------------------------------------

static void close_line(struct viewer *v)
{
	if (v->open)
		nonblocking_writer_write(&v->out, "\n", 1);
	v->open = false;
}

// A line of muster's own.
static void say(struct viewer *v, enum event_text_kind kind, const char *line)
{
	if (v->live) {
		live_view_say(v->live, kind, line);
		return;
	}
	if (v->joined)
		close_line(v);
	autofree char *text = mem_printf("%s\n", line);
	nonblocking_writer_write(&v->err, text, strlen(text));
}

static int on_output(size_t rank, const char *bytes, size_t len, void *data)
{
	struct viewer *v = data;
	if (v->live) {
		live_view_output(v->live, rank, bytes, len);
		return v->detached;
	}
	if (v->story.size == 1) {
		nonblocking_writer_write(&v->out, bytes, len);
		v->open = bytes[len - 1] != '\n';
		return v->detached;
	}
	if (v->open && v->open_rank != rank)
		close_line(v);
	char mark[32];
	size_t nmark = (size_t)snprintf(mark, sizeof mark, "%zu| ", rank);
	v->marked.len = 0;
	while (len) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline + 1 - bytes) : len;
		if (!v->open)
			str_add(&v->marked, mark, nmark);
		str_add(&v->marked, bytes, n);
		v->open = !newline;
		bytes += n;
		len -= n;
	}
	v->open_rank = rank;
	nonblocking_writer_write(&v->out, v->marked.text, v->marked.len);
	return v->detached;
}

static int on_partial(size_t rank, const char *bytes, size_t len, void *data)
{
	struct viewer *v = data;
	live_view_partial(v->live, rank, bytes, len);
	return v->detached;
}

static int on_metric(json_t *event, void *data)
{
	struct viewer *v = data;
	live_view_event(v->live, event);
	return v->detached;
}

static int on_event(json_t *event, const char *line, size_t len, void *data)
{
	struct viewer *v = data;
	const char *to = json_string_value(json_object_get(event, "to"));
	if (event_is(event, "end"))
		v->end = json_incref(event);
	if (v->options->until && event_is(event, "state") && to && strcmp(to, v->options->until) == 0)
		v->reached = true;
	enum event_text_kind kind;
	autofree char *told = event_text_line(&v->story, event, &kind);
	if (v->live)
		live_view_event(v->live, event);
	if (v->options->json)
		nonblocking_writer_write(&v->out, line, len);
	else if (kind == EVENT_TEXT_TROUBLE || (kind == EVENT_TEXT_NEWS && !v->options->quiet && !v->live))
		say(v, kind, told);
	return v->detached || v->reached;
}

// The run directory as the user would write it.
static char *short_path(const struct run *run, const char *name)
{
	autofree char *path = run_path(run, name);
	autofree char *here = getcwd(NULL, 0);
	size_t len = here ? strlen(here) : 0;
	if (len > 1 && strncmp(path, here, len) == 0 && path[len] == '/')
		return mem_strdup(path + len + 1);
	return steal(path);
}

static void say_end(struct viewer *v, bool live)
{
	if (v->options->json)
		return;
	enum event_text_kind kind;
	autofree char *told = event_text_line(&v->story, v->end, &kind);
	if (v->options->until) { // a cluster that did not come up has no report
		say(v, kind, told);
		return;
	}
	autofree char *report = run_path(v->run, "report.html");
	autofree char *where = short_path(v->run, fs_exists(report) ? "report.html" : "");
	if (!live) {
		autofree char *line = mem_printf("%s; see %s", told, where);
		say(v, kind, line);
		return;
	}
	// The panel has said how it ended, but not why.
	const char *why = json_string_value(json_object_get(v->end, "why"));
	autofree char *line = mem_printf("%s%s%s see %s\n", why ? " " : "", why ? why : "", why ? ";" : "", where);
	nonblocking_writer_write(&v->out, line, strlen(line));
}

// --- following --------------------------------------------------------------

// What signals asked for and could not be done in the middle of writing.
static void heed_signals(struct viewer *v)
{
	if (v->interrupts > v->told && !v->options->json)
		say(v, EVENT_TEXT_TROUBLE, interrupt_text(v->interrupts));
	v->told = v->interrupts;
	if (v->live && v->stop_asked) {
		live_view_leave(v->live);
		raise(SIGSTOP);
		v->resumed = true;
	}
	if (v->live && v->resumed)
		live_view_enter(v->live);
	if (v->live && v->resized)
		live_view_resize(v->live);
	v->stop_asked = v->resumed = v->resized = false;
}

// Waits for something to happen. Returns whether the controller is gone.
static bool wait_any(struct viewer *v, int follow_fd, int ms)
{
	if (v->live) {
		int due = live_view_due(v->live);
		ms = ms < 0 || due < ms ? due : ms;
	}
	struct pollfd fds[] = {{.fd = v->signals, .events = POLLIN}, {.fd = v->pidfd, .events = POLLIN},
		{.fd = follow_fd, .events = POLLIN}};
	poll(fds, countof(fds), ms);
	if (fds[0].revents)
		on_wake(v);
	heed_signals(v);
	if (v->live)
		live_view_draw(v->live);
	return v->pidfd < 0 || fds[1].revents;
}

// How the controller ended, when it is our child: " by signal 9 (Killed)".
static char *describe_death(const struct viewer *v)
{
	siginfo_t info = {0};
	if (waitid(P_PIDFD, (id_t)v->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
		return mem_strdup("was killed");
	if (info.si_code == CLD_EXITED)
		return mem_printf("ended with status %d", info.si_status);
	return mem_printf("was killed by signal %d (%s)", info.si_status, strsignal(info.si_status));
}

// When somebody last wrote into the run's event log: "2026-11-22 10:45:12".
static char *last_sign(const struct run *run)
{
	autofree char *path = run_path(run, "events.jsonl");
	struct stat st;
	struct tm tm;
	char text[32] = "an unknown time";
	if (stat(path, &st) == 0 && localtime_r(&st.st_mtime, &tm))
		strftime(text, sizeof text, "%F %T", &tm);
	return mem_strdup(text);
}

static int lost(const struct viewer *v, struct error *err)
{
	const char *id = v->run->id;
	int pid = (int)v->options->controller;
	autofree char *which = pid > 0 ? mem_printf("(pid %d) ", pid) : mem_strdup("");
	if (v->pidfd < 0) {
		autofree char *when = last_sign(v->run);
		return error_set(err, ERROR_SYSTEM,
			"cannot attach to run %s: its controller %swas killed, last active at "
			"%s; `muster reap` "
			"removes what it left",
			id, which, when);
	}
	autofree char *how = describe_death(v);
	return error_set(err, ERROR_SYSTEM,
		"the controller %s%s before the run %s ended; `muster reap` removes what it left", which, how, id);
}

// Until the end is read, the controller is gone or the user leaves.
static int watch(struct viewer *v, struct error *err)
{
	bool gone = v->pidfd < 0;
	for (;;) {
		size_t bytes = 0;
		// What it wrote before it went is there now, so one reading after it is enough.
		int rc = gone ? follow_finish(v->follow, err) : follow_read(v->follow, &bytes, err);
		if (rc < 0)
			return -1;
		if (v->end || v->detached || v->reached)
			return 0;
		if (v->out.closed && !v->options->owner)
			v->detached = true;
		if (gone)
			return lost(v, err);
		if (rc == FOLLOW_MORE) {
			gone = wait_any(v, -1, 0);
		} else if (bytes >= BUSY) {
			gone = wait_any(v, -1, BUSY_MS);
		} else {
			int fd = follow_fd(v->follow);
			gone = wait_any(v, fd, fd < 0 ? BLIND_MS : -1);
		}
	}
}

// The report is written after the end, and the controller ends after the report.
static void wait_farewell(struct viewer *v)
{
	double until = clock_mono() + FAREWELL_MS / 1e3, now;
	while (v->pidfd >= 0 && !v->detached && (now = clock_mono()) < until)
		if (wait_any(v, -1, (int)((until - now) * 1e3) + 1))
			break;
}

static int open_pidfd(const struct viewer_options *options)
{
	if (options->controller <= 0)
		return -1;
	autoclose int fd = (int)syscall(SYS_pidfd_open, options->controller, 0);
	if (fd >= 0 && options->started && !proc_alive(options->controller, options->started)) {
		// Our own child that ended may wait for us; a stranger with this pid is somebody else.
		siginfo_t info = {0};
		if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return -1;
	}
	return steal_fd(&fd);
}

static bool are_joined(void)
{
	struct stat out, err;
	return fstat(STDOUT_FILENO, &out) == 0 && fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
	       out.st_ino == err.st_ino;
}

static void set_calls(struct viewer *v)
{
	v->calls = (struct follow_calls){.on_event = on_event, .data = v};
	if (!v->options->json && !v->options->quiet)
		v->calls.on_output = on_output;
	if (v->live) {
		v->calls.on_metric = on_metric;
		v->calls.on_partial = on_partial;
	}
}

static int follow_run(struct viewer *v, struct error *err)
{
	set_calls(v);
	v->follow = follow_open(v->run, &v->calls, err);
	if (v->follow && v->live && !v->options->owner && follow_skip(v->follow, EARLIER)) {
		autofree char *line = mem_printf("earlier output is not shown (muster logs %s)", v->run->id);
		say(v, EVENT_TEXT_NEWS, line);
	}
	int rc = v->follow ? watch(v, err) : -1;
	follow_close(v->follow);
	if (rc == 0 && v->end)
		wait_farewell(v);
	bool live = v->live;
	live_view_close(v->live);
	v->live = NULL;
	if (rc == 0 && v->end) {
		say_end(v, live);
		return (int)json_integer_value(json_object_get(v->end, "exit"));
	}
	if (rc == 0 && v->options->left)
		*v->options->left = true;
	if (rc == 0 && !v->options->json && !v->reached) {
		autofree char *line = mem_printf("the run continues; `muster attach %s` follows it again", v->run->id);
		say(v, EVENT_TEXT_NEWS, line);
	}
	return rc;
}

// Signals are blocked and read as they come: a handler could interrupt anything. Those that say "go away" may have been
// ignored on purpose (nohup); Ctrl-C never is, though shells start what runs in the background so.
static void block_signals(bool live, sigset_t *set, sigset_t *old)
{
	static const int always[] = {SIGINT, SIGTERM}, unless_ignored[] = {SIGHUP, SIGQUIT},
			 when_live[] = {SIGTSTP, SIGCONT, SIGWINCH};
	sigemptyset(set);
	for (size_t i = 0; i < countof(always); i++)
		sigaddset(set, always[i]);
	for (size_t i = 0; i < countof(unless_ignored); i++) {
		struct sigaction action;
		if (sigaction(unless_ignored[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(set, unless_ignored[i]);
	}
	for (size_t i = 0; live && i < countof(when_live); i++)
		sigaddset(set, when_live[i]);
	sigprocmask(SIG_BLOCK, set, old);
}

int viewer_follow(const struct run *run, const struct viewer_options *options, struct error *err)
{
	bool live = !options->json && !options->quiet && live_view_possible();
	sigset_t set, old;
	block_signals(live, &set, &old);
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old_pipe;
	sigaction(SIGPIPE, &ignore, &old_pipe);

	struct viewer v = {.run = run, .options = options, .joined = are_joined()};
	autoclose int signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	autoclose int pidfd = open_pidfd(options);
	v.signals = signals;
	v.pidfd = pidfd;
	int rc = -1;
	if (signals < 0) {
		error_errno(err, "cannot watch for signals");
	} else {
		nonblocking_writer_init(&v.out, STDOUT_FILENO, signals, on_wake, &v);
		nonblocking_writer_init(&v.err, STDERR_FILENO, signals, on_wake, &v);
		v.live = live ? live_view_open(&v.out, run->id) : NULL;
		rc = follow_run(&v, err);
		nonblocking_writer_fini(&v.out);
		nonblocking_writer_fini(&v.err);
	}
	str_fini(&v.marked);
	json_decref(v.end);
	sigprocmask(SIG_SETMASK, &old, NULL);
	sigaction(SIGPIPE, &old_pipe, NULL);
	return rc;
}
