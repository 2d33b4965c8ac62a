#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "cmd/cmd.h"
#include "node/run_processes.h"
#include "run/run.h"
#include "wire/event.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char tmp[32];
	char *runs, *nodes, *out;
	struct run *run;
	struct error err;
};

static int set_up(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	strcpy(f->tmp, "/tmp/reap_test.XXXXXX");
	if (!mkdtemp(f->tmp))
		return -1;
	f->runs = fs_join(f->tmp, "runs");
	f->nodes = fs_join(f->tmp, "nodes");
	setenv("MUSTER_NODES_DIR", f->nodes, 1);
	setenv("XDG_STATE_HOME", f->tmp, 1); // what other runs of this user have made is not asked for
	setenv("KUBECONFIG", "/nonexistent/config", 1);
	autojson json_t *plan = mem_json("{s:i}", "plan", 1);
	f->run = run_create(f->runs, "lost", "", 0, plan, NULL);
	autojson json_t *first = event_make("run", "s:s", "id", f->run->id);
	json_object_set_new(first, "ts", json_real(1000));
	autojson json_t *last = event_make("intent", "s:s", "label", f->run->id);
	json_object_set_new(last, "ts", json_real(1012.5));
	run_event(f->run, first, NULL);
	run_event(f->run, last, NULL);
	*state = f;
	return f->run ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	autofree char *word = mem_printf("MUSTER_RUN=%s", f->run->id);
	int rc = run_processes_kill(word, NULL, 10, NULL); // what a failed test has left
	run_free(f->run);
	rc |= fs_remove(f->tmp, NULL);
	free(f->runs);
	free(f->nodes);
	free(f->out);
	free(f);
	return rc;
}

// Runs the subcommand; what it prints is f->out.
static int reap(struct fixture *f, const char *const *words)
{
	char *argv[12] = {"reap", "--runs", f->runs};
	int argc = 3;
	for (; *words; words++)
		argv[argc++] = (char *)*words;
	autofree char *file = fs_join(f->tmp, "stdout");
	fflush(stdout);
	int saved = dup(1);
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
	dup2(fd, 1);
	close(fd);
	int rc = cmd_reap(argc, argv, &f->err);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	free(f->out);
	f->out = fs_read(file, 1 << 20, NULL, NULL);
	return rc;
}

#define reap(f, ...) reap(f, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

// The controller as run and executor know it: pid with a start time that is off by so much.
static void set_controller(struct fixture *f, pid_t pid, int off)
{
	json_int_t started = (json_int_t)proc_started(pid) + off;
	autojson json_t *control = mem_json("{s:i, s:I}", "pid", (int)pid, "started", started);
	autofree char *path = run_path(f->run, "control.json");
	autofree char *text = json_dumps(control, 0);
	fs_write(path, text, strlen(text), 0600, NULL);
	autofree char *dir = fs_join(f->nodes, f->run->id);
	fs_mkdirs(dir, 0700, NULL);
	chmod(f->nodes, 0700);
	autojson json_t *record =
		mem_json("{s:s, s:s, s:O}", "label", f->run->id, "run_dir", f->run->dir, "controller", control);
	autofree char *file = fs_join(dir, "run.json");
	autofree char *all = json_dumps(record, 0);
	fs_write(file, all, strlen(all), 0600, NULL);
}

static pid_t start_sleep(const char *label)
{
	autofree char *word = mem_printf("MUSTER_RUN=%s", label);
	char *argv[] = {"sleep", "1000", NULL};
	char *env[] = {"PATH=/usr/bin:/bin", word, NULL};
	struct proc_options options = {.argv = argv, .env = env, .in = -1, .out = -1, .err = -1};
	return proc_spawn(&options, NULL, NULL);
}

static int keep(json_t *event, void *data)
{
	json_array_append(data, event);
	return 0;
}

static json_t *events(const struct fixture *f)
{
	json_t *all = json_array();
	uint64_t offset = 0;
	assert_int_equal(run_read(f->run, false, &offset, keep, all, NULL), 0);
	return all;
}

