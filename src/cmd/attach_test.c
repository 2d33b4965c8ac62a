#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "run/run.h"
#include "tui/viewer.h"
#include "wire/event.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

// This process writes the run; one child stands for its controller, another one watches.
struct scene {
	char top[32];
	struct run *run;
	pid_t controller, viewer;
	int told; // one byte for each signal the controller got
	int out, err;
	struct str shown, said;
};

static int setup(void **state)
{
	struct scene *s = mem_alloc(sizeof *s);
	strcpy(s->top, "/tmp/attach-test-XXXXXX");
	assert_non_null(mkdtemp(s->top));
	autojson json_t *plan = mem_json("{s:i}", "plan", 1);
	s->run = run_create(s->top, "job", "", 0, plan, NULL);
	assert_non_null(s->run);
	s->out = s->err = -1;
	*state = s;
	return 0;
}

static void end_child(pid_t pid)
{
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
}

static int teardown(void **state)
{
	struct scene *s = *state;
	end_child(s->viewer);
	end_child(s->controller);
	int fds[] = {s->told, s->out, s->err};
	for (size_t i = 0; i < countof(fds); i++)
		if (fds[i] > 0)
			close(fds[i]);
	run_free(s->run);
	int rc = fs_remove(s->top, NULL);
	str_fini(&s->shown);
	str_fini(&s->said);
	free(s);
	return rc;
}

static void start_controller(struct scene *s)
{
	int ends[2];
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	assert_int_equal(pipe(ends), 0);
	s->controller = fork();
	assert_true(s->controller >= 0);
	if (s->controller == 0) {
		sigprocmask(SIG_BLOCK, &set, NULL);
		int number = 0; // the first byte says that signals are waited for
		while (write(ends[1], "", 1) == 1)
			sigwait(&set, &number);
		_exit(0);
	}
	close(ends[1]);
	s->told = ends[0];
	char ready;
	assert_int_equal(read(s->told, &ready, 1), 1);
}

static void start_viewer(struct scene *s, struct viewer_options options)
{
	int out[2], err[2];
	assert_int_equal(pipe(out), 0);
	assert_int_equal(pipe(err), 0);
	options.controller = s->controller;
	options.started = s->controller ? proc_started(s->controller) : 0;
	s->viewer = fork();
	assert_true(s->viewer >= 0);
	if (s->viewer == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		close(out[0]);
		close(err[0]);
		struct error why = {0};
		int rc = viewer_follow(s->run, &options, &why);
		if (rc < 0)
			dprintf(STDERR_FILENO, "muster: %s\n", why.text);
		_exit(rc < 0 ? why.code : rc);
	}
	close(out[1]);
	close(err[1]);
	s->out = out[0];
	s->err = err[0];
}

// Reads both ends until the text (if any) has been said or both are closed.
static void read_until(struct scene *s, const struct str *in, const char *text)
{
	double until = clock_mono() + DEADLINE_MS / 1e3;
	while (s->out >= 0 || s->err >= 0) {
		if (text && in->len && memmem(in->text, in->len, text, strlen(text)))
			return;
		struct pollfd fds[] = {{.fd = s->out, .events = POLLIN}, {.fd = s->err, .events = POLLIN}};
		if (poll(fds, 2, 1000) < 0 || clock_mono() > until)
			fail_msg("'%s' never came; shown: %s said: %s", text, s->shown.text, s->said.text);
		for (size_t i = 0; i < 2; i++) {
			char buffer[64 << 10];
			ssize_t n = fds[i].revents ? read(fds[i].fd, buffer, sizeof buffer) : -1;
			if (n > 0)
				str_add(i ? &s->said : &s->shown, buffer, (size_t)n);
			if (n == 0) {
				close(fds[i].fd);
				*(i ? &s->err : &s->out) = -1;
			}
		}
	}
	if (text)
		fail_msg("'%s' was never said; shown: %s said: %s", text, s->shown.text, s->said.text);
}

