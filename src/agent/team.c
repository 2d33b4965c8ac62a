#include "agent/team.h"

#include "agent/family.h"
#include "agent/sampler.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "wire/event.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PMI_READS = 64 }; // of one rank in one turn

// One rank of the team.
struct member {
	struct node *node;
	struct rank *rank;
	size_t local, number; // on this node, in the run
	double started;
	struct loop_watch *pmi;
	bool spoke; // PMI
	bool running;
};

struct team {
	struct member *members;
	size_t count, running;
	struct pmi *pmi;
	size_t fences; // of PMI so far
	struct scan *scan;
	struct sampler *sampler;
	struct loop_timer *grace;
	const char *why; // they were told to stop
	long oom_kills;  // in the node's control groups, as far as they are accounted for
	void (*on_end)(struct node *node);
};

static bool is_mpi(const struct node *node)
{
	const char *launch = json_string_value(json_object_get(node->plan, "launch"));
	return launch && strcmp(launch, "mpi") == 0;
}

// --- output and metrics -------------------------------------------------------

static void say_metric(size_t local, json_t *event, void *data)
{
	struct node *node = data;
	json_object_set_new(event, "rank", json_integer((json_int_t)node->team->members[local].number));
	node_event(node, event);
}

static bool on_output(const void *bytes, size_t len, void *data)
{
	struct member *m = data;
	scan_output(m->node->team->scan, m->local, bytes, len);
	bool room = uplink_add(m->node->up, (uint32_t)(UPLINK_RANKS + m->local), bytes, len);
	return room && !uplink_full(m->node->up, UPLINK_EVENTS); // metrics are events
}

static bool on_metric(const char *line, size_t len, void *data)
{
	struct member *m = data;
	scan_json_line(m->node->team->scan, m->local, line, len);
	return !uplink_full(m->node->up, UPLINK_EVENTS);
}

void team_room(struct node *node)
{
	for (size_t i = 0; node->team && i < node->team->count; i++) {
		struct member *m = &node->team->members[i];
		if (m->running && !uplink_full(node->up, (uint32_t)(UPLINK_RANKS + m->local)) && !uplink_full(node->up, UPLINK_EVENTS))
			rank_resume(m->rank);
	}
}

// --- PMI ----------------------------------------------------------------------

static void pmi_reply(size_t local, const char *lines, size_t len, void *data)
{
	struct node *node = data;
	struct member *m = &node->team->members[local];
	if (m->pmi && write(loop_watch_fd(m->pmi), lines, len) != (ssize_t)len && m->running)
		node_fail(node, (long)m->number, "it does not read the answers to its PMI questions");
}

static void on_pmi_fence(struct node *node, const json_t *all, void *data)
{
	if (node->team && node->team->pmi)
		pmi_fence_done(node->team->pmi, all);
}

static void pmi_fence(const json_t *puts, void *data)
{
	struct node *node = data;
	autofree char *name = mem_printf("pmi-%zu-%zu", node->attempt, ++node->team->fences);
	node_fence(node, name, json_deep_copy(puts), on_pmi_fence, NULL);
}

static void pmi_abort(size_t local, int code, void *data)
{
	struct node *node = data;
	autofree char *why = mem_printf("the program called MPI_Abort with code %d", code);
	node_fail(node, (long)node->team->members[local].number, why);
}

