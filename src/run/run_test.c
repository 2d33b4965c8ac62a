#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "run/run.h"
#include "wire/event.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/run-test-XXXXXX";
static char *runs;

static int setup(void **state)
{
	strcpy(top + strlen(top) - 6, "XXXXXX");
	if (!mkdtemp(top))
		return -1;
	runs = mem_printf("%s/deep/runs", top);
	return 0;
}

static int teardown(void **state)
{
	free(runs);
	return fs_remove(top, NULL);
}

static struct run *create(const char *name)
{
	struct error err = {0};
	autojson json_t *plan = json_pack("{s:i}", "plan", 1);
	struct run *run = run_create(runs, name, "name: x\n", 8, plan, &err);
	if (!run)
		fail_msg("%s", err.text);
	return run;
}

static char *slurp(const struct run *run, const char *name, size_t *len)
{
	autofree char *path = run_path(run, name);
	return fs_read(path, 64 << 20, len, NULL);
}

static void spit(const struct run *run, const char *name, const char *text)
{
	autofree char *path = run_path(run, name);
	assert_int_equal(fs_write(path, text, strlen(text), 0644, NULL), 0);
}

static int collect(json_t *event, void *list)
{
	json_array_append(list, event);
	return 0;
}

static void test_create(void **state)
{
	struct run *run = create("My Job: größe/../x");
	assert_true(strncmp(run->id, "my-job-gr-e-x-2", 15) == 0);
	assert_int_equal(run->dir[0], '/');
	autofree char *job = slurp(run, "job.yaml", NULL), *plan = slurp(run, "plan.json", NULL),
		      *log = slurp(run, "events.jsonl", NULL);
	assert_string_equal(job, "name: x\n");
	assert_non_null(strstr(plan, "\"plan\": 1"));
	assert_string_equal(log, "");
	run_free(run);

	char name[200];
	memset(name, 'A', 199);
	name[199] = '\0';
	run = create(name);
	assert_int_equal(strlen(run->id), 63);
	run_free(run);
	run = create("--!--");
	assert_true(strncmp(run->id, "run-2", 5) == 0);
	run_free(run);
}

static void test_create_leaves_nothing(void **state)
{
	// A file size limit stands for the full disk.
	struct rlimit old, none = {0, RLIM_INFINITY};
	getrlimit(RLIMIT_FSIZE, &old);
	none.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &none);
	struct error err = {0};
	autojson json_t *plan = json_object();
	struct run *run = run_create(runs, "a", "x", 1, plan, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_null(run);
	assert_non_null(strstr(err.text, runs));
	assert_false(fs_exists(runs));
}

static void test_events_go_where_they_belong(void **state)
{
	struct error err;
	struct run *run = create("a");
	autojson json_t *first = event_make("run", "s:s", "id", run->id);
	autojson json_t *metric = event_make("metric", "s:f", "value", 1.5);
	assert_int_equal(run_event(run, first, &err), 0);
	assert_int_equal(run_event(run, metric, &err), 0);
	assert_int_equal(run_line(run, false, "{\"ts\":2,\"type\":\"end\"}", 21, &err), 0);
	uint64_t offset = 0;
	autojson json_t *events = json_array();
	assert_int_equal(run_read(run, false, &offset, collect, events, &err), 0);
	assert_int_equal(json_array_size(events), 2);
	assert_true(event_is(json_array_get(events, 1), "end"));
	size_t len;
	autofree char *log = slurp(run, "events.jsonl", &len);
	assert_int_equal(offset, len);
	autojson json_t *metrics = json_array();
	offset = 0;
	assert_int_equal(run_read(run, true, &offset, collect, metrics, &err), 0);
	assert_int_equal(json_array_size(metrics), 1);
	run_free(run);
}

