#include "agent/mpi.h"

#include "agent/ucx_finalize.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "job/plan.h"
#include "wire/event.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

// --- the way to the others --------------------------------------------------------

struct way {
	char device[IF_NAMESIZE];
	struct in_addr net;
	int bits;
};

// The network device that carries an IPv4 address; false when none does.
static bool find_way(const char *address, struct way *way)
{
	struct in_addr want;
	struct ifaddrs *list;
	bool found = false;
	if (inet_pton(AF_INET, address, &want) != 1 || getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !i->ifa_netmask)
			continue;
		in_addr_t have = ((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr.s_addr;
		in_addr_t mask = ((struct sockaddr_in *)(void *)i->ifa_netmask)->sin_addr.s_addr;
		// All of 127.0.0.0/8 is the loopback's.
		found = have == want.s_addr || (i->ifa_flags & IFF_LOOPBACK && (have & mask) == (want.s_addr & mask));
		snprintf(way->device, sizeof way->device, "%s", i->ifa_name);
		way->net.s_addr = have & mask;
		way->bits = __builtin_popcount(mask);
	}
	freeifaddrs(list);
	return found;
}

// "10.0.0.0/24", owned by the caller; NULL when the node's address is on no network of ours.
static char *own_net(const struct node *node)
{
	struct way way;
	char text[INET_ADDRSTRLEN];
	if (!find_way(node->address, &way) || !inet_ntop(AF_INET, &way.net, text, sizeof text))
		return NULL;
	return mem_printf("%s/%d", text, way.bits);
}

// --- the family -------------------------------------------------------------------

// The program that a command begins with, owned by the caller; NULL where that cannot be seen. Of a text for the shell
// it is the first word that is no assignment, when it is a plain one.
static char *program_of(const struct node *node, const json_t *argv, const char *path)
{
	const char *word = json_string_value(json_array_get(argv, 0)),
		   *text = json_string_value(json_array_get(argv, 2));
	autofree char *first = NULL;
	if (strcmp(word, "/bin/sh") == 0 && text && strcmp(json_string_value(json_array_get(argv, 1)), "-c") == 0) {
		text += strspn(text, " \t\n");
		text += str_starts(text, "exec ") ? strlen("exec ") : 0;
		size_t len = strcspn(text, " \t\n");
		first = mem_strndup(text, len);
		if (first[strcspn(first, "\"'`$;&|<>()\\=*?#!{")])
			return NULL;
		word = first;
	}
	autofree char *below = strchr(word, '/') ? fs_join(node->out_dir, word) : NULL;
	return fs_which(below ? below : word, path);
}

static const char *search_path(const json_t *env)
{
	const char *path = json_text(env, "PATH");
	return path ? path : getenv("PATH");
}

// Owned by the caller; NULL when there is none.
static char *find_mpirun(const char *path)
{
	autofree char *plain = fs_which("mpirun", path);
	if (plain && mpi_detect_program(plain) == MPI_FAMILY_OPENMPI)
		return steal(plain);
	static const char *const names[] = {"mpirun.openmpi", "orterun", "prterun"};
	for (size_t i = 0; i < countof(names); i++) {
		char *found = fs_which(names[i], path);
		if (found)
			return found;
	}
	return NULL;
}

// The argv and the environment of the node's first rank, both owned by the caller; -1 when a placeholder cannot be
// filled, which is said when the rank is started.
static int first_rank(struct node *node, json_t **argv, json_t **env)
{
	struct plan_rank rank = plan_rank(node->plan, 0);
	long number = (long)rank.rank;
	struct error err;
	*env = NULL;
	*argv = node_expand(node, rank.argv, number, &err);
	if (*argv)
		*env = node_expand(node, rank.env, number, &err);
	return *env ? 0 : -1;
}

// The program says what it was built for. A script or an interpreter does not, and then Open MPI is taken where the
// mpirun that people would type is Open MPI's: a rank that it starts is served as one of MPICH's, too.
static enum mpi_family guess(struct node *node, char **why)
{
	autojson json_t *argv = NULL, *env = NULL;
	if (first_rank(node, &argv, &env) < 0) {
		*why = mem_strdup("the command is not known yet");
		return MPI_FAMILY_MPICH;
	}
	const char *path = search_path(env);
	autofree char *program = program_of(node, argv, path), *mpirun = fs_which("mpirun", path);
	enum mpi_family family = program ? mpi_detect_program(program) : MPI_FAMILY_NONE;
	if (family != MPI_FAMILY_NONE) {
		*why = mem_printf("'%s' is linked to its library", program);
		return family;
	}
	family = mpirun && mpi_detect_program(mpirun) == MPI_FAMILY_OPENMPI ? MPI_FAMILY_OPENMPI : MPI_FAMILY_MPICH;
	if (family == MPI_FAMILY_OPENMPI)
		*why = mem_printf("the library of the command is unknown, and '%s' is Open MPI's", mpirun);
	else
		*why = mem_strdup("the library of the command is unknown, and PATH has no mpirun of Open MPI");
	return family;
}

struct question {
	void (*on_settled)(struct node *node);
};

static const char *name_of(enum mpi_family family)
{
	return family == MPI_FAMILY_OPENMPI ? "openmpi" : "mpich";
}

static void say_family(struct node *node, const char *why)
{
	node_event(node,
		event_make("mpi", "s:s, s:s, s:s?", "family", name_of(node->mpi), "why", why, "mpirun", node->mpirun));
}

static int need_mpirun(struct node *node)
{
	autojson json_t *argv = NULL, *env = NULL;
	free(steal(node->mpirun));
	if (first_rank(node, &argv, &env) == 0)
		node->mpirun = find_mpirun(search_path(env));
	if (node->mpirun)
		return 0;
	autofree char *why = mem_printf("the program needs Open MPI's mpirun, but node %zu has none of mpirun, "
					"mpirun.openmpi, orterun or prterun "
					"of Open MPI in PATH ('run.mpi: mpich' does not need it)",
		node->id);
	node_fail(node, -1, why);
	return -1;
}

static void settle(struct node *node, enum mpi_family family, const char *why, void (*on_settled)(struct node *node))
{
	node->mpi = family;
	if (family == MPI_FAMILY_OPENMPI && node->id == 0 && need_mpirun(node) < 0)
		return;
	if (family != MPI_FAMILY_NONE && node->id == 0)
		say_family(node, why);
	on_settled(node);
}

// The networks of all nodes, each once.
static char *join_nets(const json_t *all)
{
	autojson json_t *seen = json_object();
	autostr struct str s = {0};
	size_t i;
	const json_t *brought;
	json_array_foreach (all, i, brought) {
		const char *net = json_text(brought, "net");
		if (!net || json_object_get(seen, net))
			continue;
		json_object_set_new(seen, net, json_true());
		str_printf(&s, "%s%s", s.len ? "," : "", net);
	}
	return str_steal(&s);
}

static void on_all_guesses(struct node *node, const json_t *all, void *data)
{
	struct question *q = data;
	void (*on_settled)(struct node *) = q->on_settled;
	const json_t *first = json_array_get(all, 0);
	const char *family = json_text(first, "family"), *why = json_text(first, "why");
	free(q);
	free(node->mpi_nets);
	node->mpi_nets = join_nets(all);
	if (!node->failed)
		settle(node, family && strcmp(family, "openmpi") == 0 ? MPI_FAMILY_OPENMPI : MPI_FAMILY_MPICH,
			why ? why : "", on_settled);
}

void mpi_settle(struct node *node, void (*on_settled)(struct node *node))
{
	const char *launch = plan_launch(node->plan), *asked = plan_mpi(node->plan);
	if (!launch || strcmp(launch, "mpi") != 0 || !asked) {
		settle(node, MPI_FAMILY_NONE, "", on_settled);
		return;
	}
	if (node->container) {
		settle(node, MPI_FAMILY_MPICH, "the ranks are in a container", on_settled);
		return;
	}
	if (strcmp(asked, "mpich") == 0) {
		settle(node, MPI_FAMILY_MPICH, "set in the job", on_settled);
		return;
	}
	bool open = strcmp(asked, "openmpi") == 0;
	autofree char *why = open ? mem_strdup("set in the job") : NULL;
	enum mpi_family family = open ? MPI_FAMILY_OPENMPI : guess(node, &why);
	autofree char *net = family == MPI_FAMILY_OPENMPI ? own_net(node) : NULL;
	json_t *brings = net || node->id == 0 ? mem_json("{s:s?}", "net", net) : json_null();
	if (node->id == 0)
		json_object_update_new(brings, mem_json("{s:s, s:s}", "family", name_of(family), "why", why));
	struct question *q = mem_alloc(sizeof *q);
	q->on_settled = on_settled;
	autofree char *name = mem_printf("mpi-%zu", node->attempt);
	node_fence(node, name, brings, on_all_guesses, q);
}

int mpi_check_program(const struct node *node, const json_t *argv, const char *path, struct error *err)
{
	autofree char *program =
		node->mpi == MPI_FAMILY_MPICH ? program_of(node, argv, path ? path : getenv("PATH")) : NULL;
	if (!program || mpi_detect_program(program) != MPI_FAMILY_OPENMPI)
		return 0;
	return error_set(err, ERROR_JOB,
		"'%s' is built for Open MPI, but this run serves programs of the MPICH family; 'run.mpi: openmpi' "
		"serves it",
		program);
}

int mpi_check_process(const struct node *node, pid_t pid, struct error *err)
{
	autofree pid_t *pids = NULL;
	size_t n = node->mpi == MPI_FAMILY_MPICH ? proc_tree(pid, &pids) : 0;
	while (n-- > 0) { // from the top: Open MPI's programs start helpers
		if (mpi_detect_process(pids[n]) != MPI_FAMILY_OPENMPI)
			continue;
		char link[32], program[PATH_MAX];
		snprintf(link, sizeof link, "/proc/%d/exe", (int)pids[n]);
		ssize_t len = readlink(link, program, sizeof program - 1);
		program[len > 0 ? len : 0] = '\0';
		return error_set(err, ERROR_JOB,
			"'%s' is built for Open MPI, but this run serves programs of the MPICH family; 'run.mpi: "
			"openmpi' serves it",
			program);
	}
	return 0;
}

// --- the environment of a rank ------------------------------------------------------

static void set(json_t *env, const char *name, const char *value)
{
	if (!json_object_get(env, name))
		json_object_set_new(env, name, json_string(value));
}

// Do the ranks of this machine outnumber what it has to run them?
static bool is_crowded(const struct node *node, size_t rank)
{
	double cpus = plan_own_node(node->plan).cpus;
	size_t here = 0;
	for (size_t i = 0; i < node->size; i++)
		here += node->machines[i] == node->machines[rank];
	return here > (size_t)sysconf(_SC_NPROCESSORS_ONLN) || (cpus > 0 && cpus < (double)plan_ranks(node->plan));
}

// May a process read another one's memory? A container's filter of system calls often forbids it, even of one's own.
static bool may_copy(void)
{
	char from = 1, to = 0;
	struct iovec local = {&to, 1}, remote = {&from, 1};
	return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
}

// Nodes that share a machine share /dev/shm, and each would have the segments of the other's ranks; and what a killed
// rank leaves behind goes with the node's directory.
static void add_open_mpi(const struct node *node, size_t rank, const json_t *open_mpi, json_t *env)
{
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)open_mpi, name, value)
		if (!json_object_get(env, name))
			json_object_set(env, name, value);
	autofree char *temp = fs_join(node->dir, "tmp");
	json_object_set_new(env, "OMPI_MCA_btl_vader_backing_directory", json_string(temp));
	json_object_set_new(env, "OMPI_MCA_btl_sm_backing_directory", json_string(temp));
	if (!may_copy()) // Open MPI would find out with the first large message, and complain in the rank's output
		set(env, "OMPI_MCA_btl_vader_single_copy_mechanism", "none");
	if (is_crowded(node, rank))
		set(env, "OMPI_MCA_mpi_yield_when_idle", "1");
}

