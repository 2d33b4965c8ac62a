#include "agent/agent.h"

#include "agent/container.h"
#include "agent/exec_session.h"
#include "agent/input_client.h"
#include "agent/local_ranks.h"
#include "agent/mpi.h"
#include "agent/node.h"
#include "agent/outputs.h"
#include "agent/prepare_node.h"
#include "agent/rendezvous.h"
#include "agent/setup.h"
#include "agent/termination.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "job/plan.h"
#include "node/node_address.h"
#include "node/rank_cgroup.h"
#include "wire/event.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const double sample_every = 1;
static const double patience = 5; // seconds for what was killed to be gone
static const int unblocks = 8;    // seconds for what waits for a server after that
enum { CONFIG_MAX = 1 << 20 };

struct agent {
	struct node node;
	struct exec_session *exec_sessions;
	struct termination *termination;
	bool leaving, collected;
	int executor;        // the standard error it gave us, until we have started
	json_t *next_launch; // waits until the ranks of the attempt before have ended
	int status;
};

// --- what the node says of itself -----------------------------------------------

static json_t *facts_of(const struct node *node)
{
	struct utsname u;
	struct sysinfo s;
	struct statvfs disk = {0};
	uname(&u);
	sysinfo(&s);
	statvfs(node->dir, &disk);
	return mem_json("{s:s, s:i, s:I, s:I, s:s, s:s, s:i, s:I}", "hostname", u.nodename, "cores",
		(int)sysconf(_SC_NPROCESSORS_ONLN), "memory", (json_int_t)s.totalram * s.mem_unit, "disk",
		(json_int_t)disk.f_bavail * (json_int_t)disk.f_frsize, "kernel", u.release, "version", MUSTER_VERSION,
		"pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()));
}

static json_t *hello(void *data)
{
	struct agent *a = data;
	struct node *node = &a->node;
	const json_t *others = json_array_size(node->offered) > 1 ? node->offered : NULL;
	return mem_json("{s:s, s:s, s:i, s:O, s:s, s:s, s:i, s:s, s:o, s:i, s:b, s:s, s:s*, s:s*, s:O*}", "msg",
		"hello", "run", node->run, "node", (int)node->id, "token", json_object_get(node->config, "token"),
		"address", node->address, "name", node->name, "port", node->port, "machine", node->machine, "facts",
		facts_of(node), "attempt", (int)node->attempt, "leaving", a->leaving, "dir", node->dir, "cgroups",
		node->cgroups, "hosts", json_text(node->config, "hosts"), "addresses", others);
}

// --- leaving ----------------------------------------------------------------------

// What a process of the job started and left to itself came to us: nothing stays. False: killed, but not gone yet.
static bool kill_descendants(void)
{
	pid_t *pids;
	for (int round = 0; round < 10; round++) {
		// Orphans below us become our children, so nobody is left once we have none; a look at all processes
		// costs much more.
		pid_t gone;
		while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
			;
		if (gone < 0 && errno == ECHILD)
			return true;
		size_t n = proc_tree(getpid(), &pids);
		for (size_t i = 0; i < n; i++)
			if (pids[i] != getpid())
				kill(pids[i], SIGKILL);
		free(pids);
	}
	return false;
}

static bool wait_descendants(double seconds)
{
	bool gone;
	for (double end = clock_mono() + seconds; !(gone = kill_descendants()) && clock_mono() < end;)
		poll(NULL, 0, 20);
	return gone;
}

// What waits for the server of a mount cannot be killed until its requests are given up, which may make it send others.
static void end_descendants(const struct node *node)
{
	bool gone = wait_descendants(patience);
	for (int i = 0; !gone && i < unblocks && setup_unblock(node); i++)
		gone = wait_descendants(1);
}

static void end(struct agent *a, int status)
{
	struct node *node = &a->node;
	a->status = status;
	a->leaving = true;
	prepare_node_stop(node);
	outputs_stop(node);
	local_ranks_free(node);
	exec_session_free(steal(a->exec_sessions));
	loop_stop(node->loop);
}

static void check_left(struct agent *a)
{
	if (a->collected && uplink_is_drained(a->node.up))
		end(a, 0);
}

// The last word: how long each stream of output is, so that the controller knows when it has everything.
static void say_left(struct node *node, const json_t *unmatched)
{
	json_t *streams = json_object();
	size_t n = plan_ranks(node->plan);
	for (size_t i = 0; i < n; i++) {
		autofree char *name = mem_printf("%zu", UPLINK_RANKS + i);
		json_object_set_new(
			streams, name, json_integer((json_int_t)uplink_end(node->up, (uint32_t)(UPLINK_RANKS + i))));
	}
	node_phase(node, NULL);
	node_event(node, event_make("left", "s:o, s:O", "streams", streams, "unmatched", unmatched));
}

static void on_outputs_announced(struct node *node, const json_t *unmatched)
{
	struct agent *a = (struct agent *)node;
	say_left(node, unmatched);
	a->collected = true;
	check_left(a);
}

static void on_container_gone(struct node *node)
{
	kill_descendants();
	if (!node->plan || node->preflight_only) {
		on_outputs_announced(node, NULL);
		return;
	}
	node_phase(node, "collect");
	outputs_bring(node, on_outputs_announced);
}

static void on_team_ended(struct node *node)
{
	container_stop(node, on_container_gone);
}

// It has to go while outputs are still on their way.
static void keep_undelivered(struct agent *a)
{
	if (a->node.outputs && (!a->collected || !uplink_is_drained(a->node.up)))
		outputs_keep(&a->node);
}

static void leave(struct agent *a, const json_t *msg)
{
	if (json_is_true(json_object_get(msg, "now"))) {
		if (json_is_true(json_object_get(msg, "keep")))
			keep_undelivered(a);
		end(a, 0);
		return;
	}
	if (a->leaving)
		return;
	a->leaving = true;
	prepare_node_stop(&a->node);
	node_fence_drop(&a->node);
	exec_session_free(steal(a->exec_sessions));
	const char *why = json_string_value(json_object_get(msg, "why"));
	local_ranks_stop(&a->node, json_number_value(json_object_get(msg, "grace")), why ? why : "", on_team_ended);
}

// --- told to stop by somebody else ----------------------------------------------------

// Said before anything ends: what ends from now on ends because of this.
static void on_told_to_stop(void *data)
{
	struct agent *a = data;
	if (!a->leaving)
		node_event(&a->node, event_make("terminated", "s:s", "signal", "TERM"));
}

// The controller will say bye, but may be out of reach: whoever sent the signal does not wait for long.
static void on_alone(void *data)
{
	struct agent *a = data;
	double grace = a->node.plan ? plan_grace(a->node.plan) : 0;
	autojson json_t *bye = mem_json("{s:f, s:s}", "grace", grace, "why", "told to stop");
	leave(a, bye);
}

// --- launching ----------------------------------------------------------------------

static void on_sample_time(void *data)
{
	struct node *node = data;
	local_ranks_sample(node);
	loop_timer_set(node->sampler, sample_every);
}

static void on_settled(struct node *node)
{
	node_phase(node, "run");
	local_ranks_start(node);
	local_ranks_sample(node); // what the next one is compared with
	loop_timer_set(node->sampler, sample_every);
}

static void on_ready(struct node *node)
{
	prepare_node_stop(node);
	if (node->preflight_only) {
		node_phase(node, NULL);
		node_event(node, event_make("checked", "s:i", "attempt", (int)node->attempt));
		return;
	}
	mpi_settle(node, on_settled);
}

static void begin_launch(struct agent *a, const json_t *msg)
{
	struct node *node = &a->node;
	node_phase(node, NULL); // of the attempt before
	json_decref(node->plan);
	free(node->nonce);
	node->plan = json_incref(json_object_get(msg, "plan"));
	node->nonce = mem_strdup(json_string_value(json_object_get(msg, "nonce")));
	node->attempt = (size_t)json_integer_value(json_object_get(msg, "attempt"));
	node->preflight_only = json_is_true(json_object_get(msg, "preflight_only"));
	node->failed = false;
	prepare_node_stop(node);
	node_fence_drop(node);
	prepare_node_start(node, on_ready);
}

static void on_relaunch_container(struct node *node)
{
	struct agent *a = (struct agent *)node;
	kill_descendants();
	autojson json_t *msg = steal(a->next_launch);
	begin_launch(a, msg);
}

static void on_relaunch(struct node *node)
{
	container_stop(node, on_relaunch_container);
}

static void launch(struct agent *a, json_t *msg)
{
	size_t attempt = (size_t)json_integer_value(json_object_get(msg, "attempt"));
	if (a->leaving || attempt <= a->node.attempt)
		return;
	if (a->next_launch) { // the ranks before are still ending
		if (attempt > (size_t)json_integer_value(json_object_get(a->next_launch, "attempt")))
			json_object_update(a->next_launch, msg);
		return;
	}
	if (a->node.attempt == 0) {
		begin_launch(a, msg);
		return;
	}
	const char *why = json_string_value(json_object_get(msg, "why"));
	a->next_launch = json_incref(msg);
	prepare_node_stop(&a->node);
	local_ranks_stop(&a->node, plan_grace(a->node.plan), why ? why : "", on_relaunch);
}

// --- messages ---------------------------------------------------------------------

// The line is new. Commands of `muster exec` ended with the old one, for those who typed them.
static void on_welcome(struct agent *a)
{
	if (a->exec_sessions) {
		exec_session_free(a->exec_sessions);
		a->exec_sessions = exec_session_new(&a->node);
	}
	node_fence_again(&a->node);
	if (a->node.input_client)
		input_client_again(a->node.input_client);
}

static void on_message(json_t *msg, void *data)
{
	struct agent *a = data;
	struct node *node = &a->node;
	const char *kind = json_string_value(json_object_get(msg, "msg"));
	if (!kind)
		return;
	if (strcmp(kind, "ack") == 0) {
		if (json_object_get(msg, "welcome"))
			on_welcome(a);
		outputs_on_ack(node);
		check_left(a);
	} else if (strcmp(kind, "peers") == 0)
		rendezvous_set_peers(node, json_object_get(msg, "peers"));
	else if (strcmp(kind, "launch") == 0)
		launch(a, msg);
	else if (strcmp(kind, "fence") == 0)
		node_fence_answer(node, msg);
	else if (strcmp(kind, "input") == 0 && node->input_client)
		input_client_message(node->input_client, msg);
	else if (strcmp(kind, "bye") == 0)
		leave(a, msg);
	else if (strcmp(kind, "keep") == 0)
		outputs_keep(node);
	else if (strcmp(kind, "refused") == 0) {
		autofree char *why =
			mem_printf("refused by the controller: %s", json_string_value(json_object_get(msg, "why")));
		fprintf(stderr, "%s\n", why);
		end(a, 3);
	} else if (strcmp(kind, "exec") == 0 && a->exec_sessions)
		exec_session_message(a->exec_sessions, msg);
}

static void on_bytes(uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data)
{
	struct agent *a = data;
	if (!(stream & UPLINK_EXEC)) {
		if (a->node.input_client)
			input_client_bytes(a->node.input_client, stream, offset, bytes, len);
	} else if (a->exec_sessions)
		exec_session_bytes(a->exec_sessions, stream, bytes, len);
}

static void on_room(void *data)
{
	struct agent *a = data;
	local_ranks_room(&a->node);
}

static void on_lease_over(const char *why, void *data)
{
	struct agent *a = data;
	fprintf(stderr, "the lease expired: %s\n", why);
	keep_undelivered(a);
	end(a, 3);
}

static void on_unreadable(uint32_t stream, const char *name, const char *why, void *data)
{
	struct agent *a = data;
	outputs_on_unreadable(&a->node, stream, name, why);
}

static const struct uplink_ops uplink_ops = {hello, on_message, on_bytes, on_room, on_unreadable, on_lease_over};

// --- one node -----------------------------------------------------------------------

static int check_config(const json_t *config, struct error *err)
{
	static const char *const texts[] = {"run", "token", "url", "fingerprint", "address", "name", "dir"};
	for (size_t i = 0; i < countof(texts); i++)
		if (!json_text(config, texts[i]))
			return error_set(err, ERROR_USAGE, "the configuration has no '%s'", texts[i]);
	if (!json_is_integer(json_object_get(config, "node")))
		return error_set(err, ERROR_USAGE, "the configuration has no 'node'");
	return 0;
}

// Who may be reached at one address only listens at that one.
static int open_listener(struct node *node, struct error *err)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof a;
	node->offered = node_address_offer(node->address);
	if (json_array_size(node->offered) == 1 && inet_pton(AF_INET, node->address, &a.sin_addr) == 1) {
		node->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (node->listener < 0 || bind(node->listener, (struct sockaddr *)&a, sizeof a) < 0 ||
			getsockname(node->listener, (struct sockaddr *)&a, &len) < 0)
			return error_errno(err, "cannot listen on %s", node->address);
		node->port = ntohs(a.sin_port);
	} else {
		node->listener = node_address_bind(true, &node->port, err);
		if (node->listener < 0)
			return -1;
	}
	if (listen(node->listener, SOMAXCONN) < 0 || fcntl(node->listener, F_SETFL, O_NONBLOCK) < 0)
		return error_errno(err, "cannot listen on %s", node->address);
	return 0;
}