static void test_torn_last_line(void **state)
{
	struct error err;
	struct run *run = create("a");
	spit(run, "events.jsonl", "{\"ts\":1,\"type\":\"run\"}\nnoise\n{\"ts\":2,\"type\":\"warn\"}\n{\"ts\":3,\"ty");
	uint64_t offset = 0;
	autojson json_t *events = json_array();
	assert_int_equal(run_read(run, false, &offset, collect, events, &err), 0);
	assert_int_equal(json_array_size(events), 2);
	assert_int_equal(offset, 22 + 6 + 23);
	// A new writer does not glue its first line to the torn one.
	autojson json_t *end = event_make("end", "s:s", "outcome", "lost");
	assert_int_equal(run_event(run, end, &err), 0);
	assert_int_equal(run_read(run, false, &offset, collect, events, &err), 0);
	assert_int_equal(json_array_size(events), 3);
	assert_true(event_is(json_array_get(events, 2), "end"));
	run_free(run);
}

static void test_line_too_long_is_skipped(void **state)
{
	struct error err;
	struct run *run = create("a");
	size_t len = 9 << 20;
	autofree char *big = mem_alloc(len);
	memset(big, 'x', len);
	assert_int_equal(run_line(run, false, big, len, &err), 0);
	assert_int_equal(run_line(run, false, "{\"ts\":2,\"type\":\"end\"}", 21, &err), 0);
	uint64_t offset = 0;
	autojson json_t *events = json_array();
	assert_int_equal(run_read(run, false, &offset, collect, events, &err), 0);
	assert_int_equal(json_array_size(events), 1);
	assert_int_equal(offset, len + 1 + 22);
	run_free(run);
}

static int stop_at_first(json_t *event, void *data)
{
	return 7;
}

static void test_read_stops_and_goes_on(void **state)
{
	struct error err;
	struct run *run = create("a");
	spit(run, "events.jsonl", "{\"ts\":1,\"type\":\"run\"}\n{\"ts\":2,\"type\":\"end\"}\n");
	uint64_t offset = 0;
	assert_int_equal(run_read(run, false, &offset, stop_at_first, NULL, &err), 7);
	assert_int_equal(offset, 22);
	autojson json_t *events = json_array();
	assert_int_equal(run_read(run, false, &offset, collect, events, &err), 0);
	assert_int_equal(json_array_size(events), 1);
	run_free(run);
}

static void test_full_disk_tears_nothing(void **state)
{
	struct error err = {0};
	struct run *run = create("a");
	autojson json_t *event = event_make("warn", "s:s", "why", "twenty bytes or more of it");
	assert_int_equal(run_event(run, event, &err), 0);
	size_t before, after;
	autofree char *log = slurp(run, "events.jsonl", &before);
	struct rlimit old, small;
	getrlimit(RLIMIT_FSIZE, &old);
	small = (struct rlimit){before + 10, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	int rc = run_event(run, event, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.text, "events.jsonl"));
	autofree char *same = slurp(run, "events.jsonl", &after);
	assert_int_equal(before, after);
	run_free(run);
}

static void test_output_of_many_ranks(void **state)
{
	struct error err;
	struct run *run = create("a");
	enum { RANKS = 600 };
	for (int round = 0; round < 2; round++) {
		for (size_t rank = 0; rank < RANKS; rank++) {
			char text[32];
			int len = snprintf(text, sizeof(text), "%zu.%d%c", rank, round, '\0');
			assert_int_equal(run_output(run, rank, text, (size_t)len, &err), 0);
		}
	}
	for (size_t rank = 0; rank < RANKS; rank++) {
		char name[64], want[64];
		snprintf(name, sizeof(name), "ranks/output-%zu.txt", rank);
		int wanted = snprintf(want, sizeof(want), "%zu.0%c%zu.1%c", rank, '\0', rank, '\0');
		size_t len;
		autofree char *text = slurp(run, name, &len);
		assert_int_equal(len, wanted);
		assert_memory_equal(text, want, len);
	}
	run_free(run);
}

static void test_output_is_indexed_once_a_second(void **state)
{
	struct error err;
	struct run *run = create("a");
	for (int i = 0; i < 100; i++)
		assert_int_equal(run_output(run, 1, "line\n", 5, &err), 0);
	autofree char *index = slurp(run, "ranks/index.jsonl", NULL);
	size_t lines = 0;
	for (char *c = index; *c; c++)
		lines += *c == '\n';
	assert_in_range(lines, 1, 3);
	autojson json_t *first = json_loads(index, JSON_DISABLE_EOF_CHECK, NULL);
	assert_int_equal(json_integer_value(json_object_get(first, "rank")), 1);
	assert_int_equal(json_integer_value(json_object_get(first, "offset")), 0);
	run_free(run);
}

