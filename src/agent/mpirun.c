#include "agent/mpirun.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/unix_socket.h"
#include "helper/openmpi_shim.h"
#include "job/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { QUESTION_MAX = 1 << 20, SAID_MAX = 300, LOG_MAX = 4 << 20 };

// When one rank dies Open MPI ends all others at once, and then itself. The rank that began it is to be the one that is
// heard first, and what mpirun has to say of it (node 0) is worth more than that a daemon is gone.
static const double patience = 0.3;

// A shim that waits for its answer.
struct guest {
	struct guest *next;
	struct mpirun *mpirun;
	struct loop_watch *watch;
	struct str in;
	long rank; // -1: it is none, or has not said
	bool asked;
};

// mpirun itself, or its daemon on this node.
struct process {
	struct process *next;
	struct mpirun *mpirun;
	bool daemon;
	struct rank *rank;
};

struct mpirun {
	struct node *node;
	int (*start)(struct node *node, size_t rank, const json_t *env, struct error *err);
	struct loop_watch *listener;
	struct guest *guests;
	struct process *processes;
	json_t *commands; // for other nodes, by their number; wait for the fence before
	size_t fences;    // so far
	bool in_fence, stopped;
	size_t started, well, count; // ranks of this node; well: ended with status 0
	struct loop_timer *trouble_timer, *deadline;
	char *trouble;
	long trouble_rank;
	struct output_parser *lines; // the last ones that Open MPI itself has said here
	uint64_t logged;
};

// --- trouble ----------------------------------------------------------------------

// The first of mpirun's last words, behind a colon; it likes lines of dashes. Owned by the caller.
static char *said(const struct mpirun *m)
{
	autojson json_t *last = m->lines ? output_parser_last(m->lines, 0) : NULL;
	autostr struct str s = {0};
	size_t i;
	const json_t *value;
	json_array_foreach (last, i, value) {
		const char *line = json_string_value(value) + strspn(json_string_value(value), " -");
		// A race of its own with the shells it starts, which means nothing.
		if (*line && !strstr(line, "plm:rsh: Warning") && s.len + strlen(line) < SAID_MAX)
			str_printf(&s, "%s%s", s.len ? " " : ": ", line);
	}
	return str_steal(&s);
}

static void on_trouble_time(void *data)
{
	struct mpirun *m = data;
	autofree char *words = said(m), *why = mem_printf("%s%s", m->trouble, words);
	node_fail(m->node, m->trouble_rank, why);
}

// Takes why. It is said in a moment, unless something said in the meantime explains it. A later one that is better
// replaces it.
static void trouble(struct mpirun *m, long rank, char *why, bool better)
{
	autofree char *text = why;
	if (m->stopped || (m->trouble && !better))
		return;
	if (!m->trouble)
		loop_timer_set(m->trouble_timer, m->node->id == 0 ? patience : 2 * patience);
	free(m->trouble);
	m->trouble = steal(text);
	m->trouble_rank = rank;
}

static void on_deadline(void *data)
{
	struct mpirun *m = data;
	double seconds = plan_deadline(m->node->plan);
	if (m->started < m->count)
		trouble(m, -1,
			mem_printf("mpirun has started %zu of %zu ranks of this node in %g s", m->started, m->count,
				seconds),
			true);
}

// --- shims ------------------------------------------------------------------------

static void dismiss(struct guest *g)
{
	struct guest **at = &g->mpirun->guests;
	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	loop_unwatch(g->watch);
	str_fini(&g->in);
	free(g);
}

