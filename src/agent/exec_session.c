#include "agent/exec_session.h"

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

enum {
	CHUNK = 16 * 1024,
	INPUT_MAX = 4 << 20,
	TAKEN_STEP = 64 * 1024,
	WINDOW = 1 << 20
};                                    // so much output may be on its way
static const double patience = 1;     // seconds for a killed command to be gone
static const double slow_line = 0.02; // seconds until we look again whether the line takes more

// What a command says, on its way up.
struct source {
	struct command *command;
	uint32_t stream;
	struct loop_watch *watch; // NULL after the end
	bool paused;
	struct loop_timer *again;
	struct str held; // what the line did not take
};

struct command {
	struct command *next;
	struct exec_session *all;
	uint32_t id;
	pid_t pid;
	bool exited, tty, in_closing;
	int status;
	struct source out, err;       // a terminal has no err, and out is its input too
	struct loop_watch *in, *exit; // in: the pipe to its standard input
	struct str input;             // not yet written
	uint64_t taken, told;         // bytes of input that need no room any more, and what the client knows of it
	uint64_t sent, read;          // bytes of output: sent, and read by the client
};

struct exec_session {
	struct node *node;
	struct command *first;
};

static void answer(struct command *s, const char *key, json_t *value)
{
	uplink_send(s->all->node->up, mem_json("{s:s, s:i, s:o}", "msg", "exec", "id", (int)s->id, key, value));
}

static void command_free(struct command *s)
{
	struct command **at = &s->all->first;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (!s->exited) {
		kill(-s->pid, SIGKILL);
		proc_reap(s->pid, patience);
	}
	loop_unwatch(s->out.watch);
	loop_unwatch(s->err.watch);
	loop_unwatch(s->in);
	loop_unwatch(s->exit);
	loop_timer_free(s->out.again);
	loop_timer_free(s->err.again);
	str_fini(&s->out.held);
	str_fini(&s->err.held);
	str_fini(&s->input);
	free(s);
}

// The process has ended and all it said is sent.
static void check_done(struct command *s)
{
	if (!s->exited || s->out.watch || s->err.watch || s->out.held.len || s->err.held.len)
		return;
	answer(s, "status", json_integer(s->status));
	command_free(s);
}

static bool flush_held(struct source *o)
{
	struct command *s = o->command;
	if (!o->held.len)
		return true;
	if (s->sent - s->read >= WINDOW)
		return false; // the client's word sets it going again
	if (!uplink_send_bytes(s->all->node->up, o->stream, o->held.text, o->held.len)) {
		loop_timer_set(o->again, slow_line);
		return false;
	}
	s->sent += o->held.len;
	o->held.len = 0;
	return true;
}

// Reads and sends until there is nothing, the end, or the line is slow (also then when all that is left must be read
// now). A terminal whose other side is gone says EIO: that is its end.
static bool relay(struct source *o, bool all)
{
	char buf[CHUNK];
	while (flush_held(o) || all) {
		ssize_t n = read(loop_watch_fd(o->watch), buf, sizeof buf);
		if (n <= 0)
			return n == 0 || (errno != EAGAIN && errno != EINTR);
		str_add(&o->held, buf, (size_t)n);
	}
	return false;
}

static void write_input(struct command *s);

static void on_source(enum loop_event event, void *data)
{
	struct source *o = data;
	if (event == LOOP_WRITABLE) {
		write_input(o->command);
		return;
	}
	bool end = relay(o, event == LOOP_CLOSED);
	if (event == LOOP_CLOSED)
		o->watch = NULL; // what is held is sent by the timer
	else if (end)
		loop_unwatch(steal(o->watch));
	else if (o->held.len && !o->paused) {
		o->paused = true;
		loop_watch_pause(o->watch, true);
	}
	check_done(o->command);
}

static void on_again(void *data)
{
	struct source *o = data;
	if (!flush_held(o))
		return;
	if (o->watch && o->paused) {
		o->paused = false;
		loop_watch_pause(o->watch, false);
	}
	check_done(o->command);
}

static void finish_source(struct source *o)
{
	if (o->watch && !o->paused && relay(o, false))
		loop_unwatch(steal(o->watch));
}

static void on_exit_ready(enum loop_event event, void *data)
{
	struct command *s = data;
	int status = SIGKILL; // when somebody else has reaped it
	if (s->exited || waitpid(s->pid, &status, WNOHANG) == 0)
		return;
	s->exited = true;
	s->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	kill(-s->pid, SIGKILL);
	if (event != LOOP_CLOSED)
		loop_unwatch(s->exit);
	s->exit = NULL;
	finish_source(&s->out);
	finish_source(&s->err);
	check_done(s);
}

