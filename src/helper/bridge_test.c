#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "helper/bridge.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

// --- an agent that echoes ---------------------------------------------------------
// The bridge starts its own executable, which here is this test.

static int dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (!connect(fd, (struct sockaddr *)&a, sizeof a))
		return fd;
	close(fd);
	return -1;
}

// Dials again when the line breaks; "bye" ends it.
static void echo(const char *path)
{
	for (;; poll(NULL, 0, 5)) {
		int fd = dial(path);
		char bytes[4096];
		for (ssize_t n; fd >= 0 && (n = read(fd, bytes, sizeof bytes)) > 0;) {
			if (n >= 3 && memcmp(bytes, "bye", 3) == 0)
				return;
			fs_write_fd(fd, bytes, (size_t)n, NULL);
		}
		if (fd >= 0)
			close(fd);
	}
}

static int be_an_agent(void)
{
	char line[4096];
	if (!fgets(line, sizeof line, stdin))
		return 1;
	if (getenv("TEST_COMPLAINT")) {
		fprintf(stderr, "muster-agent: %s\n", getenv("TEST_COMPLAINT"));
		return 3;
	}
	json_t *config = json_loads(line, 0, NULL);
	const char *dir = json_string_value(json_object_get(config, "dir"));
	autofree char *record = mem_printf("{\"pid\": %d, \"started\": %llu}", (int)getpid(), proc_started(getpid()));
	fs_write("agent.json", record, strlen(record), 0600, NULL);
	fs_write("config", line, strlen(line), 0600, NULL);
	close(0);
	close(1);
	close(2);
	echo(json_string_value(json_object_get(config, "url")) + strlen("unix:"));
	chdir("/");
	fs_remove(dir, NULL);
	return 0;
}

// --- the executor's side ----------------------------------------------------------

static char *nodes; // the base directory of nodes

static pid_t start(int *fd)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	char *argv[] = {"/proc/self/exe", "bridge", NULL};
	struct proc_options options = {.argv = argv, .in = ends[1], .out = ends[1], .err = 2, .die_with_parent = true};
	pid_t pid = proc_spawn(&options, NULL, NULL);
	close(ends[1]);
	*fd = ends[0];
	return pid;
}

// The next line that is not blank.
static char *get(int fd)
{
	struct str line = {0};
	char c;
	while (read(fd, &c, 1) == 1 && (c != '\n' || !line.len))
		if (c != '\n')
			str_add(&line, &c, 1);
	return str_steal(&line);
}

static void says(int fd, const char *expected)
{
	autofree char *line = get(fd);
	assert_string_equal(line, expected);
}

static void put(int fd, const char *text)
{
	assert_int_equal(fs_write_fd(fd, text, strlen(text), NULL), 0);
}

static void echoes(int fd, const char *text)
{
	autofree char *line = mem_printf("%s\n", text);
	put(fd, line);
	says(fd, text);
}

static int status_of(pid_t pid)
{
	int status;
	for (double end = clock_mono() + 10; waitpid(pid, &status, WNOHANG) == 0; poll(NULL, 0, 2))
		if (clock_mono() > end)
			kill(pid, SIGKILL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static pid_t ready(int *fd, const char *config)
{
	pid_t pid = start(fd);
	says(*fd, "muster-bridge config");
	put(*fd, config);
	says(*fd, "muster-bridge ready");
	return pid;
}

static const char first[] = "{\"run\": \"r\", \"node\": 0, \"token\": \"t\"}\n";
static const char again[] = "{\"run\": \"r\", \"node\": 0, \"token\": \"t\", \"again\": true}\n";

// --- tests ------------------------------------------------------------------------

static void starts_carries_and_clears_away(void **state)
{
	int fd;
	pid_t pid = ready(&fd, first);
	echoes(fd, "hello");
	autofree char *path = mem_printf("%s/r/node-0/config", nodes);
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	autojson json_t *config = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(config, "url")), "unix:bridge");
	assert_string_equal(json_string_value(json_object_get(config, "token")), "t");
	assert_non_null(json_string_value(json_object_get(config, "address")));
	struct stat st;
	autofree char *dir = mem_printf("%s/r/node-0", nodes);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	put(fd, "bye");
	assert_int_equal(status_of(pid), BRIDGE_CLEAN);
	assert_false(fs_exists(nodes) && rmdir(nodes));
	close(fd);
}

