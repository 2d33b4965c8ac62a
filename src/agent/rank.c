#include "agent/rank.h"

#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, PIPE_SIZE = 512 * 1024, METRIC_MAX = 64 * 1024, READS_PER_TURN = 4, METRIC_READS = 16 };

struct rank {
	struct rank_options options;
	struct loop *loop;
	pid_t pid;
	bool running, paused;
	struct loop_watch *exit, *output, *metrics;
	struct loop_timer *linger; // set once the process has ended and its output is still open
	struct str metric;
};

static const double patience = 1; // seconds for a killed rank to be gone
static const double linger_seconds = 2;
static char read_buffer[READ_SIZE]; // one thread, one loop

static void set_paused(struct rank *r, bool paused)
{
	if (r->paused == paused)
		return;
	r->paused = paused;
	if (r->output)
		loop_watch_pause(r->output, paused);
	if (r->metrics)
		loop_watch_pause(r->metrics, paused);
}

// What is in the pipe now and little more: somebody who escaped from the group may go on writing for ever. True at the
// end of file.
static bool read_rest(struct rank *r)
{
	int left = 0;
	ioctl(loop_watch_fd(r->output), FIONREAD, &left);
	while (left >= 0) {
		ssize_t n = read(loop_watch_fd(r->output), read_buffer, sizeof read_buffer);
		if (n <= 0)
			return n == 0;
		if (!r->options.on_output(read_buffer, (size_t)n, r->options.data))
			set_paused(r, true);
		left -= (int)n;
	}
	return false;
}

// Reads output until there is none, the turn is over or there is no room; everything when all is set. True at the end
// of file.
static bool read_output(struct rank *r, bool all)
{
	for (int i = 0; all || (i < READS_PER_TURN && !r->paused); i++) {
		ssize_t n = read(loop_watch_fd(r->output), read_buffer, sizeof read_buffer);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		if (!r->options.on_output(read_buffer, (size_t)n, r->options.data))
			set_paused(r, true);
	}
	return false;
}

static void finish(struct rank *r);

static void on_output(enum loop_event event, void *data)
{
	struct rank *r = data;
	bool end = read_output(r, event == LOOP_CLOSED);
	if (event == LOOP_CLOSED)
		r->output = NULL;
	else if (end)
		loop_unwatch(steal(r->output));
	if (r->linger && !r->output)
		finish(r);
}

void rank_resume(struct rank *rank)
{
	set_paused(rank, false);
}

static void split_metrics(struct rank *r)
{
	char *start = r->metric.text, *end;
	size_t left = r->metric.len;
	while (left && (end = memchr(start, '\n', left))) {
		if (!r->options.on_metric(start, (size_t)(end - start), r->options.data))
			set_paused(r, true);
		left -= (size_t)(end - start) + 1;
		start = end + 1;
	}
	if (left > METRIC_MAX)
		left = 0; // no line of JSON is that long
	if (left)
		memmove(r->metric.text, start, left);
	r->metric.len = left;
}

// A turn's worth: more than a pipe holds, so it is everything once nobody writes any more.
static bool read_metrics(struct rank *r)
{
	char buf[16384];
	ssize_t n = -1;
	for (int i = 0; i < METRIC_READS && (n = read(loop_watch_fd(r->metrics), buf, sizeof buf)) > 0; i++) {
		str_add(&r->metric, buf, (size_t)n);
		split_metrics(r);
	}
	return n == 0;
}

static void on_metrics(enum loop_event event, void *data)
{
	struct rank *r = data;
	bool end = read_metrics(r);
	if (event == LOOP_CLOSED)
		r->metrics = NULL;
	else if (end)
		loop_unwatch(steal(r->metrics));
}

static void finish(struct rank *r)
{
	int status = SIGKILL; // when somebody else has reaped it
	kill(-r->pid, SIGKILL);
	waitpid(r->pid, &status, WNOHANG);
	r->running = false;
	loop_timer_free(steal(r->linger));
	if (r->output) {
		read_rest(r);
		loop_unwatch(steal(r->output));
	}
	if (r->metrics) {
		read_metrics(r);
		loop_unwatch(steal(r->metrics));
	}
	r->options.on_exit(WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
		r->options.data);
}

static void on_linger_over(void *data)
{
	finish(data);
}

