// An agent that only exists: it reads the configuration an executor hands over, says hello by a file, starts one child and waits for its
// end. The real one is src/agent: this one lets the executor contract be tested without a controller.
//
// hello: the file $STANDIN_DIR/hello-RUN-K with the configuration line and what the agent found around it. As a bridge and a broom it is the real
// one: what ssh brings to a host is one program.
#include "agent/bridge.h"
#include "agent/broom.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// One child that carries nothing in its environment and ignores requests: only killing its family gets it.
static pid_t start_rank(const char *cgroups)
{
	const char *script = getenv("STANDIN_RUNS");
	char *argv[] = {"sh", "-c", (char *)(script ? script : "exec sleep 1000"), NULL};
	char *env[] = {"PATH=/usr/bin:/bin", NULL};
	struct proc_options options = {.argv = argv, .env = env, .in = -1, .out = -1, .err = -1, .session = true, .cgroups = cgroups};
	return proc_spawn(&options, NULL, NULL);
}

static void say_hello(json_t *config)
{
	const char *dir = json_string_value(json_object_get(config, "dir"));
	autofree char *mine = fs_join(dir, "agent.json");
	autofree char *hello = mem_printf("%s/hello-%s-%d", getenv("STANDIN_DIR"), json_string_value(json_object_get(config, "run")),
		(int)json_integer_value(json_object_get(config, "node")));
	autojson json_t *me = mem_json("{s:i, s:I}", "pid", (int)getpid(), "started", (json_int_t)proc_started(getpid()));
	autofree char *text = json_dumps(me, 0);
	mkdir(dir, 0700);
	fs_write(mine, text, strlen(text), 0600, NULL);
	json_object_set_new(config, "pid", json_integer(getpid()));
	json_object_set_new(config, "rank", json_integer(start_rank(json_string_value(json_object_get(config, "cgroups")))));
	json_object_set_new(config, "label", json_string(getenv("MUSTER_RUN")));
	json_object_set_new(config, "claimed", json_boolean(!fcntl((int)json_integer_value(json_object_get(config, "claim")), F_GETFD)));
	autofree char *all = json_dumps(config, 0);
	fs_write(hello, all, strlen(all), 0600, NULL);
}

static void be(json_t *config)
{
	const char *fail = getenv("STANDIN_FAILS");
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
	if (argc == 3)
		return broom_main(argv[2], *argv[1] == 's');
	if (getenv("STANDIN_SPEAKS")) {
		puts(getenv("STANDIN_SPEAKS"));
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
