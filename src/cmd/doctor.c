#include "base/cgroup.h"
#include "base/clock.h"
#include "base/elf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "docker/engine.h"
#include "exec/executor.h"
#include "kube/access_review.h"
#include "kube/api_server.h"
#include "node/loopback.h"
#include "node/node_dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LITTLE_DISK (1ull << 30)
enum { SPARE_FILES = 64 }; // descriptors the controller needs beside one for each node
enum { AGENT_MAX = 256 << 20 };
enum { FEW_NODES = 100 };           // fewer than this is worth a warning
static const double patience = 5.0; // seconds for a program to tell its version
#define LOCAL "local executor"
#define DOCKER "docker executor"
#define KUBERNETES "kubernetes executor"
#define LAUNCH "launch modes"

static const struct options_usage usage = {
	.about = "Checks what works on this machine and what is missing, and says what to do about it.\n\n"
		 "Exit status: 0 when the local executor works, 3 when it does not.",
};

enum state {
	OK,
	WARN,    // works, with less
	MISSING, // does not work
};

static const char *const states[] = {"ok", "warn", "missing"};

static void add(
	json_t *checks, const char *group, const char *name, enum state state, const char *text, const char *advice)
{
	autofree char *clean = str_utf8_clean(text, strlen(text));
	json_array_append_new(checks, mem_json("{s:s, s:s, s:s, s:s, s:s*}", "group", group, "name", name, "state",
					      states[state], "text", clean, "advice", state == OK ? NULL : advice));
}

// --- this machine -----------------------------------------------------------

static void check_nodes_dir(json_t *checks)
{
	struct error err;
	if (node_dirs_check(&err)) {
		add(checks, LOCAL, "nodes directory", MISSING, err.text,
			"name a directory of your own, mode 0700, in MUSTER_NODES_DIR");
		return;
	}
	autofree char *base = node_dirs_base();
	add(checks, LOCAL, "nodes directory", OK, base, NULL);
	// The base itself may not be there yet: the file system is that of what is.
	struct statvfs fs;
	while (statvfs(base, &fs)) {
		char *slash = strrchr(base, '/');
		if (!slash || slash == base)
			return;
		*slash = 0;
	}
	unsigned long long free_bytes = (unsigned long long)fs.f_bavail * fs.f_frsize;
	autofree char *amount = str_bytes((double)free_bytes);
	autofree char *text = mem_printf("%s free", amount);
	add(checks, LOCAL, "disk", free_bytes < LITTLE_DISK ? WARN : OK, text,
		"make room, or name another directory in MUSTER_NODES_DIR");
	if (fs.f_flag & ST_NOEXEC)
		add(checks, LOCAL, "programs on it", WARN, "the file system of the nodes directory is mounted noexec",
			"programs among the inputs cannot be run: name another directory in MUSTER_NODES_DIR");
}

static void check_loopback(json_t *checks)
{
	struct error err;
	char address[16];
	uint32_t last = 0;
	autoclose int fd = loopback_claim(&last, address, &err);
	if (fd < 0) {
		add(checks, LOCAL, "loopback addresses", MISSING, err.text,
			"bring the loopback interface up: ip link set lo up");
		return;
	}
	autofree char *text = mem_printf("%s and on are free", address);
	add(checks, LOCAL, "loopback addresses", OK, text, NULL);
}

static int read_agent(const char *path, struct elf *elf, struct error *err)
{
	size_t len;
	autofree char *bytes = fs_read(path, AGENT_MAX, &len, err);
	return bytes ? elf_read(bytes, len, elf, err) : -1;
}

static void check_agent(json_t *checks)
{
	autofree char *path = node_dirs_agent();
	if (access(path, X_OK)) {
		autofree char *text = mem_printf("%s: %s", path, strerror(errno));
		add(checks, LOCAL, "agent", MISSING, text, "build it, or name it in MUSTER_AGENT");
		return;
	}
	struct elf elf;
	bool fixed = read_agent(path, &elf, NULL) == 0 && !elf.dynamic;
	autofree char *text = mem_printf("%s, %s", path, fixed ? "static" : "needs shared libraries");
	add(checks, LOCAL, "agent", fixed ? OK : WARN, text,
		"it works here; an agent for other machines is built with -Dagent_static=true");
}

static void check_limits(json_t *checks)
{
	static const char *const names[CGROUP_COUNT] = {"cpus limit", "memory limit", "safe kill"};
	struct cgroup_place places[CGROUP_COUNT];
	cgroup_survey(places);
	for (size_t i = 0; i < CGROUP_COUNT; i++) {
		const struct cgroup_place *place = &places[i];
		autofree char *text = place->dir ? mem_printf("cgroup v%d, below %s", place->v2 ? 2 : 1, place->dir)
						 : mem_strdup(place->why);
		add(checks, LOCAL, names[i], place->dir ? OK : WARN, text,
			i == CGROUP_PIDS ? "nodes with limits are killed without it too, a little slower"
					 : "jobs that ask for this limit are refused; run as root, or in a delegated "
					   "group: systemd-run "
					   "--user --scope "
					   "-p Delegate=yes muster run ...");
	}
	cgroup_forget(places);
}

