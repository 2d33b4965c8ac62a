#include "base/cgroup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "docker/rank_container.h"
#include "exec/executor.h"
#include "exec/require_machines.h"
#include "job/plan.h"
#include "node/loopback.h"
#include "node/node_dirs.h"
#include "node/run_cgroup.h"
#include "node/run_leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANSWER_SECONDS = 60 }; // for the agent to read its configuration, when the plan has no deadline

// --- what is asked for ------------------------------------------------------

static struct cgroup_limits node_limits(const json_t *plan, size_t k)
{
	struct plan_node node = plan_node(plan, k);
	return (struct cgroup_limits){.cpus = node.cpus, .memory = node.memory};
}

// What any node asks for: enough to know which hierarchies are needed.
static struct cgroup_limits all_limits(const json_t *plan)
{
	struct cgroup_limits all = {0};
	for (size_t i = 0; i < plan_nodes(plan); i++) {
		struct cgroup_limits one = node_limits(plan, i);
		// The smallest number of cpus, because that is what can be too small.
		if (one.cpus > 0 && (all.cpus <= 0 || one.cpus < all.cpus))
			all.cpus = one.cpus;
		if (one.memory > all.memory)
			all.memory = one.memory;
	}
	return all;
}

static bool any_limit(const struct cgroup_limits *limits)
{
	return limits->cpus > 0 || limits->memory > 0;
}

static int check_limits(const json_t *plan, struct error *err)
{
	struct cgroup_limits limits = all_limits(plan);
	if (!any_limit(&limits))
		return 0;
	struct cgroup_place places[CGROUP_COUNT];
	cgroup_survey(places);
	int rc = cgroup_check(places, &limits, err);
	cgroup_forget(places);
	return rc;
}

static int local_check(const json_t *plan, struct error *err)
{
	if (require_machines(plan, &executor_traits_local, err))
		return -1;
	size_t nodes = plan_nodes(plan);
	if (nodes > LOOPBACK_COUNT)
		return error_set(err, ERROR_USAGE, "%zu nodes are more than this machine has loopback addresses (%d)",
			nodes, LOOPBACK_COUNT);
	if (executor_check_files(plan, 1, err))
		return -1;
	autofree char *agent = node_dirs_agent();
	if (access(agent, X_OK))
		return error_errno(err, "cannot run the agent '%s'", agent);
	if (node_dirs_check(err))
		return -1;
	return check_limits(plan, err);
}

// --- up ---------------------------------------------------------------------

// What up has in hand while it works.
struct work {
	struct cluster *cluster;
	json_t *record; // run.json
	char *dir;
	char *shared; // what all nodes see: one copy of an input that is wanted once
	struct cgroup_place places[CGROUP_COUNT];
	char *group; // name of the run's control group
	int *claims; // one for each node to be started, ended by -1
	size_t count;
	uint32_t address;
	struct str config;
};

static void work_fini(struct work *w)
{
	for (size_t i = 0; i < w->count; i++)
		close(w->claims[i]);
	free(w->claims);
	free(w->group);
	free(w->dir);
	free(w->shared);
	json_decref(w->record);
	cgroup_forget(w->places);
	str_fini(&w->config);
}

static json_t *process_record(pid_t pid)
{
	return mem_json("{s:i, s:I}", "pid", (int)pid, "started", (json_int_t)proc_started(pid));
}

// Before anything else is made, the directory exists and says what will be.
static int prepare(struct work *w, struct error *err)
{
	struct cluster *c = w->cluster;
	struct cgroup_limits limits = all_limits(c->plan);
	autojson json_t *groups = json_array();
	if (any_limit(&limits)) {
		cgroup_survey(w->places);
		if (cgroup_check(w->places, &limits, err))
			return -1;
		w->group = run_cgroup_name(c->label);
		json_decref(groups);
		groups = cgroup_where(w->places, &limits, w->group);
	}
	autofree char *run_dir = c->run_dir ? str_utf8_clean(c->run_dir, strlen(c->run_dir)) : NULL;
	w->record = mem_json("{s:s, s:s?, s:o, s:O}", "label", c->label, "run_dir", run_dir, "controller",
		process_record(getpid()), "cgroups", groups);
	w->dir = node_dirs_make(c->label, w->record, err);
	if (!w->dir)
		return -1;
	w->shared = fs_join(w->dir, "shared");
	return fs_mkdirs(w->shared, 0755, err);
}