static int end_viewer(struct scene *s)
{
	read_until(s, NULL, NULL);
	int status;
	assert_int_equal(waitpid(s->viewer, &status, 0), s->viewer);
	s->viewer = 0;
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void event(struct scene *s, json_t *tree)
{
	autojson json_t *owned = tree;
	assert_int_equal(run_event(s->run, owned, NULL), 0);
}

static void begin(struct scene *s, int nodes, int size)
{
	event(s, event_make("run", "s:s, s:s, s:s, s:i, s:i", "id", s->run->id, "name", "job", "executor", "local",
			 "nodes", nodes, "size", size));
}

static void output(struct scene *s, size_t rank, const char *text)
{
	assert_int_equal(run_output(s->run, rank, text, strlen(text), NULL), 0);
}

// The end, and the controller's with it.
static void end(struct scene *s, const char *outcome, int status)
{
	event(s, event_make("end", "s:s, s:n, s:i, s:f", "outcome", outcome, "why", "exit", status, "seconds", 1.5));
	end_child(s->controller);
	s->controller = 0;
}

static void assert_has(const struct str *in, const char *text)
{
	if (!in->len || !strstr(in->text, text))
		fail_msg("expected '%s' in: %s", text, in->text ? in->text : "");
}

static void test_plain(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 2, 2);
	start_viewer(s, (struct viewer_options){.owner = true});
	event(s, event_make("phase", "s:s, s:s", "name", "bring-up", "edge", "begin"));
	read_until(s, &s->said, "bring-up: 2 nodes\n");
	output(s, 1, "one\nunfinished");
	output(s, 0, "zero\n");
	read_until(s, &s->shown, "0| zero\n");
	read_until(s, &s->shown, "1| one\n");
	event(s, event_make("exit", "s:i, s:i, s:i, s:n, s:n, s:f, s:[s]", "node", 0, "rank", 0, "status", 3, "signal",
			 "why", "seconds", 2.0, "last", "zero"));
	end(s, "failed", 1);
	assert_int_equal(end_viewer(s), 1);
	assert_has(&s->shown, "1| unfinished");
	assert_has(&s->said, "rank 0 on node 0: ended with status 3 after 2.0 s; its last line: zero\n");
	assert_has(&s->said, "failed after 1.5 s; see ");
}

// Everything is there already: what a rank printed comes before the news of its exit.
static void test_order(void **state)
{
	struct scene *s = *state;
	begin(s, 1, 2);
	output(s, 0, "a\nb");
	event(s, event_make("exit", "s:i, s:i, s:i, s:f", "node", 0, "rank", 0, "status", 0, "seconds", 1.0));
	output(s, 1, "c\n");
	output(s, 0, "d\n");
	end(s, "ok", 0);
	start_viewer(s, (struct viewer_options){0});
	assert_int_equal(end_viewer(s), 0);
	assert_string_equal(s->shown.text, "0| a\n0| bd\n1| c\n");
}

static void test_json(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	start_viewer(s, (struct viewer_options){.json = true});
	output(s, 0, "hidden\n");
	event(s, event_make("warn", "s:s", "why", "a \"quote\""));
	end(s, "ok", 0);
	assert_int_equal(end_viewer(s), 0);
	autofree char *path = run_path(s->run, "events.jsonl");
	autofree char *events = fs_read(path, 1 << 20, NULL, NULL);
	assert_string_equal(s->shown.text, events);
	assert_int_equal(s->said.len, 0);
}

static void test_quiet(void **state)
{
	struct scene *s = *state;
	begin(s, 1, 1);
	output(s, 0, "hidden\n");
	event(s, event_make("warn", "s:s", "why", "slow disk"));
	end(s, "ok", 0);
	start_viewer(s, (struct viewer_options){.quiet = true});
	assert_int_equal(end_viewer(s), 0);
	assert_int_equal(s->shown.len, 0);
	assert_has(&s->said, "warning: slow disk\n");
	assert_null(strstr(s->said.text, "run job"));
	assert_has(&s->said, "ok after 1.5 s");
}

static void test_bytes(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	start_viewer(s, (struct viewer_options){.owner = true});
	size_t len = 10 << 20;
	autofree char *bytes = mem_alloc(len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i * 2654435761u >> 13);
	for (size_t i = 1 << 20; i < 9 << 20; i++) // a line of 8 MB
		bytes[i] = bytes[i] == '\n' ? '\0' : bytes[i];
	for (size_t at = 0, n; at < len; at += n) {
		n = len - at < 70000 ? len - at : 70000;
		assert_int_equal(run_output(s->run, 0, bytes + at, n, NULL), 0);
	}
	end(s, "ok", 0);
	assert_int_equal(end_viewer(s), 0);
	assert_int_equal(s->shown.len, len);
	assert_memory_equal(s->shown.text, bytes, len);
}

// Lines of two ranks never mix, however long they are.
static void test_long_lines(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 2);
	start_viewer(s, (struct viewer_options){.owner = true});
	size_t len = 1 << 20;
	autofree char *text = mem_alloc(len + 1);
	memset(text, 'x', len);
	output(s, 0, text);
	output(s, 1, "short\n");
	read_until(s, &s->shown, "1| short\n");
	output(s, 0, text);
	output(s, 0, "\nnext\n");
	end(s, "ok", 0);
	assert_int_equal(end_viewer(s), 0);
	assert_memory_equal(s->shown.text, "1| short\n0| xxx", 15);
	assert_int_equal(s->shown.len, 9 + 3 + 2 * len + 1 + 8);
	assert_string_equal(s->shown.text + s->shown.len - 12, "xxx\n0| next\n");
}