static void check_files(json_t *checks)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	unsigned long long nodes = files.rlim_cur > SPARE_FILES ? files.rlim_cur - SPARE_FILES : 0;
	autofree char *text = mem_printf("%llu, enough for %llu nodes", (unsigned long long)files.rlim_cur, nodes);
	add(checks, LOCAL, "open files", nodes ? nodes < FEW_NODES ? WARN : OK : MISSING, text,
		"raise it with `ulimit -n`");
}

static void check_terminal(json_t *checks)
{
	autoclose int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	char name[64];
	bool works = fd >= 0 && !grantpt(fd) && !unlockpt(fd) && !ptsname_r(fd, name, sizeof name) &&
		     !access(name, R_OK | W_OK);
	autofree char *text = works ? mem_strdup("/dev/pts") : mem_printf("no pseudo-terminal: %s", strerror(errno));
	add(checks, LOCAL, "terminals", works ? OK : WARN, text,
		"`muster exec` gives no terminal: mount /dev/pts and /dev/ptmx");
}

static void check_clock(json_t *checks)
{
	time_t now = (time_t)clock_wall();
	struct tm tm;
	char date[32];
	gmtime_r(&now, &tm);
	strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S UTC", &tm);
	struct timex info = {0};
	bool synced = adjtimex(&info) >= 0 && !(info.status & STA_UNSYNC);
	autofree char *text = mem_printf("%s, %s", date, synced ? "synchronised" : "nothing says it is synchronised");
	// One machine has one clock: what others think the time is does not matter here.
	add(checks, LOCAL, "clock", tm.tm_year + 1900 < 2020 ? WARN : OK, text,
		"set it: certificates and the report's times depend on it");
}

static void check_machine(json_t *checks)
{
	autofree char *memory = str_bytes((double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE));
	autofree char *text = mem_printf("%ld cores, %s of memory", sysconf(_SC_NPROCESSORS_ONLN), memory);
	add(checks, LOCAL, "machine", OK, text, NULL);
}

static void check_engine(json_t *checks)
{
	struct error err = {0};
	struct engine *engine = engine_open(&err);
	if (!engine) {
		add(checks, DOCKER, "engine", MISSING, err.text,
			"start a Docker Engine (Debian: apt install docker.io), name one in DOCKER_HOST, or join its "
			"group `docker`");
		return;
	}
	autofree char *text = mem_printf("Docker Engine %s at %s", engine_version(engine), engine_place(engine));
	add(checks, DOCKER, "engine", OK, text, NULL);
	add(checks, DOCKER, "live inputs", engine_is_local(engine) ? OK : WARN,
		engine_is_local(engine) ? "the engine sees this machine's files"
					: "the engine does not see this machine's files",
		"inputs with `live: true` are refused, without it they are copied; `run.container` on this machine is "
		"refused");
	engine_free(engine);
}

// --- Kubernetes -------------------------------------------------------------

// NULL when it does not answer.
static json_t *ask_quickly(struct api_server *server, const char *path, struct error *err)
{
	struct api_server_ask ask = {.method = "GET", .path = path, .idle = patience, .once = true};
	json_t *answer = NULL;
	int status = api_server_ask(server, &ask, &answer, err);
	if (status >= 0 && status < 400)
		return answer;
	json_decref(answer);
	return NULL;
}

// Rights in a namespace can be asked for whether it is there or not. Without the right to look at it, nobody can say.
static void check_namespace(json_t *checks, struct api_server *server)
{
	const char *name = api_server_namespace(server);
	autofree char *path = mem_printf("/api/v1/namespaces/%s", name);
	json_t *answer = NULL;
	struct error err = {0};
	int status = api_server_ask(server,
		&(struct api_server_ask){.method = "GET", .path = path, .idle = patience, .once = true}, &answer, &err);
	bool gone = status == 404, ending = json_object_get(json_object_get(answer, "metadata"), "deletionTimestamp");
	autofree char *text = gone     ? mem_printf("'%s' is not there", name)
			      : ending ? mem_printf("'%s' is being deleted", name)
				       : mem_strdup(name);
	json_decref(answer);
	add(checks, KUBERNETES, "namespace", gone || ending ? MISSING : OK, text,
		"create it (kubectl create namespace NAME), or name another in the context of the kubeconfig or in "
		"`cluster.kubernetes.namespace`");
}

