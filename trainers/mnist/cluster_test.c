#include "mnist/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = {"PS_HOSTS", "WORKER_HOSTS", "JOB_NAME", "TASK_INDEX", "POD_NAME", "TF_CONFIG"};

// ENVIRONMENT is NAME, VALUE, NAME, VALUE ..., NULL.
struct given {
	struct cluster_words words;
	const char *environment[13];
};

static void set_environment(const struct given *g)
{
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		unsetenv(names[i]);
	for (size_t i = 0; g->environment[i]; i += 2)
		assert_int_equal(setenv(g->environment[i], g->environment[i + 1], 1), 0);
}

static void check(const struct given *g, enum cluster_role role, uint32_t index, uint32_t ps, uint32_t workers)
{
	struct cluster c;
	set_environment(g);
	cluster_init(&c, &g->words);
	assert_int_equal(c.role, role);
	assert_int_equal(c.ps_count, ps);
	assert_int_equal(c.worker_count, workers);
	if (role != CLUSTER_ALONE)
		assert_int_equal(c.index, index);
	cluster_fini(&c);
}

// It ends the process: so a copy is asked. One line that holds WORDS, and status 2.
static void check_wrong(const struct given *g, const char *words)
{
	int pipes[2], status;
	char text[2000];
	size_t size = 0;
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct cluster c;
		dup2(pipes[1], 2);
		set_environment(g);
		cluster_init(&c, &g->words);
		_exit(0);
	}
	close(pipes[1]);
	for (ssize_t n; (n = read(pipes[0], text + size, sizeof text - 1 - size)) > 0;)
		size += (size_t)n;
	text[size] = 0;
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 2 || !strstr(text, words) ||
		strchr(text, '\n') != text + size - 1)
		fail_msg("expected status 2 and '%s', got %d and '%s'", words, status, text);
}

#define NO_WORDS                                                                                                       \
	{                                                                                                              \
		.task_index = -1                                                                                       \
	}
#define TWO "PS_HOSTS", "a:1,b:2", "WORKER_HOSTS", "c:3,d:4,e:5"
#define CONFIG(task)                                                                                                   \
	"{\"cluster\": {\"ps\": [\"a:1\"], \"chief\": [\"b:2\"], \"worker\": [\"c:3\", \"d:4\"]}, \"task\": " task "}"

static void test_found(void **state)
{
	(void)state;
	check(&(struct given){NO_WORDS, {NULL}}, CLUSTER_ALONE, 0, 0, 0);
	check(&(struct given){NO_WORDS, {"POD_NAME", "x-7", "PS_HOSTS", "", NULL}}, CLUSTER_ALONE, 0, 0,
		0); // every pod has a name
	check(&(struct given){{"a:1", "b:2,c:3", "worker", 1}, {NULL}}, CLUSTER_WORKER, 1, 1, 2);
	check(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "ps", "TASK_INDEX", "1", NULL}}, CLUSTER_PS, 1, 2, 3);
	check(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "worker", "POD_NAME", "run-worker-2", NULL}}, CLUSTER_WORKER,
		2, 2, 3);
	// The command line goes before the environment, the environment before TF_CONFIG, and TASK_INDEX before
	// POD_NAME.
	check(&(struct given){{"[::1]:1", NULL, "worker", 0}, {TWO, "JOB_NAME", "ps", "TASK_INDEX", "1", NULL}},
		CLUSTER_WORKER, 0, 1, 3);
	check(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "worker", "TASK_INDEX", "0", "POD_NAME", "x-2", NULL}},
		CLUSTER_WORKER, 0, 2, 3);
	check(&(struct given){NO_WORDS,
		      {"PS_HOSTS", "a:1,b:2", "TF_CONFIG", CONFIG("{\"type\": \"ps\", \"index\": 0}"), NULL}},
		CLUSTER_PS, 0, 2, 3);
	// A chief is the first worker; the others come after it.
	check(&(struct given){NO_WORDS, {"TF_CONFIG", CONFIG("{\"type\": \"chief\", \"index\": 0}"), NULL}},
		CLUSTER_WORKER, 0, 1, 3);
	check(&(struct given){NO_WORDS, {"TF_CONFIG", CONFIG("{\"type\": \"worker\", \"index\": 1}"), NULL}},
		CLUSTER_WORKER, 2, 1, 3);
}