static void on_pmi(enum loop_event event, void *data)
{
	struct member *m = data;
	char buf[4096];
	ssize_t n = -1;
	for (int i = 0; i < PMI_READS && (n = read(loop_watch_fd(m->pmi), buf, sizeof buf)) > 0; i++) {
		m->spoke = true;
		pmi_input(m->node->team->pmi, m->local, buf, (size_t)n);
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

static void start_pmi(struct node *node, const json_t *ranks)
{
	struct pmi_options options = {.name = node->run,
		.size = node->size,
		.nlocal = json_array_size(ranks),
		.hosts = node->machines,
		.reply = pmi_reply,
		.fence = pmi_fence,
		.abort = pmi_abort,
		.data = node};
	node->team->pmi = pmi_new(&options);
}

// --- the end of a rank ----------------------------------------------------------

static json_t *number_or_null(int value, bool there)
{
	return there ? json_integer(value) : json_null();
}

static void check_end(struct node *node)
{
	struct team *t = node->team;
	if (t->running || !t->on_end)
		return;
	void (*on_end)(struct node *) = t->on_end;
	t->on_end = NULL;
	loop_timer_cancel(t->grace);
	on_end(node);
}

static long oom_kills(const struct node *node)
{
	return node->cgroups ? cgroup_oom_kills(node->cgroups) : 0;
}

// Why a rank has ended, as far as its status does not say it. A shell whose child was killed ends like any other, so it is not the signal
// that tells, but that the kernel has killed somebody in the node since.
static const char *why_ended(struct node *node, int status)
{
	struct team *t = node->team;
	long kills = oom_kills(node);
	if (t->why || status == 0 || kills <= t->oom_kills)
		return t->why;
	t->oom_kills = kills;
	return "out of memory";
}

static void say_exit(struct member *m, int status, int sig)
{
	struct node *node = m->node;
	json_t *event = event_make("exit", "s:i, s:o, s:o, s:s?, s:f, s:i, s:o", "rank", (int)m->number, "status", number_or_null(status, status >= 0),
		"signal", number_or_null(sig, sig > 0), "why", why_ended(node, status), "seconds", clock_mono() - m->started, "attempt", (int)node->attempt, "last",
		scan_last(node->team->scan, m->local));
	node_event(node, event);
}

static void on_exit_of(int status, int sig, void *data)
{
	struct member *m = data;
	struct team *t = m->node->team;
	if (!t->why && is_mpi(m->node) && !m->spoke && status == 0)
		node_event(m->node, event_make("warn", "s:i, s:s", "rank", (int)m->number, "why",
			"it ended without ever asking for its place (PMI): is it an MPI program of the MPICH family?"));
	scan_end(t->scan, m->local);
	m->running = false;
	t->running--;
	if (m->pmi)
		on_pmi(LOOP_READABLE, m); // its last word may be that it gave up
	say_exit(m, status, sig);
	loop_unwatch(steal(m->pmi));
	check_end(m->node);
}

// --- start ----------------------------------------------------------------------

// A program of the other MPI family would run as many lonely programs of size 1: better say so.
static int refuse_family(const char *program, struct error *err)
{
	return error_set(err, ERROR_JOB,
		"'%s' is built for Open MPI, but launch: mpi serves programs of the MPICH family; build it with mpicc.mpich", program);
}

static int check_family(const json_t *argv, const char *path, struct error *err)
{
	autofree char *program = fs_which(json_string_value(json_array_get(argv, 0)), path);
	return program && family_of(program) == FAMILY_OPENMPI ? refuse_family(program, err) : 0;
}

// The same for what a shell or an interpreter has started, as soon as it is there.
static void check_families(struct node *node)
{
	for (size_t i = 0; is_mpi(node) && i < node->team->count; i++) {
		struct member *m = &node->team->members[i];
		autofree pid_t *pids = NULL;
		size_t n = m->running && !m->spoke ? proc_tree(rank_pid(m->rank), &pids) : 0;
		while (n-- > 0) { // from the top: Open MPI's programs start helpers
			if (family_of_process(pids[n]) != FAMILY_OPENMPI)
				continue;
			char link[32], program[PATH_MAX];
			snprintf(link, sizeof link, "/proc/%d/exe", (int)pids[n]);
			ssize_t len = readlink(link, program, sizeof program - 1);
			program[len > 0 ? len : 0] = '\0';
			struct error err;
			refuse_family(program, &err);
			node_fail(node, (long)m->number, err.text);
			return;
		}
	}
}

static void add_env(json_t *env, const char *name, const char *value)
{
	json_object_set_new(env, name, json_string(value));
}

// The network device that carries an IPv4 address, owned by the caller; NULL when none does.
static char *device_of(const char *address)
{
	struct in_addr want;
	struct ifaddrs *list;
	char *found = NULL;
	if (inet_pton(AF_INET, address, &want) != 1 || getifaddrs(&list) < 0)
		return NULL;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET)
			continue;
		in_addr_t have = ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr;
		in_addr_t mask = ((struct sockaddr_in *)(void *)i->ifa_netmask)->sin_addr.s_addr;
		// All of 127.0.0.0/8 is the loopback's.
		if (have == want.s_addr || (i->ifa_flags & IFF_LOOPBACK && (have & mask) == (want.s_addr & mask)))
			found = mem_strdup(i->ifa_name);
	}
	freeifaddrs(list);
	return found;
}

// UCX, which MPICH talks through, would offer the others every device there is, and MPI_Init then fails where two nodes have one in common
// that connects nothing (docker0): it is told the one that peers reach us by. Within a machine it shares memory all the same.
static void add_pmi_env(struct member *m, json_t *env)
{
	autofree char *rank = mem_printf("%zu", m->number);
	autofree char *size = mem_printf("%zu", m->node->size);
	add_env(env, "PMI_RANK", rank);
	add_env(env, "PMI_SIZE", size);
	autofree char *device = device_of(m->node->address);
	if (device && !json_object_get(env, "UCX_NET_DEVICES") && !getenv("UCX_NET_DEVICES"))
		add_env(env, "UCX_NET_DEVICES", device);
}

