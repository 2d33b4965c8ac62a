#include "base/loop.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "run/run.h"
#include "wire/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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

static const char usage[] = "usage: muster exec RUN [--node K] -- COMMAND [ARGUMENT]...\n"
			    "\n"
			    "Runs a command inside a live node of a run, in the directory its ranks run in; with a terminal when standard\n"
			    "input is one. Ends with the command's exit status.\n"
			    "\n"
			    "  -n, --node K    the node (default 0)\n"
			    "      --runs DIR  where runs are kept (default $MUSTER_RUNS or ./runs)\n"
			    "  -h, --help      print this text\n";

static const unsigned heartbeat = 5;
static const uint64_t window = 1 << 20; // so much input may be on its way
static const uint32_t shell_errors = 1u << 30; // the stream of a command's standard error; the other one is its output

struct session {
	struct loop *loop;
	struct conn *conn;
	struct loop_watch *input, *signals;
	json_t *control, *argv;
	int node;
	int in;                // where input is read, -1 after its end
	uint64_t sent, taken; // bytes of input: on their way, and out of the way
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

static void send_eof(struct session *s)
{
	autojson json_t *msg = mem_json("{s:s, s:b}", "msg", "exec", "eof", 1);
	conn_send(s->conn, msg);
}

static void send_size(struct session *s)
{
	struct winsize size;
	if (ioctl(0, TIOCGWINSZ, &size) < 0)
		return;
	autojson json_t *msg = mem_json("{s:s, s:i, s:i}", "msg", "exec", "rows", (int)size.ws_row, "cols", (int)size.ws_col);
	conn_send(s->conn, msg);
}

// Reads and sends what there is room for; everything when all is set. True at the end.
static bool pump(struct session *s, bool all)
{
	char buf[16384];
	while (s->conn && (all || s->sent - s->taken < window)) {
		ssize_t n = read(s->in, buf, sizeof buf);
		if (n <= 0)
			return n == 0 || (errno != EAGAIN && errno != EINTR);
		conn_send_bytes(s->conn, 0, 0, buf, (size_t)n);
		s->sent += (uint64_t)n;
	}
	return false;
}

static void end_input(struct session *s)
{
	s->in = -1;
	if (s->conn)
		send_eof(s);
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
	else if (s->sent - s->taken >= window)
		loop_watch_pause(s->input, true);
}

static void on_taken(struct session *s, uint64_t taken)
{
	s->taken = taken;
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
		on_taken(s, 0);
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

static void on_open(struct conn *conn, void *data)
{
	struct session *s = data;
	autojson json_t *msg = mem_json("{s:s, s:O}", "msg", "client", "token", json_object_get(s->control, "token"));
	conn_send(conn, msg);
}

static void on_welcome(struct session *s)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	if (s->tty)
		ioctl(0, TIOCGWINSZ, &size);
	autojson json_t *msg = mem_json("{s:s, s:i, s:O, s:b, s:i, s:i}", "msg", "exec", "node", s->node, "argv", s->argv, "tty", s->tty, "rows",
		(int)size.ws_row, "cols", (int)size.ws_col);
	conn_send(s->conn, msg);
	start_input(s);
}

static void on_text(struct conn *conn, json_t *msg, void *data)
{
	struct session *s = data;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	const char *error = json_string_value(json_object_get(msg, "error"));
	const json_t *status = json_object_get(msg, "status"), *taken = json_object_get(msg, "taken");
	if (kind && strcmp(kind, "welcome") == 0)
		on_welcome(s);
	else if (error)
		fail(s, ERROR_SYSTEM, error);
	else if (json_is_integer(taken))
		on_taken(s, (uint64_t)json_integer_value(taken));
	else if (json_is_integer(status))
		stop(s, (int)json_integer_value(status));
}

static void on_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct session *s = data;
	const char *at = bytes;
	int fd = stream & shell_errors ? 2 : 1;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EAGAIN)
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n < 0 && errno != EINTR) {
			stop(s, 128 + SIGPIPE); // nobody wants it any more
			return;
		}
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
}

static void on_close(struct conn *conn, const char *why, void *data)
{
	struct session *s = data;
	s->conn = NULL;
	if (s->status == -2)
		fail(s, ERROR_SYSTEM, why);
}

static const struct conn_ops ops = {on_open, on_text, on_bytes, NULL, on_close};

// --- the terminal -----------------------------------------------------------------

static void on_signal(enum loop_event event, void *data)
{
	struct session *s = data;
	struct signalfd_siginfo info;
	while (read(loop_watch_fd(s->signals), &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGWINCH && s->conn && s->tty)
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

static int converse(struct session *s)
{
	const char *url = json_string_value(json_object_get(s->control, "url"));
	const char *fingerprint = json_string_value(json_object_get(s->control, "fingerprint"));
	int flags = fcntl(0, F_GETFL);
	s->loop = loop_new(256, s->err);
	if (!s->loop)
		return -1;
	prepare_terminal(s);
	s->status = -2;
	s->conn = conn_dial(s->loop, url ? url : "", fingerprint ? fingerprint : "", heartbeat, &ops, s, s->err);
	if (s->conn)
		loop_run(s->loop);
	else
		s->status = -1;
	if (s->status == -2)
		s->status = -1;
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

struct options {
	const char *run, *runs, *node;
	int command; // index of its first word
	bool help;
};

// RUN may stand before, between or after the options; the command begins behind "--", or is what follows RUN and the options.
static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	static const struct option known[] = {
		{"node", required_argument, NULL, 'n'}, {"runs", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'}, {0}};
	optind = 1;
	opterr = 0;
	for (;;) {
		int c = getopt_long(argc, argv, "+:n:h", known, NULL);
		if (c == 'n')
			o->node = optarg;
		else if (c == 'r')
			o->runs = optarg;
		else if (c == 'h')
			o->help = true;
		else if (c >= 0)
			return error_set(err, ERROR_USAGE, "exec: wrong option '%s', expected --node, --runs or --help", argv[optind - 1]);
		else if (!o->run && optind < argc && strcmp(argv[optind - 1], "--") != 0)
			o->run = argv[optind++];
		else
			break;
	}
	o->command = optind;
	if (!o->help && (!o->run || optind >= argc))
		return error_set(err, ERROR_USAGE, "exec: expected a run and a command: muster exec RUN [--node K] -- COMMAND");
	return 0;
}

int cmd_exec(int argc, char **argv, struct error *err)
{
	struct options o = {.runs = getenv("MUSTER_RUNS") ? getenv("MUSTER_RUNS") : "runs", .node = "0"};
	if (parse(argc, argv, &o, err) < 0)
		return -1;
	if (o.help) {
		fputs(usage, stdout);
		return 0;
	}
	struct session s = {.err = err, .in = -1};
	char *end;
	s.node = (int)strtol(o.node, &end, 10);
	if (*end || end == o.node || s.node < 0)
		return error_set(err, ERROR_USAGE, "exec: found node '%s', expected a number", o.node);
	struct run *run = run_open(o.runs, o.run, err);
	if (!run)
		return -1;
	int status = -1;
	s.argv = make_argv(argc - o.command, argv + o.command);
	if (!s.argv)
		error_set(err, ERROR_USAGE, "exec: the command is no UTF-8 text");
	else if (!run_alive(run, &s.control))
		error_set(err, ERROR_USAGE, "exec: run '%s' is over", run->id);
	else
		status = converse(&s);
	json_decref(s.argv);
	json_decref(s.control);
	run_free(run);
	return status;
}
