#include "agent/local_ranks.h"

#include "agent/container.h"
#include "agent/mpi.h"
#include "agent/mpirun.h"
#include "agent/setup.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "job/plan.h"
#include "node/oom_kills.h"
#include "node/sampler.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PMI_READS = 64 }; // of one rank in one turn
static const double patience =
	20; // seconds for killed ranks to be gone: they may still have to write back what they wrote
static const double look_again = 1; // seconds after that until requests are given up once more

// One of the ranks.
struct member {
	struct node *node;
	struct rank *rank;
	pid_t inside;         // its process in the node's container, once it was seen
	size_t local, number; // on this node, in the run
	double started;
	struct loop_watch *pmi;
	bool spoke; // PMI
	bool running;
};

struct local_ranks {
	struct member *members;
	size_t count, running;
	struct pmi *pmi;
	struct mpirun *mpirun; // Open MPI's, where it serves
	size_t fences;         // of PMI so far
	struct output_parser *scan;
	struct sampler *sampler;
	struct loop_timer *grace;
	bool killed;     // the grace is over
	const char *why; // they were told to stop
	struct oom_kills oom_kills;
	long oom_warned; // so many of them were warned of
	void (*on_end)(struct node *node);
};

// --- output and metrics -------------------------------------------------------

static void say_metric(size_t local, json_t *event, void *data)
{
	struct node *node = data;
	json_object_set_new(event, "rank", json_integer((json_int_t)node->local_ranks->members[local].number));
	node_event(node, event);
}

static bool on_output(const void *bytes, size_t len, void *data)
{
	struct member *m = data;
	output_parser_output(m->node->local_ranks->scan, m->local, bytes, len);
	bool room = uplink_add(m->node->up, (uint32_t)(UPLINK_RANKS + m->local), bytes, len);
	return room && !uplink_full(m->node->up, UPLINK_EVENTS); // metrics are events
}

static bool on_metric(const char *line, size_t len, void *data)
{
	struct member *m = data;
	output_parser_json_line(m->node->local_ranks->scan, m->local, line, len);
	return !uplink_full(m->node->up, UPLINK_EVENTS);
}

void local_ranks_room(struct node *node)
{
	for (size_t i = 0; node->local_ranks && i < node->local_ranks->count; i++) {
		struct member *m = &node->local_ranks->members[i];
		if (m->running && !uplink_full(node->up, (uint32_t)(UPLINK_RANKS + m->local)) &&
			!uplink_full(node->up, UPLINK_EVENTS))
			rank_resume(m->rank);
	}
}

// --- PMI ----------------------------------------------------------------------

static void pmi_reply(size_t local, const char *lines, size_t len, void *data)
{
	struct node *node = data;
	struct member *m = &node->local_ranks->members[local];
	if (m->pmi && write(loop_watch_fd(m->pmi), lines, len) != (ssize_t)len && m->running)
		node_fail(node, (long)m->number, "it does not read the answers to its PMI requests");
}

static void on_pmi_fence(struct node *node, const json_t *all, void *data)
{
	if (node->local_ranks && node->local_ranks->pmi)
		pmi_fence_done(node->local_ranks->pmi, all);
}

static void pmi_fence(const json_t *puts, void *data)
{
	struct node *node = data;
	autofree char *name = mem_printf("pmi-%zu-%zu", node->attempt, ++node->local_ranks->fences);
	node_fence(node, name, json_deep_copy(puts), on_pmi_fence, NULL);
}

static void pmi_abort(size_t local, int code, void *data)
{
	struct node *node = data;
	autofree char *why = mem_printf("the program called MPI_Abort with code %d", code);
	node_fail(node, (long)node->local_ranks->members[local].number, why);
}

static void on_pmi(enum loop_event event, void *data)
{
	struct member *m = data;
	char buf[4096];
	ssize_t n = -1;
	for (int i = 0; i < PMI_READS && (n = read(loop_watch_fd(m->pmi), buf, sizeof buf)) > 0; i++) {
		m->spoke = true;
		pmi_input(m->node->local_ranks->pmi, m->local, buf, (size_t)n);
	}
	if (event == LOOP_CLOSED)
		m->pmi = NULL;
	else if (n == 0)
		loop_unwatch(steal(m->pmi));
}