// --- input ----------------------------------------------------------------------

static struct loop_watch *input_watch(struct command *s)
{
	return s->tty ? s->out.watch : s->in;
}

// The client sends a window's worth and then waits for this.
static void tell_taken(struct command *s)
{
	if (s->taken - s->told < TAKEN_STEP && (s->input.len || s->taken == s->told))
		return;
	s->told = s->taken;
	answer(s, "taken", json_integer((json_int_t)s->taken));
}

static void drop_input(struct command *s, size_t len)
{
	s->taken += len;
	s->input.len -= len;
	memmove(s->input.text, s->input.text + len, s->input.len);
	tell_taken(s);
}

static void write_input(struct command *s)
{
	struct loop_watch *w = input_watch(s);
	if (!w && s->input.len)
		drop_input(s, s->input.len);
	while (s->input.len) {
		ssize_t n = write(loop_watch_fd(w), s->input.text, s->input.len);
		if (n < 0 && errno == EAGAIN) {
			loop_watch_writable(w);
			return;
		}
		drop_input(s, n < 0 ? s->input.len : (size_t)n); // less than 0: nobody reads it
	}
	if (s->in_closing && s->in)
		loop_unwatch(steal(s->in));
}

static void on_in(enum loop_event event, void *data)
{
	struct command *s = data;
	if (event == LOOP_CLOSED)
		s->in = NULL;
	else if (event == LOOP_WRITABLE)
		write_input(s);
}

// --- start ----------------------------------------------------------------------

static int open_terminal(const json_t *msg, int *slave, struct error *err)
{
	autoclose int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct winsize size = {.ws_row = (unsigned short)json_integer_value(json_object_get(msg, "rows")),
		.ws_col = (unsigned short)json_integer_value(json_object_get(msg, "cols"))};
	char name[64];
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, name, sizeof name) != 0)
		return error_errno(err, "there is no terminal on this node");
	ioctl(master, TIOCSWINSZ, &size);
	*slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		return error_errno(err, "there is no terminal on this node");
	return steal_fd(&master);
}

// agent: what another run's agent makes on this node (helper/bridge.h) lies below our directory: an image may have no
// /tmp.
static char **make_env(struct node *node, bool agent)
{
	size_t n = 0;
	while (environ[n])
		n++;
	char **env = mem_alloc((n + 3) * sizeof *env);
	for (size_t i = n = 0; environ[i]; i++)
		if (!agent || !str_starts(environ[i], "MUSTER_NODES_DIR="))
			env[n++] = environ[i];
	env[n] = agent ? mem_printf("MUSTER_NODES_DIR=%s/jobs", node->dir)
		       : mem_printf("MUSTER_DATA=%s", node->data_dir);
	env[n + 1] = mem_printf("MUSTER_OUT=%s", node->out_dir);
	return env;
}

static void free_env(char **env)
{
	size_t n = 0;
	while (env[n])
		n++;
	free(env[n - 1]);
	free(env[n - 2]);
	free(env);
}

// The agent itself stays outside of the limits of its node, as the one that starts it.
static pid_t spawn(
	struct node *node, const json_t *msg, int in, int out, int err_fd, bool tty, int *pidfd, struct error *err)
{
	const json_t *argv = json_object_get(msg, "argv");
	bool agent = json_is_true(json_object_get(msg, "agent"));
	size_t n = json_array_size(argv);
	autofree char **list = mem_alloc((n + 1) * sizeof *list);
	for (size_t i = 0; i < n; i++)
		list[i] = (char *)json_string_value(json_array_get(argv, i));
	if (n == 0 || !list[0])
		return error_set(err, ERROR_USAGE, "there is no command to run");
	if (agent)
		list[0] = "/proc/self/exe";
	char **env = make_env(node, agent);
	struct proc_options options = {.argv = list,
		.env = env,
		.dir = node->out_dir,
		.in = in,
		.out = out,
		.err = err_fd,
		.session = true,
		.tty = tty,
		.die_with_parent = true,
		.cgroups = agent ? NULL : node->cgroups};
	pid_t pid = proc_spawn(&options, pidfd, err);
	free_env(env);
	return pid;
}

static void open_source(struct source *o, struct command *s, uint32_t stream, int fd)
{
	*o = (struct source){.command = s, .stream = stream | s->id};
	o->again = loop_timer_new(s->all->node->loop, on_again, o);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	o->watch = loop_watch(s->all->node->loop, fd, on_source, o);
}