static int start_member(struct member *m, const json_t *rank, struct error *err)
{
	struct node *node = m->node;
	autojson json_t *argv = node_expand(node, json_object_get(rank, "argv"), (long)m->number, err);
	autojson json_t *env = argv ? node_expand(node, json_object_get(rank, "env"), (long)m->number, err) : NULL;
	if (!env)
		return -1;
	const char *path = json_string_value(json_object_get(env, "PATH"));
	if (is_mpi(node) && check_family(argv, path ? path : getenv("PATH"), err) < 0)
		return -1;
	add_env(env, "MUSTER_RUN", node->run);
	if (node->team->pmi)
		add_pmi_env(m, env);
	struct rank_options options = {.argv = argv,
		.env = env,
		.dir = node->out_dir,
		.cgroups = node->cgroups,
		.metrics = true,
		.pmi = node->team->pmi ? open_pmi(m) : -1,
		.on_output = on_output,
		.on_metric = on_metric,
		.on_exit = on_exit_of,
		.data = m};
	m->started = clock_mono();
	m->rank = rank_start(node->loop, &options, err);
	if (!m->rank)
		return -1;
	m->running = true;
	node->team->running++;
	node_event(node, event_make("start", "s:i, s:i, s:i, s:O", "rank", (int)m->number, "pid", (int)rank_pid(m->rank), "attempt", (int)node->attempt,
		"argv", argv));
	return 0;
}

static void on_grace(void *data)
{
	team_signal(data, SIGKILL);
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

void team_start(struct node *node)
{
	const json_t *ranks = json_object_get(node->plan, "ranks");
	team_free(node);
	struct team *t = node->team = mem_alloc(sizeof *t);
	t->count = json_array_size(ranks);
	t->members = mem_alloc(t->count * sizeof *t->members);
	t->grace = loop_timer_new(node->loop, on_grace, node);
	t->oom_kills = oom_kills(node);
	struct error err = {0};
	t->scan = scan_new(node->plan, t->count, say_metric, node, &err);
	if (!t->scan) {
		node_fail(node, -1, err.text);
		return;
	}
	t->sampler = sampler_new();
	if (open_streams(node, t->count) < 0)
		return;
	if (is_mpi(node))
		start_pmi(node, ranks);
	for (size_t i = 0; i < t->count; i++) {
		const json_t *rank = json_array_get(ranks, i);
		struct member *m = &t->members[i];
		*m = (struct member){.node = node, .local = i, .number = (size_t)json_integer_value(json_object_get(rank, "rank")), .started = clock_mono()};
		if (start_member(m, rank, &err) == 0)
			continue;
		node_fail(node, (long)m->number, err.text);
		say_exit(m, 127, 0);
	}
	team_sample(node); // what the first second is compared with
}

// --- stop -----------------------------------------------------------------------

void team_signal(struct node *node, int sig)
{
	for (size_t i = 0; node->team && i < node->team->count; i++)
		if (node->team->members[i].running)
			rank_signal(node->team->members[i].rank, sig);
}

void team_stop(struct node *node, double grace, const char *why, void (*on_end)(struct node *node))
{
	struct team *t = node->team;
	if (!t) {
		on_end(node);
		return;
	}
	t->on_end = on_end;
	if (t->running && !t->why)
		t->why = strcmp(why, "timeout") == 0 ? "timeout" : strcmp(why, "cancelled") == 0 ? "cancelled" : "told to stop";
	team_signal(node, grace > 0 ? SIGTERM : SIGKILL);
	if (grace > 0)
		loop_timer_set(t->grace, grace);
	check_end(node);
}

void team_free(struct node *node)
{
	struct team *t = node->team;
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++) {
		rank_free(t->members[i].rank);
		loop_unwatch(t->members[i].pmi);
	}
	loop_timer_free(t->grace);
	pmi_free(t->pmi);
	scan_free(t->scan);
	sampler_free(t->sampler);
	free(t->members);
	free(t);
	node->team = NULL;
}

// --- samples --------------------------------------------------------------------

void team_sample(struct node *node)
{
	struct team *t = node->team;
	if (!t || !t->running)
		return;
	struct sample_rank *ranks = mem_alloc(t->count * sizeof *ranks);
	size_t n = 0;
	for (size_t i = 0; i < t->count; i++)
		if (t->members[i].running)
			ranks[n++] = (struct sample_rank){.rank = t->members[i].number, .pid = rank_pid(t->members[i].rank)};
	check_families(node);
	json_t *event = sampler_take(t->sampler, ranks, n);
	if (event)
		node_event(node, event);
	free(ranks);
}