// The rank's end of a new socket pair; ours is watched.
static int open_pmi(struct member *m)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	m->pmi = loop_watch(m->node->loop, pair[0], on_pmi, m);
	return pair[1];
}

static void start_pmi(struct node *node)
{
	struct pmi_options options = {.name = node->run,
		.size = node->size,
		.nlocal = node->local_ranks->count,
		.hosts = node->machines,
		.reply = pmi_reply,
		.fence = pmi_fence,
		.abort = pmi_abort,
		.data = node};
	node->local_ranks->pmi = pmi_new(&options);
}

// --- the end of a rank ----------------------------------------------------------

static json_t *number_or_null(int value, bool there)
{
	return there ? json_integer(value) : json_null();
}

static void check_end(struct node *node)
{
	struct local_ranks *t = node->local_ranks;
	if (t->running || !t->on_end)
		return;
	void (*on_end)(struct node *) = t->on_end;
	t->on_end = NULL;
	loop_timer_cancel(t->grace);
	mpirun_free(steal(t->mpirun));
	on_end(node);
}

static long count_oom_kills(const struct node *node)
{
	const char *groups = node->cgroups ? node->cgroups : node->limited;
	return groups ? cgroup_oom_kills(groups) : 0;
}

// A program may fail because a process that it started was killed, and end as it likes. That is no proof, so it is only
// said that there was a kill.
static void warn_of_oom_kills(struct node *node, size_t rank)
{
	struct local_ranks *t = node->local_ranks;
	if (!oom_kills_are_open(&t->oom_kills) || t->oom_kills.seen <= t->oom_warned)
		return;
	t->oom_warned = t->oom_kills.seen;
	autofree char *why =
		mem_printf("shortly before rank %zu failed, the kernel killed a process of this node because "
			   "memory ran out",
			rank);
	node_event(node, event_make("warn", "s:s", "why", why));
}

// Why a rank has ended, as far as its status does not say it.
static const char *why_ended(struct member *m, int status, int sig)
{
	struct local_ranks *t = m->node->local_ranks;
	if (t->why || status == 0)
		return t->why;
	oom_kills_see(&t->oom_kills, count_oom_kills(m->node), clock_mono());
	if (oom_kills_explain(&t->oom_kills, status, sig))
		return "out of memory";
	warn_of_oom_kills(m->node, m->number);
	return NULL;
}

static void say_exit(struct member *m, int status, int sig)
{
	struct node *node = m->node;
	const char *why = why_ended(m, status, sig);
	json_t *event = event_make("exit", "s:i, s:o, s:o, s:s?, s:f, s:i, s:o", "rank", (int)m->number, "status",
		number_or_null(status, status >= 0), "signal", number_or_null(sig, sig > 0), "why", why, "seconds",
		clock_mono() - m->started, "attempt", (int)node->attempt, "last",
		output_parser_last(node->local_ranks->scan, m->local));
	node_event(node, event);
}

static void on_exit_of(int status, int sig, void *data)
{
	struct member *m = data;
	struct local_ranks *t = m->node->local_ranks;
	if (!t->why && m->node->mpi == MPI_FAMILY_MPICH && !m->spoke && status == 0)
		node_event(m->node, event_make("warn", "s:i, s:s", "rank", (int)m->number, "why",
					    "it ended without a PMI request: is it an MPI program of "
					    "the MPICH family?"));
	output_parser_end(t->scan, m->local);
	m->running = false;
	t->running--;
	if (m->pmi)
		on_pmi(LOOP_READABLE, m); // its last word may be that it gave up
	say_exit(m, status, sig);
	if (t->mpirun)
		mpirun_ended(t->mpirun, m->number, sig ? 128 + sig : status);
	loop_unwatch(steal(m->pmi));
	check_end(m->node);
}

// --- start ----------------------------------------------------------------------

