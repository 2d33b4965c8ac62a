#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/logs_since.h"
#include "run/run.h"
#include "wire/event.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/logs-test-XXXXXX";
static struct run *run;

static int setup(void **state)
{
	strcpy(top + strlen(top) - 6, "XXXXXX");
	if (!mkdtemp(top))
		return -1;
	autojson json_t *plan = mem_json("{s:i}", "plan", 1);
	run = run_create(top, "demo", "", 0, plan, NULL);
	autojson json_t *first = event_make("run", "s:s, s:i, s:i", "name", "demo", "nodes", 2, "size", 3);
	return run ? run_event(run, first, NULL) : -1;
}

static int teardown(void **state)
{
	run_free(run);
	return fs_remove(top, NULL);
}

static void print(size_t rank, const char *text)
{
	assert_int_equal(run_output(run, rank, text, strlen(text), NULL), 0);
}

static void end(int status)
{
	autojson json_t *event = event_make("end", "s:s, s:n, s:i, s:f", "outcome", status ? "failed" : "ok", "why",
		"exit", status, "seconds", 1.0);
	assert_int_equal(run_event(run, event, NULL), 0);
}

// Says that this process is the run's controller.
static void control(void)
{
	autofree char *path = run_path(run, "control.json");
	autofree char *text = mem_printf("{\"pid\":%d,\"started\":%llu}", getpid(), proc_started(getpid()));
	assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
}

// `muster logs WORDS...` in a child: 128 and more when it ended with an error, whose text is then printed.
static pid_t start(const char *words, int *out)
{
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pid_t pid = fork();
	if (pid) {
		close(fds[1]);
		*out = fds[0];
		return pid;
	}
	dup2(fds[1], STDOUT_FILENO);
	close(fds[0]);
	close(fds[1]);
	char *argv[20] = {"logs"}, *rest = mem_strdup(words);
	int argc = 1;
	while ((argv[argc] = strsep(&rest, " ")))
		argc++;
	argv[argc++] = run->dir;
	argv[argc] = NULL;
	struct error err = {0};
	int status = cmd_logs(argc, argv, &err);
	if (status < 0)
		printf("error: %s\n", err.text);
	fflush(stdout);
	_exit(status < 0 ? 128 + err.code : status);
}

static char *finish(pid_t pid, int out, int *status)
{
	autoclose int fd = out;
	struct str all = {0};
	char block[65536];
	for (ssize_t n; (n = read(fd, block, sizeof block)) > 0;)
		str_add(&all, block, (size_t)n);
	int how;
	assert_int_equal(waitpid(pid, &how, 0), pid);
	*status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
	return str_steal(&all);
}

static void expect(const char *words, int wanted, const char *output)
{
	int out, status;
	pid_t pid = start(words, &out);
	autofree char *text = finish(pid, out, &status);
	assert_string_equal(text, output);
	assert_int_equal(status, wanted);
}

static void expect_error(const char *words, int code, const char *why)
{
	int out, status;
	pid_t pid = start(words, &out);
	autofree char *text = finish(pid, out, &status);
	if (!strstr(text, why))
		fail_msg("'%s' lacks '%s'", text, why);
	assert_int_equal(status, 128 + code);
}

static void test_plain(void **state)
{
	print(0, "a\nb\n");
	print(2, "c\nunfinished");
	print(1, "d");
	end(0);
	expect("--rank 0", 0, "a\nb\n");
	expect("--rank 2", 0, "c\nunfinished");
	expect("--rank 0-2", 0, "0| a\n0| b\n1| d\n2| c\n2| unfinished");
	expect("--rank 2,0", 0, "0| a\n0| b\n2| c\n2| unfinished");
	expect_error("--rank 3", ERROR_USAGE, "has 3 ranks");
	expect_error("--rank 0,", ERROR_USAGE, "expected numbers");
	expect_error("--rank 2-1", ERROR_USAGE, "expected numbers");
	expect_error("--rank -1", ERROR_USAGE, "expected numbers");
	expect_error("--since yesterday", ERROR_USAGE, "expected a span");
}