// Is the agent of this node there already?
static bool node_lives(const char *dir)
{
	autofree char *path = fs_join(dir, "agent.json");
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	autojson json_t *process = text ? json_loads(text, 0, NULL) : NULL;
	if (process && node_dirs_alive(process))
		return true;
	unlink(path);
	return false;
}

static int add_node(struct work *w, size_t k, struct error *err)
{
	struct cluster *c = w->cluster;
	autofree char *name = mem_printf("node-%zu", k);
	autofree char *dir = fs_join(w->dir, name);
	if (node_lives(dir))
		return 0;
	char address[16];
	int claim = loopback_claim(&w->address, address, err);
	if (claim < 0)
		return -1;
	w->claims[w->count++] = claim;
	struct cgroup_limits limits = node_limits(c->plan, k);
	autofree char *procs = NULL;
	autofree char *group = w->group && any_limit(&limits) ? fs_join(w->group, name) : NULL;
	if (group && cgroup_make(w->places, &limits, group, &procs, err))
		return -1;
	autofree char *token = c->token(c, k);
	autojson json_t *line = mem_json("{s:s, s:i, s:i, s:s?, s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:b, s:s*}", "run",
		c->label, "node", (int)k, "nodes", (int)plan_nodes(c->plan), "token", token, "url", c->url,
		"fingerprint", c->fingerprint, "address", address, "name", address, "dir", dir, "claim",
		3 + (int)w->count - 1, "shared", w->shared, "same_files", 1, "cgroups", procs);
	plan_add_lease(c->plan, line);
	autofree char *text = json_dumps(line, JSON_COMPACT);
	str_printf(&w->config, "%s\n", text);
	return 0;
}

// The caller's environment with this run's name in it.
static char **agent_env(char *run)
{
	size_t count = 0, to = 0;
	while (environ[count])
		count++;
	char **env = mem_alloc((count + 2) * sizeof *env);
	for (size_t i = 0; i < count; i++)
		if (!str_starts(environ[i], "MUSTER_RUN=") && !str_starts(environ[i], "MUSTER_NODE="))
			env[to++] = environ[i];
	env[to] = run;
	return env;
}

// What the agent wrote before it could tell the controller anything. Owned by the caller.
static char *last_words(const char *dir)
{
	autofree char *path = fs_join(dir, "agent.txt");
	char *text = fs_read(path, 65536, NULL, NULL);
	if (text)
		text[strcspn(text, "\n")] = 0;
	return text && *text ? text : (free(text), mem_strdup("it printed nothing"));
}

static int agent_died(const struct work *w, struct error *err)
{
	autofree char *words = last_words(w->dir);
	return error_set(err, ERROR_SYSTEM, "the agent ended before reading its configuration: %s", words);
}

// Has the agent read all that was sent? 1 yes, 0 not yet, -1 it never will.
static int has_read(int fd)
{
	int unread = 0, why = 0;
	socklen_t size = sizeof why;
	ioctl(fd, SIOCOUTQ, &unread);
	// A dying reader's queue is emptied after the error is set, so the error is asked for last.
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size) || why)
		return -1;
	return !unread;
}

// Waits a little for fd; an error once up should give up.
static int wait_for_agent(const struct work *w, int fd, short events, double end, struct error *err)
{
	if (w->cluster->cancelled && *w->cluster->cancelled)
		return error_set(err, ERROR_CANCELLED, "cancelled while the agents were started");
	if (clock_mono() > end)
		return error_set(err, ERROR_SYSTEM, "the agent did not read its configuration in time");
	struct pollfd wait = {.fd = fd, .events = events};
	poll(&wait, 1, events ? 100 : 1);
	return 0;
}

