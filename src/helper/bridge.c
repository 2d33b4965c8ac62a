#include "helper/bridge.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "node/node_dirs.h"
#include "node/rank_cgroup.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <math.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONFIG_MAX = 1 << 20, CHUNK = 64 * 1024 };

static const double answer_within = 30; // seconds for the configuration to come, and for an agent to dial
static const char socket_name[] = "bridge", record_name[] = "bridge.json";

struct bridge {
	json_t *config;
	char *run_dir, *dir; // of the run on this machine, if this bridge chose it; of the node
	pid_t agent;
	int agent_fd; // a pidfd
	int listener, line;
	double silent; // seconds without a byte from the executor, INFINITY for any
	double heard;  // when the last one came
};

static void say(const char *word, const char *text)
{
	// The blank line before it ends what somebody said without ending the line.
	autofree char *line = mem_printf("\nmuster-bridge %s%s%s\n", word, text ? " " : "", text ? text : "");
	fs_write_fd(1, line, strlen(line), NULL);
}

static json_t *own_record(void)
{
	return mem_json("{s:i, s:I}", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()));
}

static json_t *read_record(const char *dir, const char *name)
{
	autofree char *path = fs_join(dir, name);
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	return text ? json_loads(text, 0, NULL) : NULL;
}

// --- what it is to do -----------------------------------------------------------

static json_t *read_config(struct error *err)
{
	autostr struct str line = {0};
	double end = clock_mono() + answer_within;
	while (!line.len || line.text[line.len - 1] != '\n') {
		struct pollfd wait = {.fd = 0, .events = POLLIN};
		char bytes[4096];
		int rc = poll(&wait, 1, 1000);
		ssize_t n = rc > 0 ? read(0, bytes, sizeof bytes) : rc;
		if (n < 0 && errno == EINTR)
			continue;
		if ((rc > 0 && n <= 0) || clock_mono() > end || line.len > CONFIG_MAX) {
			error_set(err, ERROR_USAGE,
				"expected the configuration of a node on standard input, one JSON object on one line");
			return NULL;
		}
		if (n > 0)
			str_add(&line, bytes, (size_t)n);
	}
	json_t *config = json_loads(line.text, JSON_REJECT_DUPLICATES, NULL);
	bool right = json_is_object(config) && json_is_string(json_object_get(config, "run")) &&
		     json_is_integer(json_object_get(config, "node"));
	if (right && json_is_true(json_object_get(config, "direct")) && !json_text(config, "url")) {
		json_decref(config);
		error_set(err, ERROR_USAGE, "the configuration has 'direct' and no 'url'");
		return NULL;
	}
	if (right)
		return config;
	json_decref(config);
	error_set(err, ERROR_USAGE, "the configuration is not a JSON object with 'run' and 'node'");
	return NULL;
}

// Where others reach this machine, as far as can be seen from here: where the executor reached it, else the first
// address that is no loopback.
static char *own_address(void)
{
	const char *ssh = getenv("SSH_CONNECTION"); // client, port, server, port
	char server[INET6_ADDRSTRLEN] = "";
	if (ssh && sscanf(ssh, "%*s %*s %45s", server) == 1)
		return mem_strdup(server);
	char text[INET_ADDRSTRLEN] = "127.0.0.1";
	struct ifaddrs *all = NULL;
	if (!getifaddrs(&all))
		for (struct ifaddrs *a = all; a; a = a->ifa_next) {
			if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || (a->ifa_flags & IFF_LOOPBACK))
				continue;
			inet_ntop(AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, text, sizeof text);
			break;
		}
	freeifaddrs(all);
	return mem_strdup(text);
}

static int make_node_dir(struct bridge *b, struct error *err)
{
	if (!json_text(b->config, "dir")) {
		autojson json_t *record =
			mem_json("{s:O, s:b}", "label", json_object_get(b->config, "run"), "remote", 1);
		if (!fs_is_inside(json_text(b->config, "run")) || strchr(json_text(b->config, "run"), '/'))
			return error_set(err, ERROR_USAGE, "'%s' is not a run id", json_text(b->config, "run"));
		b->run_dir = node_dirs_make(json_text(b->config, "run"), record, err);
		if (!b->run_dir)
			return -1;
		autofree char *dir = mem_printf(
			"%s/node-%d", b->run_dir, (int)json_integer_value(json_object_get(b->config, "node")));
		json_object_set_new(b->config, "dir", json_string(dir));
	}
	b->dir = mem_strdup(json_text(b->config, "dir"));
	if (fs_mkdirs(b->dir, 0700, err))
		return -1;
	return chdir(b->dir) ? error_errno(err, "cannot enter '%s'", b->dir) : 0;
}

static bool is_direct(const struct bridge *b)
{
	return json_is_true(json_object_get(b->config, "direct"));
}