static int make_dirs(struct node *node, struct error *err)
{
	node->data_dir = fs_join(node->dir, "data");
	node->out_dir = fs_join(node->dir, "out");
	// Not its parents: where they are gone the executor has taken the run down already, and this agent comes too
	// late.
	if (mkdir(node->dir, 0700) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make directory '%s'", node->dir);
	if (fs_mkdirs(node->data_dir, 0755, err) < 0 || fs_mkdirs(node->out_dir, 0755, err) < 0)
		return -1;
	autofree char *path = fs_join(node->dir, "agent.json");
	autojson json_t *me = mem_json("{s:i, s:I, s:O}", "pid", (int)getpid(), "started",
		(json_int_t)proc_started(getpid()), "cgroups", node->own_groups);
	autofree char *text = json_dumps(me, JSON_COMPACT);
	return fs_write(path, text, strlen(text), 0600, err);
}

static int make_groups(struct node *node, struct error *err)
{
	const json_t *limits = json_object_get(node->config, "limits");
	if (!limits)
		return 0;
	node->own_procs = rank_cgroup_make(limits, node->run, node->id, err);
	node->cgroups = node->own_procs;
	return node->own_procs ? 0 : -1;
}

// The path of a unix socket may have 107 characters, that of the node's directory many more: the socket is named as
// seen from there.
static int enter(const struct node *node, struct error *err)
{
	if (str_starts(json_string_value(json_object_get(node->config, "url")), "unix:") && chdir(node->dir) < 0)
		return error_errno(err, "cannot enter '%s'", node->dir);
	return 0;
}

// The agent speaks to nobody but its log from here on.
static int open_log(struct node *node, struct error *err)
{
	autofree char *path = fs_join(node->dir, "agent.log");
	autoclose int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (log < 0)
		return error_errno(err, "cannot create '%s'", path);
	if (null >= 0)
		dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	return 0;
}

// The claims of the other nodes came with ours: an address must not stay taken because of us.
static void keep_only(int fd)
{
	if (fd < 0) {
		syscall(SYS_close_range, 3U, ~0U, 0);
		return;
	}
	if (fd > 3)
		syscall(SYS_close_range, 3U, (unsigned)fd - 1, 0);
	syscall(SYS_close_range, (unsigned)fd + 1, ~0U, 0);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int init_node(struct agent *a, json_t *config, struct error *err)
{
	struct node *node = &a->node;
	node->config = config;
	node->run = json_text(config, "run");
	node->dir = json_text(config, "dir");
	node->address = json_text(config, "address");
	node->name = json_text(config, "name");
	node->cgroups = json_text(config, "cgroups");
	node->limited = json_text(config, "limited");
	node->shared = json_text(config, "shared");
	node->same_files = json_is_true(json_object_get(config, "same_files"));
	node->id = (size_t)json_integer_value(json_object_get(config, "node"));
	node->count = (size_t)json_integer_value(json_object_get(config, "nodes"));
	const json_t *claim = json_object_get(config, "claim");
	node->claim = json_is_integer(claim) ? (int)json_integer_value(claim) : -1;
	keep_only(node->claim);
	a->executor = fcntl(2, F_DUPFD_CLOEXEC, 3);
	node->machine = proc_machine();
	node->own_groups = rank_cgroup_where(json_object_get(config, "limits"), node->run, err);
	if (!node->own_groups || make_dirs(node, err) < 0 || make_groups(node, err) < 0 || enter(node, err) < 0 ||
		open_log(node, err) < 0 || open_listener(node, err) < 0)
		return -1;
	autofree char *id = mem_printf("%zu", node->id);
	setenv("MUSTER_RUN", node->run, 1);
	setenv("MUSTER_NODE", id, 1);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	node->loop = loop_new(4096, err);
	if (!node->loop)
		return -1;
	node->sampler = loop_timer_new(node->loop, on_sample_time, node);
	a->exec_sessions = exec_session_new(node);
	struct uplink_options options = {.url = json_text(config, "url"),
		.fingerprint = json_text(config, "fingerprint"),
		.dir = node->dir,
		.lease = json_number_value(json_object_get(config, "lease")),
		.heartbeat = (unsigned)ceil(json_number_value(json_object_get(config, "heartbeat"))),
		.ops = &uplink_ops,
		.data = a};
	node->up = uplink_new(node->loop, &options, err);
	if (!node->up)
		return -1;
	a->termination = termination_watch(node->loop, on_told_to_stop, on_alone, a, err);
	if (!a->termination)
		return -1;
	close(steal_fd(&a->executor));
	return 0;
}

static void fini_node(struct agent *a)
{
	struct node *node = &a->node;
	struct error err;
	setup_free(node);
	container_free(node);
	end_descendants(node);
	// Before the line ends: who sees that removes what is left.
	bool undone = rank_cgroup_remove(node->own_groups, &err) == 0 && (!node->dir || setup_undo(node, &err) == 0);
	undone = undone && (!node->keeps_outputs || outputs_clear_dir(node, &err) == 0);
	if (node->up)
		uplink_stop(node->up);
	if (node->loop) {
		termination_free(a->termination);
		loop_timer_free(node->sampler);
		loop_free(node->loop);
	}
	uplink_free(node->up);
	outputs_free(node);
	node_fence_drop(node);
	if (node->dir && !undone)
		fprintf(stderr, "%s\n", err.text); // the directory stays for who tries again
	else if (node->dir && !node->keeps_outputs)
		fs_remove(node->dir, NULL);
	json_decref(node->plan);
	json_decref(node->peers);
	json_decref(node->offered);
	json_decref(node->moved);
	json_decref(node->ports);
	json_decref(a->next_launch);
	free(node->machines);
	free(node->mpirun);
	free(node->mpi_nets);
	free(node->nonce);
	free(node->machine);
	free(node->own_procs);
	json_decref(node->own_groups);
	free(node->data_dir);
	free(node->out_dir);
	mem_cleanup_fd(&node->listener);
	mem_cleanup_fd(&a->executor);
	json_decref(node->config);
}

static int run_node(json_t *config)
{
	struct error err = {0};
	struct agent a = {.node = {.listener = -1, .claim = -1}, .executor = -1};
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	termination_block();
	if (init_node(&a, config, &err) == 0)
		loop_run(a.node.loop);
	else {
		dprintf(a.executor, "muster-agent: node %zu: %s\n", a.node.id,
			err.text); // our own log goes with our directory
		a.status = err.code;
	}
	fini_node(&a);
	return a.status;
}

// --- the process --------------------------------------------------------------------

static json_t *read_config(struct error *err)
{
	static char line[CONFIG_MAX];
	if (!fgets(line, sizeof line, stdin))
		return NULL;
	json_error_t why;
	json_t *config = json_loads(line, 0, &why);
	if (!json_is_object(config)) {
		error_set(err, ERROR_USAGE, "a line of the configuration is no JSON object: %s", why.text);
		json_decref(config);
		return NULL;
	}
	if (check_config(config, err) < 0) {
		json_decref(config);
		return NULL;
	}
	return config;
}

// Several nodes are siblings, never parent and child: a node that leaves ends all its descendants.
int agent_main(void)
{
	struct error err = {0};
	proc_raise_files();
	json_t *config = read_config(&err);
	bool alone = true;
	while (config) {
		json_t *next = read_config(&err);
		if (alone && next)
			crypto_warm();
		alone = alone && !next;
		pid_t pid = alone ? 0 : fork();
		if (pid == 0) {
			json_decref(next);
			setsid();
			return run_node(config);
		}
		if (pid < 0)
			error_errno(&err, "cannot start a process");
		json_decref(config);
		config = next;
	}
	if (!alone && !err.code)
		return 0;
	fprintf(stderr, "muster-agent: %s\n",
		err.code ? err.text : "expected its configuration on standard input, one JSON object a line");
	return err.code ? err.code : ERROR_USAGE;
}