static void a_lost_run_is_removed_and_closed(void **state)
{
	struct fixture *f = *state;
	set_controller(f, getpid(), 1);
	autojson json_t *progress = event_make("progress", "s:f, s:i", "done", 5.0, "rank", 0);
	json_object_set_new(progress, "ts", json_real(1020));
	assert_int_equal(run_event(f->run, progress, NULL), 0);
	pid_t pid = start_sleep(f->run->id);
	assert_int_equal(reap(f, "--dry-run"), 0);
	assert_non_null(strstr(f->out, "would remove process"));
	assert_non_null(strstr(f->out, "would close record"));
	assert_true(proc_started(pid) != 0);
	assert_int_equal(reap(f), 0);
	assert_non_null(strstr(f->out, "removed process"));
	assert_non_null(strstr(f->out, "removed directory"));
	assert_non_null(strstr(f->out, "closed record"));
	assert_true(proc_started(pid) == 0);
	autojson json_t *all = events(f);
	assert_int_equal(json_array_size(all), 4);
	json_t *receipt = json_array_get(all, 2), *end = json_array_get(all, 3);
	assert_true(event_is(receipt, "receipt"));
	assert_int_equal(json_array_size(json_object_get(receipt, "left")), 0);
	assert_true(event_is(end, "end"));
	assert_string_equal(json_string_value(json_object_get(end, "outcome")), "lost");
	assert_int_equal(json_integer_value(json_object_get(end, "exit")), 3);
	assert_float_equal(json_number_value(json_object_get(end, "seconds")), 20,
		1e-6); // from the first event to the last sign of life
	autofree char *control = run_path(f->run, "control.json");
	assert_false(fs_exists(control));
	assert_int_equal(reap(f), 0);
	assert_string_equal(f->out, "nothing left\n");
	autojson json_t *again = events(f);
	assert_int_equal(json_array_size(again), 4);
}

static void a_live_run_is_left_alone(void **state)
{
	struct fixture *f = *state;
	set_controller(f, getpid(), 0);
	assert_int_equal(reap(f), 0);
	assert_string_equal(f->out, "nothing left\n");
	assert_int_equal(reap(f, f->run->id), -1);
	assert_int_equal(f->err.code, ERROR_USAGE);
	assert_non_null(strstr(f->err.text, "is in progress"));
	autojson json_t *all = events(f);
	assert_int_equal(json_array_size(all), 2);
}

static void force_kills_the_controller_first(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start_sleep("somebody-else");
	set_controller(f, pid, 0);
	assert_int_equal(reap(f, "--force", "--json", f->run->id), 0);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	autojson json_t *printed = json_loads(f->out, 0, NULL);
	assert_int_equal(json_array_size(json_object_get(printed, "removed")), 2);
	assert_int_equal(json_array_size(json_object_get(printed, "left")), 0);
}

// Another place than this: the record is found through the nodes' directory.
static void a_run_of_another_directory(void **state)
{
	struct fixture *f = *state;
	set_controller(f, getpid(), 1);
	free(f->runs);
	f->runs = fs_join(f->tmp, "elsewhere");
	assert_int_equal(reap(f), 0);
	assert_non_null(strstr(f->out, "closed record"));
	autojson json_t *all = events(f);
	assert_int_equal(json_array_size(all), 4);
}

static void a_run_that_only_begins(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(reap(f), 0); // no control.json yet, a moment old
	assert_string_equal(f->out, "nothing left\n");
	autofree char *log = run_path(f->run, "events.jsonl");
	struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
	assert_int_equal(utimensat(AT_FDCWD, log, old, 0), 0);
	assert_int_equal(reap(f), 0);
	assert_non_null(strstr(f->out, "closed record"));
}

static void what_is_not_understood(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(reap(f, "no-such-run"), -1);
	assert_int_equal(f->err.code, ERROR_USAGE);
	assert_int_equal(reap(f, "--wrong"), -1);
	assert_non_null(strstr(f->err.text, "--wrong"));
	assert_int_equal(reap(f, "--runs"), -1);
	assert_int_equal(reap(f, "--help"), 0);
	assert_non_null(strstr(f->out, "usage"));
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(a_lost_run_is_removed_and_closed),
		with_fixture(a_live_run_is_left_alone),
		with_fixture(force_kills_the_controller_first),
		with_fixture(a_run_of_another_directory),
		with_fixture(a_run_that_only_begins),
		with_fixture(what_is_not_understood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