// How long the executor's side may say nothing. The controller's connection runs through here and is tested at each
// heartbeat, of which two may fail.
static double silence_of(const json_t *config)
{
	double silent = json_number_value(json_object_get(config, "silent"));
	double heartbeats = 3 * json_number_value(json_object_get(config, "heartbeat"));
	return silent > 0 ? fmax(silent, heartbeats) : INFINITY;
}

static void complete_config(struct bridge *b)
{
	autofree char *address = own_address();
	if (!json_text(b->config, "address"))
		json_object_set_new(b->config, "address", json_string(address));
	if (!json_text(b->config, "name"))
		json_object_set(b->config, "name", json_object_get(b->config, "address"));
	autofree char *url = mem_printf("unix:%s", socket_name);
	if (!is_direct(b) && str_starts(json_text(b->config, "url") ? json_text(b->config, "url") : "wss:", "wss:"))
		json_object_set_new(b->config, "url", json_string(url));
}

// --- the socket -----------------------------------------------------------------

// The socket appears under its name when it can be dialled. A bridge before this one holds a line that nobody is at the
// other end of.
static int open_listener(struct bridge *b, struct error *err)
{
	autojson json_t *before = read_record(b->dir, record_name);
	autojson json_t *me = own_record();
	autofree char *text = json_dumps(me, JSON_COMPACT);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s.%d", socket_name, (int)getpid());
	unlink(a.sun_path);
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&a, sizeof a) || listen(b->listener, 8) ||
		rename(a.sun_path, socket_name))
		return error_errno(err, "cannot listen on '%s/%s'", b->dir, socket_name);
	if (fs_write(record_name, text, strlen(text), 0600, err))
		return -1;
	if (before && node_dirs_alive(before))
		kill((pid_t)json_integer_value(json_object_get(before, "pid")), SIGTERM);
	return 0;
}

// --- the agent --------------------------------------------------------------------

// What the agent says before it keeps to its log; nothing when it came so far.
static char *read_complaint(int fd)
{
	struct str text = {0};
	char bytes[1024];
	for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR);)
		if (n > 0 && text.len < sizeof bytes)
			str_add(&text, bytes, (size_t)n);
	char *all = str_steal(&text);
	all[strcspn(all, "\n")] = 0;
	return all;
}

static int start_agent(struct bridge *b, struct error *err)
{
	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC))
		return error_errno(err, "cannot make a pipe for the agent");
	autoclose int theirs = in[0], to = in[1];
	if (pipe2(out, O_CLOEXEC))
		return error_errno(err, "cannot make a pipe for the agent");
	autoclose int from = out[0], said = out[1];
	autofree char *program = proc_program();
	setenv("MUSTER_RUN", json_text(b->config, "run"), 1);
	char *argv[] = {program, NULL};
	struct proc_options options = {
		.argv = argv, .dir = b->dir, .in = theirs, .out = said, .err = said, .session = true};
	b->agent = proc_spawn(&options, &b->agent_fd, err);
	if (b->agent < 0)
		return -1;
	close(steal_fd(&theirs));
	close(steal_fd(&said));
	autofree char *text = json_dumps(b->config, JSON_COMPACT);
	autofree char *line = mem_printf("%s\n", text);
	fs_write_fd(to, line, strlen(line), NULL); // where it is dead already it has said why
	close(steal_fd(&to));
	autofree char *why = read_complaint(from);
	return *why ? error_set(err, ERROR_SYSTEM, "%s", why) : 0;
}

// Finds the agent that lives, or starts one.
static int have_agent(struct bridge *b, struct error *err)
{
	autojson json_t *process = read_record(b->dir, "agent.json");
	if (process && node_dirs_alive(process)) {
		b->agent = (pid_t)json_integer_value(json_object_get(process, "pid"));
		b->agent_fd = (int)syscall(SYS_pidfd_open, b->agent, 0);
		return b->agent_fd < 0 ? error_errno(err, "cannot watch the agent, process %d", (int)b->agent) : 0;
	}
	if (json_is_true(json_object_get(b->config, "again")))
		return error_set(err, ERROR_SYSTEM, "the agent has ended");
	if (process)
		rank_cgroup_remove(
			json_object_get(process, "cgroups"), NULL); // of one that was killed, with what is in them
	unlink("agent.json");
	complete_config(b);
	return start_agent(b, err);
}

// --- carrying -----------------------------------------------------------------------

// Bytes that were read and are yet to be written.
struct way {
	char bytes[CHUNK];
	size_t at, end;
	bool over; // nothing more comes
};

static bool later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