// The rank's own process: not the one that stands for it where it is in a container. 0: it is not to be seen.
static pid_t pid_of(struct member *m)
{
	if (!m->node->container)
		return rank_pid(m->rank);
	if (!m->inside)
		m->inside = container_find(m->node, m->number);
	return m->inside;
}

// What a shell or an interpreter has started is seen as soon as it is there.
static void check_families(struct node *node)
{
	struct error err;
	for (size_t i = 0; node->mpi == MPI_FAMILY_MPICH && i < node->local_ranks->count; i++) {
		struct member *m = &node->local_ranks->members[i];
		pid_t pid = m->running && !m->spoke ? pid_of(m) : 0;
		if (pid && mpi_check_process(node, pid, &err) < 0) { // 0 is the parent of all that runs on the machine
			node_fail(node, (long)m->number, err.text);
			return;
		}
	}
}

// open_mpi: what Open MPI has for this rank, where it serves.
static int start_member(struct member *m, const json_t *open_mpi, struct error *err)
{
	struct node *node = m->node;
	struct plan_rank rank = plan_rank(node->plan, m->local);
	autojson json_t *argv = node_expand(node, rank.argv, (long)m->number, err);
	autojson json_t *env = argv ? node_expand(node, rank.env, (long)m->number, err) : NULL;
	if (!env)
		return -1;
	if (!node->container && mpi_check_program(node, argv, json_string_value(json_object_get(env, "PATH")), err) < 0)
		return -1;
	json_object_set_new(env, "MUSTER_RUN", json_string(node->run));
	if (node->mpi != MPI_FAMILY_NONE)
		mpi_add_env(node, m->number, open_mpi, env);
	autoclose int in = -1;
	autojson json_t *enter = node->container ? container_enter(node, argv, env, &in, err) : json_incref(argv),
			*none = json_object();
	if (!enter)
		return -1;
	struct rank_options options = {.argv = enter,
		.env = node->container ? none : env,
		.dir = node->out_dir,
		.cgroups = node->cgroups,
		.metrics = true,
		.in = in,
		.pmi = node->local_ranks->pmi ? open_pmi(m) : -1,
		.on_output = on_output,
		.on_metric = on_metric,
		.on_exit = on_exit_of,
		.data = m};
	m->started = clock_mono();
	m->rank = rank_start(node->loop, &options, err);
	if (!m->rank)
		return -1;
	m->running = true;
	node->local_ranks->running++;
	node_event(node, event_make("start", "s:i, s:i, s:i, s:O", "rank", (int)m->number, "pid",
				 (int)rank_pid(m->rank), "attempt", (int)node->attempt, "argv", argv));
	return 0;
}

static void start_or_fail(struct member *m, const json_t *open_mpi)
{
	struct error err = {0};
	if (start_member(m, open_mpi, &err) == 0)
		return;
	node_fail(m->node, (long)m->number, err.text);
	say_exit(m, 127, 0);
}

// Open MPI has made a place for the rank.
static int on_mpirun_rank(struct node *node, size_t rank, const json_t *env, struct error *err)
{
	struct local_ranks *t = node->local_ranks;
	size_t first = t->members[0].number;
	if (rank < first || rank - first >= t->count)
		return error_set(err, ERROR_SYSTEM, "Open MPI started rank %zu on node %zu, which is the wrong node",
			rank, node->id);
	struct member *m = &t->members[rank - first];
	if (m->rank || t->why)
		return error_set(err, ERROR_SYSTEM, "rank %zu was already started, or must not start any more", rank);
	start_or_fail(m, env);
	return 0;
}

static void kill_all(struct node *node)
{
	node->local_ranks->killed = true;
	local_ranks_signal(node, SIGKILL);
	loop_timer_set(node->local_ranks->grace, patience);
}

// A killed rank that waits for the server of a mount ends when its requests are given up; it may send others then.
static void on_grace(void *data)
{
	struct node *node = data;
	if (!node->local_ranks->killed)
		kill_all(node);
	else if (setup_unblock(node))
		loop_timer_set(node->local_ranks->grace, look_again);
}