static void test_killed(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	start_viewer(s, (struct viewer_options){.owner = true});
	read_until(s, &s->said, "run job");
	output(s, 0, "last words");
	kill(s->controller, SIGKILL);
	assert_int_equal(end_viewer(s), 3);
	assert_string_equal(s->shown.text, "last words");
	autofree char *expected =
		mem_printf("the controller (pid %d) was killed before the run %s ended; `muster reap`",
			(int)s->controller, s->run->id);
	assert_has(&s->said, expected);
}

static void test_two_interrupts(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	start_viewer(s, (struct viewer_options){.owner = true});
	read_until(s, &s->said, "run job");
	char byte;
	kill(s->viewer, SIGINT);
	assert_int_equal(read(s->told, &byte, 1), 1);
	read_until(s, &s->said, "stopping gently; Ctrl-C again stops at once\n");
	kill(s->viewer, SIGTERM);
	assert_int_equal(read(s->told, &byte, 1), 1);
	end(s, "cancelled", 130);
	assert_int_equal(end_viewer(s), 130);
}

static void test_detach(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	start_viewer(s, (struct viewer_options){0});
	read_until(s, &s->said, "run job");
	kill(s->viewer, SIGINT);
	assert_int_equal(end_viewer(s), 0);
	autofree char *expected = mem_printf("the run continues; `muster attach %s` follows it again\n", s->run->id);
	assert_has(&s->said, expected);
	assert_true(kill(s->controller, 0) == 0);
}

// Nobody reads standard output: the owner follows to the end all the same.
static void test_closed_output(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	start_viewer(s, (struct viewer_options){.owner = true});
	read_until(s, &s->said, "run job");
	close(s->out);
	s->out = -1;
	for (int i = 0; i < 100; i++)
		output(s, 0, "to nobody\n");
	event(s, event_make("warn", "s:s", "why", "still here"));
	read_until(s, &s->said, "still here");
	end(s, "failed", 1);
	assert_int_equal(end_viewer(s), 1);
}

// A reader who does not read must not keep Ctrl-C from the controller.
static void test_slow_output(void **state)
{
	struct scene *s = *state;
	start_controller(s);
	begin(s, 1, 1);
	autofree char *text = mem_alloc(1 << 20);
	memset(text, 'y', (1 << 20) - 1);
	output(s, 0, text);
	output(s, 0, "\n");
	event(s, event_make("exit", "s:i, s:i, s:i, s:f", "node", 0, "rank", 0, "status", 0, "seconds", 1.0));
	start_viewer(s, (struct viewer_options){.owner = true});
	struct pollfd full = {.fd = s->out, .events = POLLIN};
	assert_int_equal(poll(&full, 1, DEADLINE_MS), 1);
	kill(s->viewer, SIGINT);
	char byte;
	assert_int_equal(read(s->told, &byte, 1), 1);
	end(s, "cancelled", 130);
	assert_int_equal(end_viewer(s), 130);
	assert_int_equal(s->shown.len, 1 << 20);
}

static int attach(struct scene *s, struct error *err)
{
	char *argv[] = {"attach", "--runs", s->top, "--quiet", NULL};
	return cmd_attach(4, argv, err);
}

// What is over tells its end, what has lost its controller says so.
static void test_command(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	begin(s, 1, 1);
	autofree char *path = run_path(s->run, "control.json");
	autofree char *text = mem_printf("{\"pid\": %d, \"started\": 1}", (int)getpid());
	assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
	assert_int_equal(attach(s, &err), -1);
	assert_int_equal(err.code, ERROR_SYSTEM);
	autofree char *expected = mem_printf("its controller (pid %d) was killed", (int)getpid());
	assert_non_null(strstr(err.text, expected));
	end(s, "failed", 1);
	assert_int_equal(attach(s, &err), 1);
}

static void test_wrong_words(void **state)
{
	struct scene *s = *state;
	struct error err = {0};
	char *bad[][5] = {{"attach", "--later"}, {"attach", "a", "b"}, {"attach", "--runs"},
		{"attach", "--runs", s->top, "zebra"}};
	static const char *const expected[] = {"--later", "unexpected argument", "--runs", "zebra"};
	for (size_t i = 0; i < countof(bad); i++) {
		int argc = 0;
		while (bad[i][argc])
			argc++;
		assert_int_equal(cmd_attach(argc, bad[i], &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_non_null(strstr(err.text, expected[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_command, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_words, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