static void check_rights(json_t *checks, struct api_server *server)
{
	struct error err = {0};
	autojson json_t *missing = access_review_missing(server, NULL, NULL, &err);
	if (!missing) {
		add(checks, KUBERNETES, "rights", MISSING, err.text, "ask the cluster's administrator");
		return;
	}
	autofree char *list = access_review_print(missing);
	autofree char *text =
		*list ? mem_printf("missing in the namespace '%s': %s", api_server_namespace(server), list)
		      : mem_printf("all that a run needs in the namespace '%s'", api_server_namespace(server));
	add(checks, KUBERNETES, "rights", *list ? MISSING : OK, text,
		"examples/kubernetes/role.yaml is the role that a run needs: have it applied and bound to you");
}

// Pods bring the agent of this machine.
static void check_pods_agent(json_t *checks)
{
	autofree char *path = node_dirs_agent();
	struct error err = {0};
	struct elf elf;
	bool good = read_agent(path, &elf, &err) == 0 && !elf.dynamic;
	autofree char *text = good        ? mem_printf("for machines with kubernetes.io/arch=%s", elf.machine)
			      : *err.text ? mem_printf("%s: %s", path, err.text)
					  : mem_printf("%s needs shared libraries", path);
	add(checks, KUBERNETES, "agent of pods", good ? OK : MISSING, text,
		"build it with -Dagent_static=true, name another in MUSTER_AGENT, or an image with one in "
		"`cluster.kubernetes.agent_image`");
}

static void check_kubernetes(json_t *checks)
{
	struct error err = {0};
	struct api_server *server = api_server_open(NULL, NULL, &err);
	if (!server) {
		add(checks, KUBERNETES, "configuration", MISSING, err.text,
			api_server_is_configured() ? "`kubectl config view` shows what it reads"
						   : "name a kubeconfig in KUBECONFIG, or put one at ~/.kube/config");
		return;
	}
	const char *context = api_server_context(server);
	autofree char *where = *context ? mem_printf("context '%s', %s", context, api_server_source(server))
					: mem_printf("the service account of this pod, %s", api_server_source(server));
	add(checks, KUBERNETES, "configuration", OK, where, NULL);
	check_pods_agent(checks);
	autojson json_t *version = ask_quickly(server, "/version", &err);
	if (version) {
		autofree char *text = mem_printf(
			"Kubernetes %s at %s", json_text_or(version, "gitVersion", "?"), api_server_url(server));
		add(checks, KUBERNETES, "API server", OK, text, NULL);
		check_namespace(checks, server);
		check_rights(checks, server);
	} else {
		add(checks, KUBERNETES, "API server", MISSING, err.text,
			strstr(err.text, "does not accept")
				? "give the kubeconfig credentials that this cluster knows: log in again, or ask its "
				  "administrator"
				: "`kubectl version` shows whether it is reachable; the kubeconfig may name a proxy in "
				  "`proxy-url`");
	}
	api_server_free(server);
}

// --- programs ---------------------------------------------------------------

// What a program prints on its standard output within patience, owned by the caller; NULL when it is not there or
// fails.
static char *output_of(char *const *argv)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return NULL;
	autoclose int in = ends[0], out = ends[1];
	struct proc_options options = {
		.argv = argv, .in = -1, .out = out, .err = -1, .group = true, .die_with_parent = true};
	pid_t pid = proc_spawn(&options, NULL, NULL);
	if (pid < 0)
		return NULL;
	close(steal_fd(&out));
	autostr struct str text = {0};
	double end = clock_mono() + patience;
	for (ssize_t n = 1; n > 0;) {
		char chunk[4096];
		struct pollfd wait = {.fd = in, .events = POLLIN};
		int left = (int)((end - clock_mono()) * 1000);
		n = left > 0 && poll(&wait, 1, left) > 0 ? read(in, chunk, sizeof chunk) : -1;
		if (n > 0)
			str_add(&text, chunk, (size_t)n);
	}
	kill(-pid, SIGKILL); // a no-op when it has ended
	int status;
	waitpid(pid, &status, 0);
	return text.len ? str_steal(&text) : NULL;
}

// The word after mark in text: "Version:   4.0.2" gives "4.0.2". Owned by the caller.
static char *word_after(const char *text, const char *mark)
{
	const char *at = text ? strstr(text, mark) : NULL;
	if (!at)
		return mem_strdup("?");
	at += strlen(mark);
	at += strspn(at, " \t");
	return mem_strndup(at, strcspn(at, " \t\r\n"));
}

static char *find(const char *program)
{
	const char *path = getenv("PATH");
	return fs_which(program, path ? path : "/usr/local/bin:/usr/bin:/bin");
}