static void test_events(void **state)
{
	autojson json_t *exit = event_make("exit", "s:i, s:i", "rank", 1, "status", 0);
	autojson json_t *metric = event_make("metric", "s:i, s:s, s:f", "rank", 1, "name", "loss", "value", 0.5);
	assert_int_equal(run_event(run, exit, NULL), 0);
	assert_int_equal(run_event(run, metric, NULL), 0);
	print(1, "not shown\n");
	end(0);
	autofree char *exit_line = event_print(exit), *metric_line = event_print(metric);
	expect("--events --rank 1", 0, exit_line);
	expect("--events --rank 0", 0, "");
	expect("--metrics", 0, metric_line);
}

// Reads until word has come.
static void wait_for(int fd, struct str *seen, const char *word)
{
	while (!seen->len || !strstr(seen->text, word)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		assert_int_equal(poll(&p, 1, 10000), 1);
		char block[4096];
		ssize_t n = read(fd, block, sizeof block);
		assert_true(n > 0);
		str_add(seen, block, (size_t)n);
	}
}

static void test_follow_to_the_end(void **state)
{
	control();
	print(0, "begun\n");
	int out, status;
	pid_t pid = start("-f", &out);
	autostr struct str seen = {0};
	wait_for(out, &seen, "0| begun\n");
	print(1, "to");
	print(0, "whole\n");
	wait_for(out, &seen, "0| whole\n");
	print(1, "rn\n");
	print(2, "late, without newline");
	end(5);
	autofree char *rest = finish(pid, out, &status);
	str_puts(&seen, rest);
	assert_int_equal(status, 5);
	assert_non_null(strstr(seen.text, "1| torn\n"));
	assert_non_null(strstr(seen.text, "2| late, without newline"));
}

static void test_follow_sees_the_controller_die(void **state)
{
	// The controller is a child that writes a line and dies without an end.
	int hold[2];
	assert_int_equal(pipe(hold), 0);
	pid_t controller = fork();
	if (controller == 0) {
		char c;
		control();
		close(hold[1]);
		ssize_t n = read(hold[0], &c, 1);
		print(0, "last words\n");
		_exit(n != 1);
	}
	close(hold[0]);
	autofree char *path = run_path(run, "control.json");
	while (!fs_exists(path))
		poll(NULL, 0, 1);
	int out, status;
	pid_t pid = start("-f --rank 0", &out);
	print(0, "first\n");
	autostr struct str seen = {0};
	wait_for(out, &seen, "first\n");
	assert_int_equal(write(hold[1], "x", 1), 1);
	close(hold[1]);
	waitpid(controller, NULL, 0);
	autofree char *rest = finish(pid, out, &status);
	assert_non_null(strstr(rest, "last words\n"));
	assert_non_null(strstr(rest, "is lost: its controller (pid"));
	assert_int_equal(status, 128 + ERROR_SYSTEM);
}

static void test_long_lines_and_bytes(void **state)
{
	size_t len = 10 << 20;
	autofree char *line = mem_alloc(len);
	for (size_t i = 0; i < len; i++)
		line[i] = (char)(i % 251 == 10 ? 0 : i % 251);
	line[len - 1] = '\n';
	control();
	int out;
	pid_t pid = start("-f", &out);
	for (size_t at = 0; at < len; at += 1 << 20) {
		print(1, "between\n");
		assert_int_equal(run_output(run, 0, line + at, len - at < 1 << 20 ? len - at : 1 << 20, NULL), 0);
	}
	end(0);
	autostr struct str all = {0};
	char block[65536];
	for (ssize_t n; (n = read(out, block, sizeof block)) > 0;)
		str_add(&all, block, (size_t)n);
	close(out);
	int how;
	assert_int_equal(waitpid(pid, &how, 0), pid);
	assert_int_equal(WEXITSTATUS(how), 0);
	assert_int_equal(all.len, len + 3 + 10 * strlen("1| between\n"));
	const char *found = memmem(all.text, all.len, "0| ", 3);
	while (found && memcmp(found + 3, line, 100) != 0)
		found = memmem(found + 1, all.len - (size_t)(found + 1 - all.text), "0| ", 3);
	assert_non_null(found);
	assert_memory_equal(found + 3, line, len);
}