static struct command *add_command(struct exec_session *all, uint32_t id, pid_t pid, int pidfd, bool tty)
{
	struct command *s = mem_alloc(sizeof *s);
	*s = (struct command){.next = all->first, .all = all, .id = id, .pid = pid, .tty = tty};
	all->first = s;
	s->exit = loop_watch(all->node->loop, pidfd, on_exit_ready, s);
	return s;
}

static int start_on_terminal(struct exec_session *all, uint32_t id, const json_t *msg, struct error *err)
{
	autoclose int slave = -1;
	autoclose int master = open_terminal(msg, &slave, err);
	int pidfd = -1;
	if (master < 0)
		return -1;
	pid_t pid = spawn(all->node, msg, slave, slave, slave, true, &pidfd, err);
	if (pid < 0)
		return -1;
	struct command *s = add_command(all, id, pid, pidfd, true);
	open_source(&s->out, s, UPLINK_EXEC, steal_fd(&master));
	return 0;
}

static int start_on_pipes(struct exec_session *all, uint32_t id, const json_t *msg, struct error *err)
{
	int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, pidfd = -1;
	for (int i = 0; i < 3; i++)
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			error_errno(err, "cannot make a pipe");
	autoclose int in = pipes[0][1], out = pipes[1][0], out_err = pipes[2][0];
	pid_t pid = -1;
	if (pipes[2][0] >= 0)
		pid = spawn(all->node, msg, pipes[0][0], pipes[1][1], pipes[2][1], false, &pidfd, err);
	mem_cleanup_fd(&pipes[0][0]);
	mem_cleanup_fd(&pipes[1][1]);
	mem_cleanup_fd(&pipes[2][1]);
	if (pid < 0)
		return -1;
	struct command *s = add_command(all, id, pid, pidfd, false);
	open_source(&s->out, s, UPLINK_EXEC, steal_fd(&out));
	open_source(&s->err, s, UPLINK_EXEC | UPLINK_EXEC_ERRORS, steal_fd(&out_err));
	fcntl(in, F_SETFL, O_NONBLOCK);
	s->in = loop_watch(all->node->loop, steal_fd(&in), on_in, s);
	return 0;
}

static struct command *find(struct exec_session *all, uint32_t id)
{
	struct command *s = all->first;
	while (s && s->id != id)
		s = s->next;
	return s;
}

static void start(struct exec_session *all, uint32_t id, const json_t *msg)
{
	struct error err = {0};
	bool tty = json_is_true(json_object_get(msg, "tty"));
	if ((tty ? start_on_terminal : start_on_pipes)(all, id, msg, &err) == 0)
		return;
	struct command none = {.all = all, .id = id};
	answer(&none, "error", json_string(err.text));
}

void exec_session_message(struct exec_session *exec_sessions, const json_t *msg)
{
	uint32_t id = (uint32_t)json_integer_value(json_object_get(msg, "id"));
	struct command *s = find(exec_sessions, id);
	if (!s && json_object_get(msg, "argv"))
		start(exec_sessions, id, msg);
	if (!s)
		return;
	if (json_object_get(msg, "gone"))
		command_free(s);
	else if (json_is_integer(json_object_get(msg, "taken"))) {
		s->read = (uint64_t)json_integer_value(json_object_get(msg, "taken"));
		loop_timer_set(s->out.again, 0);
		if (s->err.again)
			loop_timer_set(s->err.again, 0);
	} else if (json_object_get(msg, "eof")) {
		s->in_closing = true;
		write_input(s);
	} else if (json_object_get(msg, "rows") && s->tty && s->out.watch) {
		struct winsize size = {.ws_row = (unsigned short)json_integer_value(json_object_get(msg, "rows")),
			.ws_col = (unsigned short)json_integer_value(json_object_get(msg, "cols"))};
		ioctl(loop_watch_fd(s->out.watch), TIOCSWINSZ, &size);
	}
}

void exec_session_bytes(struct exec_session *exec_sessions, uint32_t stream, const void *bytes, size_t len)
{
	struct command *s = find(exec_sessions, stream & ~(uint32_t)UPLINK_EXEC);
	if (!s || s->input.len + len > INPUT_MAX)
		return;
	str_add(&s->input, bytes, len);
	write_input(s);
}

struct exec_session *exec_session_new(struct node *node)
{
	struct exec_session *exec_sessions = mem_alloc(sizeof *exec_sessions);
	exec_sessions->node = node;
	return exec_sessions;
}

void exec_session_free(struct exec_session *exec_sessions)
{
	if (!exec_sessions)
		return;
	while (exec_sessions->first)
		command_free(exec_sessions->first);
	free(exec_sessions);
}