static void make_run(const char *id)
{
	autofree char *dir = mem_printf("%s/%s", runs, id);
	assert_int_equal(fs_mkdirs(dir, 0755, NULL), 0);
	autofree char *log = mem_printf("%s/events.jsonl", dir);
	assert_int_equal(fs_write(log, "", 0, 0644, NULL), 0);
}

static void expect_open(const char *name, const char *id, const char *why)
{
	struct error err = {0};
	struct run *run = run_open(runs, name, &err);
	if (id) {
		assert_non_null(run);
		assert_string_equal(run->id, id);
	} else {
		assert_null(run);
		assert_non_null(strstr(err.text, why));
		assert_int_equal(err.code, ERROR_USAGE);
	}
	run_free(run);
}

static void test_find(void **state)
{
	autojson json_t *none = run_list(runs);
	assert_int_equal(json_array_size(none), 0);
	expect_open(NULL, NULL, "no runs");
	make_run("b-20260101-000000-aaaa");
	make_run("a-b-20260102-000000-bbbb");
	make_run("a-20260101-235959-cccc");
	make_run("not-a-run");
	autojson json_t *list = run_list(runs);
	autojson json_t *want =
		json_pack("[s,s,s]", "a-b-20260102-000000-bbbb", "a-20260101-235959-cccc", "b-20260101-000000-aaaa");
	assert_true(json_equal(list, want));
	expect_open(NULL, "a-b-20260102-000000-bbbb", NULL);
	expect_open("latest", "a-b-20260102-000000-bbbb", NULL);
	expect_open("b", "b-20260101-000000-aaaa", NULL);
	expect_open("a-2", "a-20260101-235959-cccc", NULL);
	expect_open("a-20260101-235959-cccc", "a-20260101-235959-cccc", NULL);
	expect_open("a", NULL, "prefix of 2 runs");
	expect_open("c", NULL, "no run 'c'");
	expect_open("", NULL, "prefix of 3 runs");
	autofree char *path = mem_printf("%s/b-20260101-000000-aaaa/", runs);
	expect_open(path, "b-20260101-000000-aaaa", NULL);
	autofree char *plain = mem_printf("%s/..", runs);
	expect_open(plain, NULL, "not a run");
}

static void test_alive(void **state)
{
	struct run *run = create("a");
	autojson json_t *control = NULL;
	assert_false(run_alive(run, &control));
	assert_null(control);
	unsigned long long started = proc_started(getpid());
	autofree char *mine = mem_printf("{\"pid\":%d,\"started\":%llu,\"url\":\"u\"}", getpid(), started);
	spit(run, "control.json", mine);
	assert_true(run_alive(run, &control));
	assert_string_equal(json_string_value(json_object_get(control, "url")), "u");
	// The pid was reused by somebody who started later.
	autofree char *other = mem_printf("{\"pid\":%d,\"started\":%llu}", getpid(), started - 1);
	spit(run, "control.json", other);
	assert_false(run_alive(run, NULL));
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	autofree char *dead = mem_printf("{\"pid\":%d,\"started\":%llu}", pid, started);
	spit(run, "control.json", dead);
	assert_false(run_alive(run, NULL));
	spit(run, "control.json", "{\"pid\":");
	assert_false(run_alive(run, NULL));
	run_free(run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),
		TEST(test_create_leaves_nothing),
		TEST(test_events_go_where_they_belong),
		TEST(test_torn_last_line),
		TEST(test_line_too_long_is_skipped),
		TEST(test_read_stops_and_goes_on),
		TEST(test_full_disk_tears_nothing),
		TEST(test_output_of_many_ranks),
		TEST(test_output_is_indexed_once_a_second),
		TEST(test_find),
		TEST(test_alive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