// Hands the configuration over and sees it read: an agent that dies before that is noticed here, where its last words
// are at hand. A socket and no pipe, because writing to a dead reader must be an error here and no signal, and because
// it tells how much was read.
static int tell(struct work *w, int fd, struct error *err)
{
	double deadline = plan_deadline(w->cluster->plan);
	double end = clock_mono() + (deadline > 0 ? deadline : ANSWER_SECONDS);
	for (size_t at = 0; at < w->config.len;) {
		ssize_t n = send(fd, w->config.text + at, w->config.len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return agent_died(w, err);
		else if (wait_for_agent(w, fd, POLLOUT, end, err))
			return -1;
	}
	shutdown(fd, SHUT_WR);
	for (;;) {
		int rc = has_read(fd);
		if (rc)
			return rc < 0 ? agent_died(w, err) : 0;
		if (wait_for_agent(w, fd, 0, end, err))
			return -1;
	}
}

static int start_agent(struct work *w, struct error *err)
{
	autofree char *agent = node_dirs_agent();
	autofree char *log = fs_join(w->dir, "agent.txt");
	autofree char *run = mem_printf("MUSTER_RUN=%s", w->cluster->label);
	autofree char **env = agent_env(run);
	autoclose int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (out < 0)
		return error_errno(err, "cannot open '%s'", log);
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_errno(err, "cannot make a socket pair for the agent");
	autoclose int theirs = ends[0], ours = ends[1];
	char *argv[] = {agent, NULL};
	struct proc_options options = {.argv = argv,
		.env = env,
		.dir = w->dir,
		.in = theirs,
		.out = out,
		.err = out,
		.keep = w->claims,
		.session = true};
	pid_t pid = proc_spawn(&options, NULL, err);
	if (pid < 0)
		return -1;
	json_object_set_new(w->record, "agent", process_record(pid));
	if (node_dirs_save(w->dir, w->record, err))
		return -1;
	close(steal_fd(&theirs));
	return tell(w, ours, err);
}

static int local_up(struct cluster *c, struct error *err)
{
	if (local_check(c->plan, err))
		return -1;
	struct work w = {.cluster = c};
	size_t nodes = plan_nodes(c->plan);
	w.claims = mem_alloc((nodes + 1) * sizeof *w.claims);
	int rc = prepare(&w, err);
	for (size_t k = 0; !rc && k < nodes; k++)
		rc = c->cancelled && *c->cancelled
			     ? error_set(err, ERROR_CANCELLED, "cancelled before the agents were started")
			     : add_node(&w, k, err);
	w.claims[w.count] = -1;
	if (!rc && w.count)
		rc = start_agent(&w, err);
	work_fini(&w);
	return rc;
}

// --- down and left ----------------------------------------------------------

// Did its ranks run in containers? Where nobody knows, the engine is asked by the docker executor, or on a host by
// muster-agent itself.
static bool has_boxes(const struct cluster *c)
{
	return plan_has_container(c->plan);
}

static int local_down(struct cluster *c, struct error *err)
{
	int rc = has_boxes(c) ? rank_container_reap(c->label, err) : 0;
	struct error *why = rc ? NULL : err;
	rc |= c->plan ? run_leftovers_remove_but_kept(c->label, why) : run_leftovers_remove(c->label, why);
	return rc ? -1 : 0;
}

static int local_left(struct cluster *c, json_t *found, struct error *err)
{
	run_leftovers_list(c->label, found);
	return has_boxes(c) ? rank_container_list(c->label, found, err) : 0;
}

const struct executor executor_local = {
	.traits = &executor_traits_local,
	.check = local_check,
	.address = executor_loopback,
	.up = local_up,
	.down = local_down,
	.left = local_left,
};
