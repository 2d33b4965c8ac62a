// An agent that only exists: it reads the configuration an executor hands over, says hello by a file, starts one child
// and waits for its end. The real one is src/agent: this one lets the executor contract be tested without a controller.
//
// hello: the file $STANDIN_DIR/hello-RUN-K with the configuration line and what the agent found around it. $STANDIN_DIR
// is /standin where nobody says otherwise, a volume of a container. Files there say how it is to behave: "fails" holds
// the number of a node whose agent ends at once, "speaks" what every agent says before it ends, "runs" the script of
// the child. As a bridge, what reaps leftovers, a container's first process and where it makes control groups it is the
// real one: what ssh and docker bring to a node is one program.
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "helper/bridge.h"
#include "helper/leftovers.h"
#include "helper/pause.h"
#include "node/rank_cgroup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *own_dir(void)
{
	const char *dir = getenv("STANDIN_DIR");
	return dir ? dir : "/standin";
}

static char *wish(const char *name)
{
	autofree char *path = fs_join(own_dir(), name);
	return fs_read(path, 4096, NULL, NULL);
}

// One child that carries nothing in its environment and ignores requests: only killing its family gets it.
static pid_t start_rank(const char *cgroups)
{
	autofree char *script = wish("runs");
	char *argv[] = {"sh", "-c", script ? script : "exec sleep 1000", NULL};
	char *env[] = {"PATH=/usr/bin:/bin", NULL};
	struct proc_options options = {.argv = argv,
		.env = env,
		.dir = own_dir(),
		.in = -1,
		.out = -1,
		.err = -1,
		.session = true,
		.cgroups = cgroups};
	return proc_spawn(&options, NULL, NULL);
}

static void say_hello(json_t *config)
{
	const char *dir = json_string_value(json_object_get(config, "dir"));
	autofree char *mine = fs_join(dir, "agent.json");
	autofree char *hello =
		mem_printf("%s/hello-%s-%d", own_dir(), json_string_value(json_object_get(config, "run")),
			(int)json_integer_value(json_object_get(config, "node")));
	const json_t *limits = json_object_get(config, "limits");
	const char *run = json_string_value(json_object_get(config, "run"));
	autojson json_t *groups = rank_cgroup_where(limits, run, NULL);
	autojson json_t *me = mem_json("{s:i, s:I, s:O}", "pid", (int)getpid(), "started",
		(json_int_t)proc_started(getpid()), "cgroups", groups);
	autofree char *text = json_dumps(me, 0);
	mkdir(dir, 0700);
	fs_write(mine, text, strlen(text), 0600, NULL);
	autofree char *procs = limits ? rank_cgroup_make(limits, run,
						(size_t)json_integer_value(json_object_get(config, "node")), NULL)
				      : NULL;
	if (procs)
		json_object_set_new(config, "cgroups", json_string(procs));
	char space[64] = "";
	if (readlink("/proc/self/ns/pid", space, sizeof space - 1) > 0)
		json_object_set_new(config, "space", json_string(space)); // of the numbers below
	json_object_set_new(config, "pid", json_integer(getpid()));
	json_object_set_new(
		config, "rank", json_integer(start_rank(json_string_value(json_object_get(config, "cgroups")))));
	json_object_set_new(config, "label", json_string(getenv("MUSTER_RUN")));
	json_object_set_new(config, "claimed",
		json_boolean(!fcntl((int)json_integer_value(json_object_get(config, "claim")), F_GETFD)));
	autofree char *all = json_dumps(config, 0);
	fs_write(hello, all, strlen(all), 0600, NULL);
}

static void be(json_t *config)
{
	autofree char *fail = wish("fails");
	if (fail && atoi(fail) == json_integer_value(json_object_get(config, "node")))
		_exit(1);
	say_hello(config);
	for (;;)
		pause();
}

static int digest(void)
{
	char hex[CRYPTO_HEX];
	return crypto_sha256_file("/proc/self/exe", hex, NULL) ? 1 : puts(hex) < 0;
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return strcmp(argv[1], "bridge") ? digest() : bridge_main();
	if (argc == 3 && strcmp(argv[1], "pause") == 0)
		return pause_main(atof(argv[2]));
	if (argc == 3)
		return leftovers_main(argv[2], strcmp(argv[1], "reap") == 0   ? LEFTOVERS_REAP
					       : strcmp(argv[1], "tidy") == 0 ? LEFTOVERS_TIDY
									      : LEFTOVERS_LIST);
	autofree char *words = wish("speaks");
	if (words) {
		puts(words);
		return 1;
	}
	signal(SIGCHLD, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	json_t *last = NULL;
	char *line = NULL;
	for (size_t size = 0; getline(&line, &size, stdin) > 0;) {
		if (last && !fork())
			be(last);
		json_decref(last);
		last = json_loads(line, 0, NULL);
	}
	// Whoever waits for a complaint shall not wait for the life of the agent.
	close(1);
	close(2);
	if (last)
		be(last);
	return 1;
}