static int open_streams(struct node *node, size_t count)
{
	struct error err;
	for (size_t i = 0; i < count; i++)
		if (uplink_open(node->up, (uint32_t)(UPLINK_RANKS + i), &err) < 0) {
			node_fail(node, -1, err.text);
			return -1;
		}
	return 0;
}

void local_ranks_start(struct node *node)
{
	local_ranks_free(node);
	struct local_ranks *t = node->local_ranks = mem_alloc(sizeof *t);
	t->count = plan_ranks(node->plan);
	t->members = mem_alloc(t->count * sizeof *t->members);
	t->grace = loop_timer_new(node->loop, on_grace, node);
	t->oom_kills = oom_kills_start(count_oom_kills(node));
	struct error err = {0};
	t->scan = output_parser_new(node->plan, t->count, say_metric, node, &err);
	if (!t->scan) {
		node_fail(node, -1, err.text);
		return;
	}
	t->sampler = sampler_new();
	if (open_streams(node, t->count) < 0)
		return;
	if (node->mpi != MPI_FAMILY_NONE)
		start_pmi(node);
	for (size_t i = 0; i < t->count; i++) {
		size_t number = plan_rank(node->plan, i).rank;
		t->members[i] = (struct member){.node = node, .local = i, .number = number, .started = clock_mono()};
		if (node->mpi != MPI_FAMILY_OPENMPI)
			start_or_fail(&t->members[i], NULL);
	}
	if (node->mpi == MPI_FAMILY_OPENMPI) {
		t->mpirun = mpirun_start(node, on_mpirun_rank, &err);
		if (!t->mpirun)
			node_fail(node, -1, err.text);
	}
	local_ranks_sample(node); // what the first second is compared with
}

// --- stop -----------------------------------------------------------------------

void local_ranks_signal(struct node *node, int sig)
{
	for (size_t i = 0; node->local_ranks && i < node->local_ranks->count; i++)
		if (node->local_ranks->members[i].running)
			rank_signal(node->local_ranks->members[i].rank, sig);
}

void local_ranks_stop(struct node *node, double grace, const char *why, void (*on_end)(struct node *node))
{
	struct local_ranks *t = node->local_ranks;
	if (!t) {
		on_end(node);
		return;
	}
	t->on_end = on_end;
	if (t->running && !t->why)
		t->why = strcmp(why, "timeout") == 0     ? "timeout"
			 : strcmp(why, "cancelled") == 0 ? "cancelled"
							 : "told to stop";
	mpirun_stop(t->mpirun);
	if (grace > 0) {
		local_ranks_signal(node, SIGTERM);
		loop_timer_set(t->grace, grace);
	} else
		kill_all(node);
	check_end(node);
}

void local_ranks_free(struct node *node)
{
	struct local_ranks *t = node->local_ranks;
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++) {
		rank_free(t->members[i].rank);
		loop_unwatch(t->members[i].pmi);
	}
	loop_timer_free(t->grace);
	mpirun_free(t->mpirun);
	pmi_free(t->pmi);
	output_parser_free(t->scan);
	sampler_free(t->sampler);
	free(t->members);
	free(t);
	node->local_ranks = NULL;
}

// --- samples --------------------------------------------------------------------

void local_ranks_sample(struct node *node)
{
	struct local_ranks *t = node->local_ranks;
	if (!t || !t->running)
		return;
	struct sample_rank *ranks = mem_alloc(t->count * sizeof *ranks);
	size_t n = 0;
	pid_t pid;
	for (size_t i = 0; i < t->count; i++)
		if (t->members[i].running && (pid = pid_of(&t->members[i])))
			ranks[n++] = (struct sample_rank){.rank = t->members[i].number, .pid = pid};
	check_families(node);
	oom_kills_see(&t->oom_kills, count_oom_kills(node), clock_mono());
	output_parser_watch(t->scan);
	json_t *event = n ? sampler_take(t->sampler, ranks, n)
			  : NULL; // in a container it may take a moment until they are seen
	if (event)
		node_event(node, event);
	free(ranks);
}