// Do ranks reach each other by the network?
static bool are_apart(const struct node *node)
{
	for (size_t i = 1; node->mpi == MPI_FAMILY_MPICH && i < node->size; i++)
		if (node->machines[i] != node->machines[0])
			return true;
	return false;
}

// MPI_Finalize must not hang (preload/ucx_finalize.c). What is to be loaded goes before what the user has loaded. Its
// name must be one for the loader, which takes blanks and colons for the end of a name and complains in the rank's
// output about what it cannot load.
static void add_parting(const struct node *node, json_t *env)
{
	autofree char *path = fs_join(node->dir, "parting.so");
	struct statvfs v;
	struct stat st;
	if (path[strcspn(path, " \t\n:")] || statvfs(node->dir, &v) < 0 || v.f_flag & ST_NOEXEC)
		return;
	if (stat(path, &st) < 0 && fs_write(path, ucx_finalize_so, ucx_finalize_so_size, 0755, &(struct error){0}) < 0)
		return;
	const char *own = json_text(env, "LD_PRELOAD");
	own = own || node->container ? own : getenv("LD_PRELOAD"); // what this user loads is not in a container
	autofree char *all = own && *own ? mem_printf("%s:%s", path, own) : mem_strdup(path);
	json_object_set_new(env, "LD_PRELOAD", json_string(all));
}

// UCX, which MPICH talks through, would offer the others every device there is, and MPI_Init then fails where two nodes
// have one in common that connects nothing (docker0): it is told the one that peers reach us by. Within a machine it
// shares memory all the same.
void mpi_add_env(const struct node *node, size_t rank, const json_t *open_mpi, json_t *env)
{
	autofree char *number = mem_printf("%zu", rank), *size = mem_printf("%zu", node->size);
	json_object_set_new(env, "PMI_RANK", json_string(number));
	json_object_set_new(env, "PMI_SIZE", json_string(size));
	struct way way;
	if ((node->container || !getenv("UCX_NET_DEVICES")) && find_way(node->address, &way))
		set(env, "UCX_NET_DEVICES", way.device);
	if (are_apart(node))
		add_parting(node, env);
	// At its start Open MPI tries POSIX shared memory, and a rank that is killed just then (also one that was taken
	// for MPICH's) leaves it behind.
	set(env, "OMPI_MCA_shmem", "mmap");
	if (open_mpi)
		add_open_mpi(node, rank, open_mpi, env);
}