static void test_wrong(void **state)
{
	(void)state;
	static const char *const hosts[][2] = {{"a", "'a' is not HOST:PORT"}, {":1", "':1' is not"},
		{"a:", "'a:' is not"}, {"a:0", "'a:0' is not"}, {"a:65536", "'a:65536' is not"},
		{"a:99999999999999999999", "is not HOST:PORT"}, {"a:1x", "'a:1x' is not"}, {"a: 1", "'a: 1' is not"},
		{"a:-1", "'a:-1' is not"}, {"a:1,", "'' is not"}, {",", "'' is not"},
		{"a:1,b:1,a:1", "'a:1' stands there twice"}};
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		check_wrong(&(struct given){NO_WORDS, {"PS_HOSTS", hosts[i][0], NULL}}, hosts[i][1]);
		check_wrong(&(struct given){{"a:1", hosts[i][0], "worker", 0}, {NULL}}, hosts[i][1]);
	}
	static const char *const pods[] = {"x", "1x", "1000", "99999999999999999999", "run-worker-", "run-worker-2b"};
	for (size_t i = 0; i < sizeof pods / sizeof *pods; i++)
		check_wrong(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "worker", "POD_NAME", pods[i], NULL}},
			"expected NAME-NUMBER");
	check_wrong(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "worker", "TASK_INDEX", "3", NULL}},
		"this is worker 3, but there are 3");
	check_wrong(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "worker", NULL}}, "which worker is this?");
	check_wrong(
		&(struct given){NO_WORDS, {TWO, "TASK_INDEX", "0", NULL}}, "is this a parameter server or a worker?");
	check_wrong(&(struct given){NO_WORDS, {TWO, "JOB_NAME", "boss", "TASK_INDEX", "0", NULL}},
		"the job name is 'boss'");
	check_wrong(&(struct given){NO_WORDS, {"JOB_NAME", "worker", NULL}}, "no parameter servers");
}

static void test_too_many(void **state)
{
	(void)state;
	char list[1001 * 8 + 1] = "";
	for (int i = 0; i < 1001; i++)
		snprintf(list + strlen(list), sizeof list - strlen(list), "%sh:%d", i ? "," : "", i + 1);
	check_wrong(&(struct given){NO_WORDS, {"WORKER_HOSTS", list, NULL}}, "more than 1000");
	*strrchr(list, ',') = 0;
	check_wrong(&(struct given){NO_WORDS,
			    {"PS_HOSTS", list, "WORKER_HOSTS", "a:1", "JOB_NAME", "ps", "TASK_INDEX", "0", NULL}},
		"1000 parameter servers, expected at most 796");
}

static void test_wrong_config(void **state)
{
	(void)state;
	static const char *const configs[][2] = {{"{", "TF_CONFIG: "}, {"[]", "not an object"},
		{"{\"task\": 1, \"task\": 2}", "duplicate"},
		{"{\"cluster\": {\"ps\": \"a:1\"}}", "cluster.ps is no list"},
		{"{\"cluster\": {\"worker\": [1]}}", "cluster.worker[0] is no text"},
		{"{\"cluster\": {\"ps\": [\"a\"]}}", "TF_CONFIG: 'a' is not HOST:PORT"},
		{CONFIG("{\"type\": \"ps\"}"), "which ps is this?"},
		{CONFIG("{\"index\": 0}"), "is this a parameter server or a worker?"},
		{CONFIG("{\"type\": 5, \"index\": 0}"), "is this a parameter server"},
		{CONFIG("{\"type\": \"ps\", \"index\": \"0\"}"), "task.index is no number from 0"},
		{CONFIG("{\"type\": \"ps\", \"index\": -1}"), "task.index is no number from 0"},
		{CONFIG("{\"type\": \"ps\", \"index\": 1000}"), "task.index is no number from 0"},
		{CONFIG("{\"type\": \"worker\", \"index\": 2}"), "this is worker 3, but there are 3"}};
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
		check_wrong(&(struct given){NO_WORDS, {"TF_CONFIG", configs[i][0], NULL}}, configs[i][1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_too_many), cmocka_unit_test(test_wrong_config)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