// The last word to a guest. A shim reads nothing else, so that the socket has room for it.
static void answer(struct guest *g, json_t *what)
{
	autojson json_t *tree = what;
	autofree char *text = json_dumps(tree, JSON_COMPACT);
	autofree char *line = mem_printf("%s\n", text);
	if (g->watch && send(loop_watch_fd(g->watch), line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		trouble(g->mpirun, g->rank, mem_printf("cannot answer its request: %s", strerror(errno)), false);
	g->rank = -1;
	dismiss(g);
}

static void refuse(struct guest *g, const char *why)
{
	answer(g, mem_json("{s:s}", "error", why));
}

void mpirun_ended(struct mpirun *mpirun, size_t rank, int status)
{
	mpirun->well += status == 0;
	for (struct guest *g = mpirun->guests; g; g = g->next)
		if (g->rank == (long)rank) {
			answer(g, mem_json("{s:i}", "status", status));
			return;
		}
}

static void bring_commands(struct mpirun *m);

static void take_command(struct guest *g, const char *host, const char *command)
{
	struct mpirun *m = g->mpirun;
	size_t i;
	const json_t *peer;
	json_array_foreach (m->node->peers, i, peer) {
		const char *address = json_string_value(json_object_get(peer, "address"));
		if (!address || strcmp(address, host) != 0)
			continue;
		autofree char *number = mem_printf("%zu", i);
		json_object_set_new(m->commands, number, json_string(command));
		if (!m->in_fence)
			bring_commands(m);
		return; // the answer is that we stay as long as the daemon has to
	}
	autofree char *why = mem_printf("no node of this run has the address '%s'", host);
	refuse(g, why);
}

static void take_rank(struct guest *g, const json_t *env)
{
	struct mpirun *m = g->mpirun;
	struct error err = {0};
	if (m->stopped)
		refuse(g, "the run is over");
	else if (m->start(m->node, (size_t)g->rank, env, &err) == 0)
		m->started++;
	else
		refuse(g, err.text);
}

static void listen_to(struct guest *g, const char *line, size_t len)
{
	autojson json_t *tree = json_loadb(line, len, 0, NULL);
	const json_t *rank = json_object_get(tree, "rank"), *env = json_object_get(tree, "env");
	const char *host = json_string_value(json_object_get(tree, "host")),
		   *command = json_string_value(json_object_get(tree, "command"));
	g->asked = true;
	if (json_is_integer(rank) && json_integer_value(rank) >= 0 && json_is_object(env)) {
		g->rank = (long)json_integer_value(rank);
		take_rank(g, env);
	} else if (host && command && g->mpirun->node->id == 0)
		take_command(g, host, command);
	else
		refuse(g, "expected a rank, or on node 0 a host and a command");
}

static void on_gone(struct guest *g)
{
	if (g->rank >= 0)
		trouble(g->mpirun, g->rank, mem_strdup("Open MPI gave it up"), false);
	dismiss(g);
}

static void on_guest(enum loop_event event, void *data)
{
	struct guest *g = data;
	char buf[16384];
	ssize_t n = -1;
	while (!g->asked && g->in.len < QUESTION_MAX && (n = read(loop_watch_fd(g->watch), buf, sizeof buf)) > 0) {
		str_add(&g->in, buf, (size_t)n);
		const char *end = memchr(g->in.text, '\n', g->in.len);
		if (end) {
			listen_to(g, g->in.text, (size_t)(end - g->in.text));
			return; // it may be gone
		}
	}
	if (g->asked)
		n = read(loop_watch_fd(g->watch), buf, sizeof buf);
	if (event == LOOP_CLOSED)
		g->watch = NULL;
	if (event == LOOP_CLOSED || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || g->in.len >= QUESTION_MAX)
		on_gone(g);
}

static void on_guests(enum loop_event event, void *data)
{
	struct mpirun *m = data;
	int fd;
	if (event == LOOP_CLOSED) {
		m->listener = NULL;
		return;
	}
	while ((fd = accept4(loop_watch_fd(m->listener), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		struct guest *g = mem_alloc(sizeof *g);
		*g = (struct guest){.next = m->guests, .mpirun = m, .rank = -1};
		g->watch = loop_watch(m->node->loop, fd, on_guest, g);
		m->guests = g;
		if (!g->watch)
			dismiss(g);
	}
}

// --- mpirun and its daemons ---------------------------------------------------------

static void drop_line(size_t local, json_t *event, void *data)
{
	json_decref(event);
}

// The ranks speak for themselves: all this is what Open MPI itself has to say.
static bool on_said(const void *bytes, size_t len, void *data)
{
	struct process *p = data;
	struct mpirun *m = p->mpirun;
	if (m->well == m->count)
		return true; // how it takes that its daemons are ended when all is done
	output_parser_output(m->lines, 0, bytes, len);
	m->logged += len;
	if (m->logged > LOG_MAX)
		return true; // somebody says the same for ever
	autofree char *path = fs_join(m->node->dir, "mpirun.log");
	autoclose int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0)
		fs_write_fd(fd, bytes, len, NULL);
	return true;
}

static void on_process_exit(int status, int sig, void *data)
{
	struct process *p = data;
	const char *name = p->daemon ? "Open MPI's daemon" : "mpirun";
	if (status == 0)
		return; // all shims have ended well
	if (p->daemon && status > 128)
		sig = status - 128; // its shell says it
	trouble(p->mpirun, -1,
		mem_printf(sig ? "%s was killed by signal %d" : "%s ended with status %d", name, sig ? sig : status),
		!p->daemon);
}

static int start_process(struct mpirun *m, bool daemon, const json_t *argv, const json_t *env, struct error *err)
{
	struct process *p = mem_alloc(sizeof *p);
	*p = (struct process){.next = m->processes, .mpirun = m, .daemon = daemon};
	m->processes = p;
	// The root of all: what one machine has another may lack, and mpirun sends its daemons where it is itself.
	struct rank_options options = {.argv = argv,
		.env = env,
		.dir = "/",
		.pmi = -1,
		.on_output = on_said,
		.on_exit = on_process_exit,
		.data = p};
	p->rank = rank_start(m->node->loop, &options, err);
	return p->rank ? 0 : -1;
}

// What both need: the agent by its name, a place for what they leave behind, and nobody else's allocation.
static json_t *common_env(const struct node *node)
{
	autofree char *socket = fs_join(node->dir, "agent.sock"), *temp = fs_join(node->dir, "tmp");
	const char *path = getenv("PATH");
	autofree char *search = mem_printf("%s/bin:%s", node->dir, path ? path : "/usr/local/bin:/usr/bin:/bin");
	return mem_json("{s:s, s:s, s:s, s:s}", "MUSTER_RUN", node->run, OPENMPI_SHIM_SOCKET, socket, "TMPDIR", temp,
		"PATH", search);
}

static void set(json_t *env, const char *name, const char *value)
{
	if (!json_object_get(env, name))
		json_object_set_new(env, name, json_string(value));
}

// Open MPI 4 reads OMPI_MCA_..., the launcher of 5 PRTE_MCA_...; each passes over what is the other's. The tree is
// flat, so that no daemon has to start another one.
static void add_settings(const struct node *node, json_t *env)
{
	static const char *const settings[][2] = {{"OMPI_MCA_plm", "rsh"}, {"PRTE_MCA_plm", "ssh"},
		{"OMPI_MCA_plm_rsh_agent", "muster-agent rsh"}, {"PRTE_MCA_plm_ssh_agent", "muster-agent rsh"},
		{"OMPI_MCA_ras", "^slurm,tm,gridengine,lsf,alps"}, {"PRTE_MCA_ras", "^slurm,pbs,gridengine,lsf"},
		{"OMPI_MCA_orte_keep_fqdn_hostnames", "1"}, {"PRTE_MCA_prte_keep_fqdn_hostnames", "1"},
		{"OMPI_MCA_hwloc_base_binding_policy", "none"}, {"PRTE_MCA_hwloc_default_binding_policy", "none"},
		{"OMPI_MCA_btl", "vader,tcp,self"}};
	static const char *const as_root[] = {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM",
		"PRTE_ALLOW_RUN_AS_ROOT", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM"};
	static const char *const nets[] = {
		"OMPI_MCA_oob_tcp_if_include", "OMPI_MCA_btl_tcp_if_include", "PRTE_MCA_prte_if_include"};
	for (size_t i = 0; i < countof(settings); i++)
		set(env, settings[i][0], settings[i][1]);
	for (size_t i = 0; i < countof(as_root) && geteuid() == 0; i++)
		set(env, as_root[i], "1");
	for (size_t i = 0; i < countof(nets) && *node->mpi_nets; i++)
		set(env, nets[i], node->mpi_nets);
	autofree char *radix = mem_printf("%zu", node->count > 64 ? node->count : 64);
	set(env, "OMPI_MCA_routed_radix", radix);
	set(env, "PRTE_MCA_routed_radix", radix);
}

// Of run.env what Open MPI reads itself: a rank's other variables are not mpirun's.
static json_t *mpirun_env(const struct node *node, const json_t *ranks_env)
{
	json_t *env = common_env(node);
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)ranks_env, name, value)
		if (str_starts(name, "OMPI_") || str_starts(name, "PRTE_") || str_starts(name, "PMIX_") ||
			strcmp(name, "LD_LIBRARY_PATH") == 0)
			json_object_set(env, name, value);
	const char *path = json_string_value(json_object_get(ranks_env, "PATH"));
	if (path) {
		autofree char *search = mem_printf("%s/bin:%s", node->dir, path);
		json_object_set_new(env, "PATH", json_string(search));
	}
	add_settings(node, env);
	return env;
}

static int write_hostfile(const struct node *node, const char *path, struct error *err)
{
	size_t procs = plan_ranks(node->plan);
	autostr struct str s = {0};
	for (size_t i = 0; i < json_array_size(node->peers); i++)
		str_printf(&s, "%s slots=%zu\n",
			json_string_value(json_object_get(json_array_get(node->peers, i), "address")), procs);
	return fs_write(path, s.text, s.len, 0600, err);
}

static int start_mpirun(struct mpirun *m, struct error *err)
{
	struct node *node = m->node;
	autojson json_t *ranks_env = node_expand(node, plan_rank(node->plan, 0).env, 0, err);
	autofree char *hosts = fs_join(node->dir, "mpi-hosts"), *size = mem_printf("%zu", node->size);
	if (!ranks_env || write_hostfile(node, hosts, err) < 0)
		return -1;
	autojson json_t *env = mpirun_env(node, ranks_env);
	autojson json_t *argv = mem_json("[s, s, s, s, s, s, s, s, s]", node->mpirun, "--hostfile", hosts, "--map-by",
		"slot", "-np", size, "muster-agent", "rank");
	return start_process(m, false, argv, env, err);
}

// --- commands to other nodes ----------------------------------------------------------

static void on_commands(struct node *node, const json_t *all, void *data)
{
	struct mpirun *m = data;
	autofree char *own = mem_printf("%zu", node->id);
	const char *command = json_string_value(json_object_get(json_array_get(all, 0), own));
	struct error err = {0};
	m->in_fence = false;
	if (m->stopped)
		return;
	if (command) {
		autojson json_t *argv = mem_json("[s, s, s]", "/bin/sh", "-c", command), *env = common_env(node);
		if (start_process(m, true, argv, env, &err) < 0)
			node_fail(node, -1, err.text);
	}
	if (node->id != 0 || json_object_size(m->commands))
		bring_commands(m);
}

static void bring_commands(struct mpirun *m)
{
	autofree char *name = mem_printf("spawn-%zu-%zu", m->node->attempt, m->fences++);
	json_t *commands = m->commands;
	m->commands = json_object();
	m->in_fence = true;
	node_fence(m->node, name, commands, on_commands, m);
}

// --- life -------------------------------------------------------------------------

static int make_place(const struct node *node, struct error *err)
{
	autofree char *bin = fs_join(node->dir, "bin"), *temp = fs_join(node->dir, "tmp"),
		      *link = fs_join(bin, "muster-agent");
	if (fs_mkdirs(bin, 0700, err) < 0 || fs_mkdirs(temp, 0700, err) < 0)
		return -1;
	autofree char *own = mem_printf("/proc/%d/exe", (int)getpid());
	if (symlink(own, link) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make the link '%s'", link);
	return 0;
}

static int begin(struct mpirun *m, struct error *err)
{
	struct node *node = m->node;
	autofree char *path = fs_join(node->dir, "agent.sock");
	m->lines = output_parser_new(NULL, 1, drop_line, NULL, err);
	if (!m->lines || make_place(node, err) < 0)
		return -1;
	int fd = unix_socket_listen(path, err);
	m->listener = fd < 0 ? NULL : loop_watch(node->loop, fd, on_guests, m);
	if (!m->listener)
		return fd < 0 ? -1 : error_set(err, ERROR_SYSTEM, "cannot watch one more socket");
	loop_timer_set(m->deadline, plan_deadline(node->plan));
	if (node->id == 0)
		return start_mpirun(m, err);
	bring_commands(m);
	return 0;
}

struct mpirun *mpirun_start(struct node *node,
	int (*start)(struct node *node, size_t rank, const json_t *env, struct error *err), struct error *err)
{
	struct mpirun *m = mem_alloc(sizeof *m);
	*m = (struct mpirun){.node = node, .start = start, .commands = json_object(), .count = plan_ranks(node->plan)};
	m->trouble_timer = loop_timer_new(node->loop, on_trouble_time, m);
	m->deadline = loop_timer_new(node->loop, on_deadline, m);
	if (begin(m, err) == 0)
		return m;
	mpirun_free(m);
	return NULL;
}

void mpirun_stop(struct mpirun *mpirun)
{
	if (!mpirun || mpirun->stopped)
		return;
	mpirun->stopped = true;
	loop_timer_cancel(mpirun->trouble_timer);
	loop_timer_cancel(mpirun->deadline);
	loop_unwatch(steal(mpirun->listener));
}

void mpirun_free(struct mpirun *mpirun)
{
	if (!mpirun)
		return;
	mpirun_stop(mpirun);
	while (mpirun->processes) {
		struct process *p = mpirun->processes;
		mpirun->processes = p->next;
		rank_free(p->rank);
		free(p);
	}
	while (mpirun->guests)
		dismiss(mpirun->guests);
	loop_timer_free(mpirun->trouble_timer);
	loop_timer_free(mpirun->deadline);
	output_parser_free(mpirun->lines);
	json_decref(mpirun->commands);
	free(mpirun->trouble);
	free(mpirun);
}