// One MPI family: its launcher stands for the library, which it is packaged with.
static bool check_mpi(json_t *checks, const char *family, const char *const *programs, const char *mark)
{
	for (; *programs; programs++) {
		autofree char *path = find(*programs);
		char *argv[] = {path, "--version", NULL};
		autofree char *text = path ? output_of(argv) : NULL;
		if (!text || !strstr(text, mark))
			continue;
		autofree char *version = word_after(text, mark);
		autofree char *line = mem_printf("%s %s (%s)", family, version, path);
		add(checks, LAUNCH, "mpi", OK, line, NULL);
		return true;
	}
	return false;
}

static void check_launch(json_t *checks)
{
	static const char *const mpich[] = {"mpiexec.mpich", "mpiexec.hydra", "mpiexec", NULL};
	static const char *const openmpi[] = {"mpirun.openmpi", "mpirun", NULL};
	add(checks, LAUNCH, "none, ps", OK, "need nothing", NULL);
	if (!check_mpi(checks, "MPICH", mpich, "Version:"))
		add(checks, LAUNCH, "mpi", WARN, "no MPICH found",
			"install MPICH to build and run MPI programs; muster itself does not need its mpiexec");
	check_mpi(checks, "Open MPI", openmpi, "(Open MPI)");
	autofree char *python = find("python3");
	char *argv[] = {
		python, "-c", "import importlib.util as u; print('torch' if u.find_spec('torch') else 'none')", NULL};
	autofree char *torch = python ? output_of(argv) : NULL;
	bool found = torch && str_starts(torch, "torch");
	add(checks, LAUNCH, "torch", found ? OK : WARN,
		found    ? "python3 has torch"
		: python ? "python3 has no torch"
			 : "no python3 found",
		"install PyTorch for python3, or use the python of your choice in `command`; muster itself does not "
		"need it");
}

#define REMOTE "other executors"

static void check_ssh(json_t *checks)
{
	autofree char *path = find("ssh");
	// It says its version on its standard error.
	char *argv[] = {"/bin/sh", "-c", "exec ssh -V 2>&1", NULL};
	autofree char *text = path ? output_of(argv) : NULL;
	if (!text)
		add(checks, REMOTE, "ssh", WARN, "no ssh found", "install OpenSSH's client to run on other hosts");
	else {
		text[strcspn(text, ",\n")] = 0;
		autofree char *line = mem_printf("%s (%s)", text, path);
		add(checks, REMOTE, "ssh", OK, line, NULL);
	}
}

// --- telling ----------------------------------------------------------------

static json_t *executor_names(void)
{
	json_t *names = json_array();
	for (size_t i = 0; executors[i]; i++)
		json_array_append_new(names, json_string(executors[i]->traits->name));
	return names;
}

static void print_checks(const json_t *checks, bool works)
{
	const char *group = "";
	size_t i;
	json_t *check;
	json_array_foreach (checks, i, check) {
		if (strcmp(group, json_text(check, "group")) != 0) {
			printf("%s%s\n", *group ? "\n" : "", json_text(check, "group"));
			group = json_text(check, "group");
		}
		printf("  %-8s %-19s %s\n", json_text(check, "state"), json_text(check, "name"),
			json_text(check, "text"));
		if (json_text(check, "advice"))
			printf("  %-8s %-19s -> %s\n", "", "", json_text(check, "advice"));
	}
	autojson json_t *names = executor_names();
	json_t *name;
	fputs("\nexecutors:", stdout);
	json_array_foreach (names, i, name)
		printf(" %s", json_string_value(name));
	printf("\n%s\n",
		works ? "the local executor works" : "the local executor does not work: see what is missing above");
}

int cmd_doctor(int argc, char **argv, struct error *err)
{
	bool json = false;
	const struct option_row rows[] = {{"json", 0, NULL, "print JSON", &json}, {0}};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	static void (*const all[])(json_t *) = {check_machine, check_nodes_dir, check_loopback, check_agent,
		check_limits, check_files, check_terminal, check_clock, check_ssh, check_engine, check_kubernetes,
		check_launch};
	autojson json_t *checks = json_array();
	for (size_t i = 0; i < countof(all); i++)
		all[i](checks);
	bool works = true;
	size_t i;
	json_t *check;
	json_array_foreach (checks, i, check)
		works = works && (strcmp(json_text(check, "group"), LOCAL) != 0 ||
					 strcmp(json_text(check, "state"), states[MISSING]) != 0);
	if (json) {
		autojson json_t *tree =
			mem_json("{s:b, s:O, s:o}", "ok", works, "checks", checks, "executors", executor_names());
		autofree char *text = json_dumps(tree, JSON_COMPACT);
		puts(text);
	} else {
		print_checks(checks, works);
	}
	return works ? 0 : ERROR_SYSTEM;
}