static void agent_outlives_it_and_is_found_again(void **state)
{
	int fd;
	pid_t pid = ready(&fd, first);
	echoes(fd, "one");
	close(fd);
	assert_int_equal(status_of(pid), BRIDGE_BROKEN);
	pid = ready(&fd, again);
	echoes(fd, "two");
	// A third takes over; what carried before ends.
	int other;
	pid_t next = ready(&other, again);
	assert_int_equal(status_of(pid), -SIGTERM);
	echoes(other, "three");
	put(other, "bye");
	assert_int_equal(status_of(next), BRIDGE_CLEAN);
	close(fd);
	close(other);
	// Now there is none, and none is started.
	pid = start(&fd);
	says(fd, "muster-bridge config");
	put(fd, again);
	says(fd, "muster-bridge gone the agent has ended");
	assert_int_equal(status_of(pid), BRIDGE_CLEAN);
	autofree char *run = mem_printf("%s/r", nodes);
	assert_false(fs_exists(run));
	close(fd);
}

static void kill_agent(void)
{
	autofree char *path = mem_printf("%s/r/node-0/agent.json", nodes);
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	autojson json_t *record = json_loads(text, 0, NULL);
	kill((pid_t)json_integer_value(json_object_get(record, "pid")), SIGKILL);
}

static void killed_agent_leaves_something(void **state)
{
	int fd;
	pid_t pid = ready(&fd, first);
	echoes(fd, "one");
	kill_agent();
	assert_int_equal(status_of(pid), BRIDGE_DEAD);
	close(fd);
	autofree char *run = mem_printf("%s/r", nodes);
	fs_remove(run, NULL);
}

// Until the bridge has something that nobody takes.
static void fill(int fd)
{
	static char bytes[8192];
	for (int sent = 0, came = 0; came == sent;) {
		assert_int_equal(fs_write_fd(fd, bytes, sizeof bytes, NULL), 0);
		sent += (int)sizeof bytes;
		for (double end = clock_mono() + 0.2; came < sent && clock_mono() < end; poll(NULL, 0, 1))
			assert_int_equal(ioctl(fd, FIONREAD, &came), 0);
	}
}

static double processor_time(pid_t pid)
{
	clockid_t clock;
	struct timespec used;
	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &used), 0);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

// The agent has ended, and the executor is yet to take what it said: that wait is idle.
static void a_slow_executor_costs_nothing(void **state)
{
	int fd;
	pid_t pid = ready(&fd, first);
	echoes(fd, "one");
	fill(fd);
	kill_agent();
	double before = processor_time(pid);
	poll(NULL, 0, 500);
	assert_true(processor_time(pid) - before < 0.25);
	char bytes[8192];
	while (read(fd, bytes, sizeof bytes) > 0)
		;
	assert_int_equal(status_of(pid), BRIDGE_DEAD);
	close(fd);
	autofree char *run = mem_printf("%s/r", nodes);
	fs_remove(run, NULL);
}

static void agent_that_cannot_start_says_why(void **state)
{
	setenv("TEST_COMPLAINT", "no space", 1);
	int fd;
	pid_t pid = start(&fd);
	unsetenv("TEST_COMPLAINT");
	says(fd, "muster-bridge config");
	put(fd, first);
	says(fd, "muster-bridge gone muster-agent: no space");
	assert_int_equal(status_of(pid), BRIDGE_CLEAN);
	autofree char *run = mem_printf("%s/r", nodes);
	assert_false(fs_exists(run));
	close(fd);
}