static void test_nobody_reads(void **state)
{
	for (int i = 0; i < 5000; i++)
		print(0, "a line that nobody will read to the end of the pipe\n");
	control();
	int out, status;
	pid_t pid = start("-f", &out);
	close(out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void put(const char *name, const char *text)
{
	autofree char *path = run_path(run, name);
	assert_int_equal(fs_write(path, text, strlen(text), 0644, NULL), 0);
}

static void test_since(void **state)
{
	put("ranks/output-0.txt", "one\ntwo\nthree\nfour\n");
	put("ranks/output-1.txt", "all of it\n");
	put("ranks/output-2.txt", "no index\n");
	// "three" came with the record of 110, which began in the middle of "two".
	put("ranks/index.jsonl",
		"{\"ts\":100,\"rank\":0,\"offset\":0}\n{\"ts\":100,\"rank\":1,\"offset\":0}\n"
		"{\"ts\":110,\"rank\":0,\"offset\":6}\nnoise\n{\"ts\":120,\"rank\":0,\"offset\":14}\n{\"ts\":130,\"ra");
	static const struct {
		double when;
		uint64_t offsets[3];
	} cases[] = {{50, {0, 0, 0}}, {100.9, {0, 0, 0}}, {101, {4, 10, 0}}, {110.5, {4, 10, 0}}, {111, {14, 10, 0}},
		{121, {19, 10, 0}}};
	for (size_t i = 0; i < countof(cases); i++) {
		autofree uint64_t *offsets = logs_since_offsets(run, cases[i].when, 3, NULL);
		for (size_t k = 0; k < 3; k++)
			assert_int_equal(offsets[k], cases[i].offsets[k]);
	}
	end(0);
	expect("--rank 0 --since 1970-01-01T00:01:51Z", 0, "four\n");
}

static void test_since_texts(void **state)
{
	setenv("TZ", "UTC-2", 1); // two hours east
	tzset();
	double now = 1700000000; // 2023-11-14 22:13:20 UTC, the 15th in the east
	static const struct {
		const char *text;
		double when;
	} good[] = {{"10s", 1700000000 - 10}, {"1h30m", 1700000000 - 5400}, {"2023-11-14T22:13:20Z", 1700000000},
		{"2023-11-15T00:13:20", 1700000000}, {"2023-11-15 00:13", 1700000000 - 20},
		{"2023-11-15", 1700000000 - 800}, {"00:13:20", 1700000000}, {"22:13Z", 1700000000 - 20}};
	static const char *const bad[] = {"", "x", "10 parsecs", "2023-13-01", "25:00", "2023-11-14T22:13:20X"};
	double when;
	struct error err;
	for (size_t i = 0; i < countof(good); i++) {
		assert_int_equal(logs_since_parse(good[i].text, now, &when, &err), 0);
		if (when != good[i].when)
			fail_msg("'%s' is %f, expected %f", good[i].text, when, good[i].when);
	}
	for (size_t i = 0; i < countof(bad); i++)
		assert_int_equal(logs_since_parse(bad[i], now, &when, &err), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain),
		TEST(test_events),
		TEST(test_follow_to_the_end),
		TEST(test_follow_sees_the_controller_die),
		TEST(test_long_lines_and_bytes),
		TEST(test_nobody_reads),
		TEST(test_since),
		TEST(test_since_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