// The process has ended. It is not waited for yet, so that its number stays its group's: what it started may still have
// something to say (the tee of a shell, say), and gets a moment for it.
static void on_exit_ready(enum loop_event event, void *data)
{
	struct rank *r = data;
	siginfo_t info = {0};
	if (!r->running || (waitid(P_PID, (id_t)r->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0))
		return;
	if (event != LOOP_CLOSED)
		loop_unwatch(r->exit);
	r->exit = NULL;
	if (r->output && !read_rest(r)) {
		r->linger = loop_timer_new(r->loop, on_linger_over, r);
		loop_timer_set(r->linger, linger_seconds);
	} else
		finish(r);
}

static bool env_has(const json_t *env, const char *entry)
{
	size_t len = strcspn(entry, "=");
	return json_object_getn(env, entry, len) != NULL;
}

// The agent's environment, but for what env replaces, then env. Strings made here are freed by free_list.
static char **make_env(const json_t *env, const char *const *extra)
{
	size_t n = 0, room = json_object_size(env) + 8;
	for (char **e = environ; *e; e++)
		room++;
	char **list = mem_alloc(room * sizeof *list);
	for (char **e = environ; *e; e++)
		if (!env_has(env, *e))
			list[n++] = mem_strdup(*e);
	const char *key;
	json_t *value;
	json_object_foreach ((json_t *)env, key, value)
		list[n++] = mem_printf("%s=%s", key, json_string_value(value));
	for (; *extra; extra++)
		list[n++] = mem_strdup(*extra);
	return list;
}

static char **make_argv(const json_t *argv)
{
	char **list = mem_alloc((json_array_size(argv) + 1) * sizeof *list);
	for (size_t i = 0; i < json_array_size(argv); i++)
		list[i] = mem_strdup(json_string_value(json_array_get(argv, i)));
	return list;
}

static void free_list(char **list)
{
	for (char **at = list; *at; at++)
		free(*at);
	free(list);
}

static pid_t spawn(const struct rank_options *o, int out, int metrics, int *pidfd, struct error *err)
{
	const char *extra[3] = {0};
	int keep[3], n = 0;
	if (metrics >= 0) {
		extra[n] = "MUSTER_METRICS_FD=3"; // one digit: a plain shell takes no more behind >&
		keep[n++] = metrics;
	}
	if (o->pmi >= 0) {
		extra[n] = n ? "PMI_FD=4" : "PMI_FD=3";
		keep[n++] = o->pmi;
	}
	keep[n] = -1;
	char **argv = make_argv(o->argv), **env = make_env(o->env, extra);
	struct proc_options options = {.argv = argv,
		.env = env,
		.dir = o->dir,
		.in = o->in,
		.out = out,
		.err = out,
		.keep = keep,
		.group = true,
		.die_with_parent = true,
		.cgroups = o->cgroups};
	pid_t pid = proc_spawn(&options, pidfd, err);
	free_list(argv);
	free_list(env);
	return pid;
}

struct rank *rank_start(struct loop *loop, const struct rank_options *options, struct error *err)
{
	autoclose int pmi = options->pmi;
	int out[2], metrics[2] = {-1, -1}, pidfd = -1;
	if (pipe2(out, O_CLOEXEC) < 0) {
		error_errno(err, "cannot make a pipe");
		return NULL;
	}
	if (options->metrics && pipe2(metrics, O_CLOEXEC) < 0)
		metrics[0] = metrics[1] = -1;
	pid_t pid = spawn(options, out[1], metrics[1], &pidfd, err);
	close(out[1]);
	mem_cleanup_fd(&metrics[1]);
	if (pid < 0) {
		close(out[0]);
		mem_cleanup_fd(&metrics[0]);
		return NULL;
	}
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(out[0], F_SETPIPE_SZ, PIPE_SIZE);
	struct rank *r = mem_alloc(sizeof *r);
	*r = (struct rank){.options = *options, .loop = loop, .pid = pid, .running = true};
	r->output = loop_watch(loop, out[0], on_output, r);
	if (metrics[0] >= 0) {
		fcntl(metrics[0], F_SETFL, O_NONBLOCK);
		r->metrics = loop_watch(loop, metrics[0], on_metrics, r);
	}
	r->exit = loop_watch(loop, pidfd, on_exit_ready, r);
	if (r->output && r->exit)
		return r;
	error_set(err, ERROR_SYSTEM, "cannot watch one more process");
	rank_free(r);
	return NULL;
}

void rank_free(struct rank *rank)
{
	if (!rank)
		return;
	if (rank->running) {
		rank_signal(rank, SIGKILL);
		proc_reap(rank->pid, patience);
	}
	loop_timer_free(rank->linger);
	loop_unwatch(rank->exit);
	loop_unwatch(rank->output);
	loop_unwatch(rank->metrics);
	str_fini(&rank->metric);
	free(rank);
}

pid_t rank_pid(const struct rank *rank)
{
	return rank->pid;
}

void rank_signal(struct rank *rank, int signal)
{
	if (rank->running && kill(-rank->pid, signal) < 0)
		kill(rank->pid, signal); // it has left its own group
}