// A stream that was cut without a word: nothing comes any more. What the agent says does not count, what the executor
// says does.
static void ends_when_its_line_is_silent(void **state)
{
	int fd;
	pid_t pid = ready(&fd, "{\"run\": \"r\", \"node\": 0, \"silent\": 2}\n");
	for (double end = clock_mono() + 2.5; clock_mono() < end; poll(NULL, 0, 20))
		echoes(fd, "here");
	assert_int_equal(status_of(pid), BRIDGE_BROKEN);
	close(fd);
	pid = ready(&fd, "{\"run\": \"r\", \"node\": 0, \"silent\": 0.01, \"heartbeat\": 1000}\n");
	echoes(fd, "one");
	poll(NULL, 0, 100);
	echoes(fd, "two"); // heartbeats are further apart
	put(fd, "bye");
	assert_int_equal(status_of(pid), BRIDGE_CLEAN);
	close(fd);
}

// The agent is given the controller's own address, and the bridge is through.
static void lets_the_agent_dial(void **state)
{
	static const char direct[] =
		"{\"run\": \"r\", \"node\": 0, \"direct\": true, \"url\": \"wss://10.0.0.1:7000\"}\n";
	int fd;
	autofree char *dir = mem_printf("%s/r/node-0", nodes), *path = fs_join(dir, "config"),
		      *socket = fs_join(dir, "bridge"), *record = fs_join(dir, "agent.json");
	pid_t pid = ready(&fd, direct);
	assert_int_equal(status_of(pid), BRIDGE_CLEAN);
	close(fd);
	autofree char *text = fs_read(path, 4096, NULL, NULL);
	autojson json_t *config = json_loads(text, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(config, "url")), "wss://10.0.0.1:7000");
	assert_false(fs_exists(socket));
	// The next one finds it.
	pid = ready(&fd, direct);
	assert_int_equal(status_of(pid), BRIDGE_CLEAN);
	close(fd);
	autofree char *process = fs_read(record, 4096, NULL, NULL);
	autojson json_t *agent = json_loads(process, 0, NULL);
	kill((pid_t)json_integer_value(json_object_get(agent, "pid")), SIGKILL);
	autofree char *run = mem_printf("%s/r", nodes);
	fs_remove(run, NULL);
}

static void bad_configuration(void **state)
{
	static const char *const bad[] = {"\n", "[]\n", "{\"run\": \"r\"}\n", "{\"run\": 1, \"node\": 0}\n",
		"{\"run\": \"../r\", \"node\": 0}\n", "{\"run\": \"a/b\", \"node\": 0}\n",
		"{\"run\": \"r\", \"node\": 0, \"direct\": true}\n"};
	for (size_t i = 0; i < countof(bad); i++) {
		int fd;
		pid_t pid = start(&fd);
		says(fd, "muster-bridge config");
		put(fd, bad[i]);
		autofree char *line = get(fd);
		assert_true(str_starts(line, "muster-bridge gone "));
		assert_int_equal(status_of(pid), BRIDGE_DEAD);
		close(fd);
	}
}

static int set_up(void **state)
{
	char template[] = "/tmp/bridge.XXXXXX";
	nodes = mem_printf("%s/nodes", mkdtemp(template));
	return setenv("MUSTER_NODES_DIR", nodes, 1);
}

static int tear_down(void **state)
{
	*strrchr(nodes, '/') = 0;
	int rc = fs_remove(nodes, NULL);
	free(nodes);
	return rc;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2)
		return bridge_main();
	if (getenv("MUSTER_RUN") && strcmp(getenv("MUSTER_RUN"), "r") == 0)
		return be_an_agent();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_carries_and_clears_away),
		cmocka_unit_test(agent_outlives_it_and_is_found_again),
		cmocka_unit_test(killed_agent_leaves_something),
		cmocka_unit_test(a_slow_executor_costs_nothing),
		cmocka_unit_test(agent_that_cannot_start_says_why),
		cmocka_unit_test(ends_when_its_line_is_silent),
		cmocka_unit_test(lets_the_agent_dial),
		cmocka_unit_test(bad_configuration),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
