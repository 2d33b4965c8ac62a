#include "base/loop.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/exec_fanout.h"
#include "cmd/live_target.h"
#include "cmd/options.h"
#include "run/run.h"
#include "wire/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

static const struct options_usage usage = {
	.arguments = "RUN|CLUSTER",
	.least = 1,
	.most = 1,
	.command = "COMMAND [ARGUMENT]...",
	.about = "Runs a command on a node of a run that is in progress (default: node 0), in the working directory of "
		 "its ranks, with a terminal if standard input is one. Exits with the command's exit status.\n\n"
		 "On a persistent cluster, without --node: runs the command on all nodes at once, without input; marks "
		 "output lines with their node and exits with the highest exit status." OPTIONS_ABOUT_RUN,
};

enum { NOT_YET = -2 };

struct session {
	struct loop *loop;
	struct client *client;
	struct client_command *command; // NULL before it has begun and after its end
	struct loop_watch *input, *signals;
	const json_t *argv;
	size_t node;
	int in; // where input is read, -1 after its end
	bool tty;
	struct termios before;
	int status;
	struct error *err;
};

static void stop(struct session *s, int status)
{
	s->status = status;
	loop_stop(s->loop);
}

static void fail(struct session *s, int code, const char *why)
{
	error_set(s->err, code, "exec: %s", why);
	stop(s, -1);
}

// --- input ------------------------------------------------------------------------

static void send_size(struct session *s)
{
	struct winsize size;
	if (ioctl(0, TIOCGWINSZ, &size) == 0)
		client_size(s->command, size.ws_row, size.ws_col);
}

// Reads and sends what there is room for; everything when all is set. True at the end.
static bool pump(struct session *s, bool all)
{
	char buf[16384];
	while (s->command && (all || client_room(s->command))) {
		ssize_t n = read(s->in, buf, sizeof buf);
		if (n <= 0)
			return n == 0 || (errno != EAGAIN && errno != EINTR);
		client_write(s->command, buf, (size_t)n);
	}
	return false;
}

static void end_input(struct session *s)
{
	s->in = -1;
	if (s->command)
		client_end_input(s->command);
}

static void on_input(enum loop_event event, void *data)
{
	struct session *s = data;
	bool end = pump(s, event == LOOP_CLOSED);
	if (end || event == LOOP_CLOSED)
		end_input(s);
	if (event == LOOP_CLOSED)
		s->input = NULL;
	else if (end)
		loop_unwatch(steal(s->input));
	else if (s->command && !client_room(s->command))
		loop_watch_pause(s->input, true);
}

static void on_room(void *data)
{
	struct session *s = data;
	if (s->input)
		loop_watch_pause(s->input, false);
	else if (s->in >= 0 && pump(s, false))
		end_input(s);
}

// A file is read where there is room for it; all else is watched.
static void start_input(struct session *s)
{
	struct stat st;
	s->in = 0;
	if (fstat(0, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		on_room(s);
		return;
	}
	s->in = fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (s->in < 0) {
		end_input(s);
		return;
	}
	fcntl(s->in, F_SETFL, fcntl(s->in, F_GETFL) | O_NONBLOCK);
	s->input = loop_watch(s->loop, s->in, on_input, s);
}

// --- the line ---------------------------------------------------------------------

static const struct client_command_ops command_ops;

static void on_welcome(void *data)
{
	struct session *s = data;
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	if (s->tty)
		ioctl(0, TIOCGWINSZ, &size);
	struct client_what what = {
		.node = s->node, .argv = s->argv, .tty = s->tty, .rows = size.ws_row, .cols = size.ws_col};
	s->command = client_run(s->client, &what, &command_ops, s);
	start_input(s);
}

static void on_answer(const json_t *msg, void *data)
{
}

static void on_bytes(bool error, const void *bytes, size_t len, void *data)
{
	struct session *s = data;
	if (exec_fanout_write(error ? 2 : 1, bytes, len) < 0)
		stop(s, 128 + SIGPIPE); // nobody wants it any more
	else
		client_taken(s->command, len);
}

static void on_end(int status, const char *why, void *data)
{
	struct session *s = data;
	s->command = NULL;
	if (status >= 0)
		stop(s, status);
	else if (s->status == NOT_YET)
		fail(s, ERROR_SYSTEM, why);
}

static void on_close(const char *why, void *data)
{
	struct session *s = data;
	if (s->status == NOT_YET)
		fail(s, ERROR_SYSTEM, why);
}

static const struct client_ops ops = {on_welcome, on_answer, on_close};
static const struct client_command_ops command_ops = {on_bytes, on_room, on_end};

// --- the terminal -----------------------------------------------------------------

static void on_signal(enum loop_event event, void *data)
{
	struct session *s = data;
	struct signalfd_siginfo info;
	while (read(loop_watch_fd(s->signals), &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGWINCH && s->command && s->tty)
			send_size(s);
		else if (info.ssi_signo != SIGWINCH)
			stop(s, 128 + (int)info.ssi_signo);
	}
}

static void prepare_terminal(struct session *s)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = loop_watch(s->loop, signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal, s);
	s->tty = isatty(0) && tcgetattr(0, &s->before) == 0;
	if (!s->tty)
		return;
	struct termios raw = s->before;
	cfmakeraw(&raw);
	tcsetattr(0, TCSADRAIN, &raw);
}

static int converse(struct session *s, const json_t *control)
{
	int flags = fcntl(0, F_GETFL);
	s->loop = loop_new(256, s->err);
	if (!s->loop)
		return -1;
	prepare_terminal(s);
	s->status = NOT_YET;
	s->client = client_dial(s->loop, control, &ops, s, s->err);
	if (s->client)
		loop_run(s->loop);
	if (s->status == NOT_YET)
		s->status = -1;
	client_free(s->client);
	loop_free(s->loop);
	if (s->tty)
		tcsetattr(0, TCSADRAIN, &s->before);
	if (flags >= 0)
		fcntl(0, F_SETFL, flags); // the descriptor is shared with whoever called us
	return s->status;
}

static json_t *make_argv(int argc, char **argv)
{
	json_t *list = json_array();
	for (int i = 0; i < argc; i++) {
		json_t *word = json_string(argv[i]);
		if (!word) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, word);
	}
	return list;
}

static int run_command(const char *node, const struct live_target *t, const json_t *argv, struct error *err)
{
	if (t->cluster && !node)
		return exec_fanout_all(t->control, t->nodes, argv, err);
	struct session s = {.err = err, .in = -1, .argv = argv};
	if (node && live_target_node(t, node, &s.node, err) < 0)
		return -1;
	return converse(&s, t->control);
}

int cmd_exec(int argc, char **argv, struct error *err)
{
	const char *runs = NULL, *node = NULL;
	const struct option_row rows[] = {
		{"node", 'n', "K", "the node's number", &node},
		OPTIONS_RUNS(&runs),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	autojson json_t *words = make_argv(argc - first - 1, argv + first + 1);
	if (!words)
		return error_set(err, ERROR_USAGE, "exec: the command is not UTF-8 text");
	struct live_target t;
	if (live_target_open(&t, runs, argv[first], err) < 0)
		return -1;
	int status = run_command(node, &t, words, err);
	live_target_close(&t);
	return status;
}