// False when nobody takes them any more.
static bool move(struct way *way, int from, int to)
{
	if (way->at == way->end && !way->over) {
		ssize_t n = read(from, way->bytes, sizeof way->bytes);
		way->over = n == 0 || (n < 0 && !later());
		way->at = 0;
		way->end = n > 0 ? (size_t)n : 0;
	}
	while (way->at < way->end) {
		ssize_t n = write(to, way->bytes + way->at, way->end - way->at);
		if (n < 0 && errno != EINTR)
			return later();
		way->at += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool done(const struct way *way)
{
	return way->over && way->at == way->end;
}

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

// Waits for the agent to dial, while the other side is there. -1: it will not.
static int accept_agent(const struct bridge *b)
{
	for (double end = clock_mono() + answer_within; clock_mono() < end;) {
		struct pollfd fds[] = {
			{.fd = b->listener, .events = POLLIN}, {.fd = 0}, {.fd = b->agent_fd, .events = POLLIN}};
		poll(fds, countof(fds), 1000);
		if (fds[0].revents)
			return accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fds[1].revents || fds[2].revents)
			return -1;
	}
	return -1;
}

// In ms, for poll(2), until the executor's side has been silent for too long; not more than an hour.
static int until_silent(const struct bridge *b)
{
	double left = b->heard + b->silent - clock_mono();
	return left <= 0 ? 0 : left < 3600 ? (int)(left * 1000) + 1 : 3600 * 1000;
}

static bool is_silent(const struct bridge *b)
{
	return clock_mono() - b->heard >= b->silent;
}

// True: the agent ended the line. What waits for the agent is not the executor's silence.
static bool carry(struct bridge *b)
{
	static struct way up, down;
	while (!is_silent(b)) {
		bool up_waits = up.at < up.end, down_waits = down.at < down.end;
		struct pollfd fds[] = {
			{.fd = down_waits ? -1 : 0, .events = POLLIN},
			{.fd = up_waits ? 1 : -1, .events = POLLOUT},
			{.fd = up_waits && !down_waits ? -1 : b->line,
				.events = (short)((up_waits ? 0 : POLLIN) | (down_waits ? POLLOUT : 0))},
		};
		poll(fds, countof(fds), until_silent(b));
		if (fds[0].fd < 0 || fds[0].revents)
			b->heard = clock_mono();
		if (!move(&up, b->line, 1) || !move(&down, 0, b->line) || done(&down))
			return false;
		if (done(&up))
			return true;
	}
	return false;
}

// The agent has closed its line: is that its end? It dials again within moments if not.
static bool agent_ended(const struct bridge *b)
{
	struct pollfd fds[] = {{.fd = b->agent_fd, .events = POLLIN}, {.fd = b->listener, .events = POLLIN}, {.fd = 0}};
	poll(fds, countof(fds), isinf(b->silent) ? -1 : until_silent(b));
	return fds[0].revents;
}

// --- the end ------------------------------------------------------------------------

// The run's directory goes with its last node.
static void remove_empty_run(const struct bridge *b)
{
	DIR *d = b->run_dir ? opendir(b->run_dir) : NULL;
	bool used = !d;
	for (struct dirent *e; d && (e = readdir(d));)
		used = used || str_starts(e->d_name, "node-");
	if (d)
		closedir(d);
	if (!used)
		node_dirs_remove(b->run_dir, NULL);
}

// What the agent itself would have removed tells whether it came to that.
static int farewell(const struct bridge *b)
{
	waitpid(b->agent, NULL, WNOHANG);
	if (fs_exists(b->dir))
		return node_dirs_is_kept(b->dir) ? BRIDGE_KEPT : BRIDGE_DEAD;
	remove_empty_run(b);
	return BRIDGE_CLEAN;
}

// There is no agent and will be none: what was made for it goes, but not what an agent of before has left.
static int give_up(const struct bridge *b, const struct error *err)
{
	say("gone", err->text);
	if (b->dir && !fs_exists("agent.json"))
		fs_remove(b->dir, NULL);
	if (!b->dir || fs_exists(b->dir))
		return BRIDGE_DEAD;
	remove_empty_run(b);
	return BRIDGE_CLEAN;
}

static int serve(struct bridge *b)
{
	say("ready", NULL);
	if (is_direct(b))
		return BRIDGE_CLEAN;
	b->line = accept_agent(b);
	if (b->line < 0)
		return proc_started(b->agent) ? BRIDGE_BROKEN : farewell(b);
	set_nonblocking(0);
	set_nonblocking(1);
	b->heard = clock_mono();
	bool theirs = carry(b);
	close(steal_fd(&b->line));
	return theirs && agent_ended(b) ? farewell(b) : BRIDGE_BROKEN;
}

int bridge_main(void)
{
	struct error err = {0};
	struct bridge b = {.agent_fd = -1, .listener = -1, .line = -1};
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	say("config", NULL);
	b.config = read_config(&err);
	b.silent = silence_of(b.config);
	int status = !b.config || make_node_dir(&b, &err) || (!is_direct(&b) && open_listener(&b, &err)) ||
				     have_agent(&b, &err)
			     ? give_up(&b, &err)
			     : serve(&b);
	mem_cleanup_fd(&b.agent_fd);
	mem_cleanup_fd(&b.listener);
	json_decref(b.config);
	free(b.run_dir);
	free(b.dir);
	return status;
}
