#include "common/testing.h"
#include "mnist/net.h"
#include "mnist/state.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct job job = {.hidden = 10, .servers = 2, .workers = 3, .steps = 5, .seed = 6, .rate = 0.01};

static void test_life(void **unused)
{
	(void)unused;
	char *dir = testing_folder();
	struct state s;
	state_open(&s, dir, 1);
	assert_null(s.file);
	state_create(&s, &job, 99);
	assert_int_equal(state_now(&s)->step, 0);
	assert_true(state_other(&s)->step == STATE_TORN);
	float first[16];
	net_randomize(first, job_first_row(&job, 1), job.hidden, job.seed);
	assert_memory_equal(state_now(&s)->params, first, sizeof first);
	for (uint64_t step = 1; step <= 3; step++) {
		struct state_half *next = state_next(&s);
		assert_true(next != state_now(&s) && next->step == STATE_TORN);
		next->params[0] = (float)step;
		next->seats[2] = (struct state_seat){7, step};
		state_now(&s)->late++;
		state_commit(&s);
		assert_true(state_now(&s) == next && next->step == step && state_other(&s)->step == step - 1);
	}
	state_extend(&s, 8);
	state_close(&s);

	state_open(&s, dir, 1);
	assert_non_null(s.file);
	assert_true(state_now(&s)->step == 3 && state_now(&s)->params[0] == 3 && state_now(&s)->late == 3);
	assert_true(state_other(&s)->step == 2 && state_other(&s)->params[0] == 2);
	assert_true(state_now(&s)->seats[2].incarnation == 7 && state_now(&s)->seats[2].last == 3);
	assert_true(state_run(&s) == 99 && state_job(&s)->steps == 8 && job_same(state_job(&s), &job));
	state_remove(&s);
	state_close(&s);
	state_open(&s, dir, 1);
	assert_null(s.file);
	state_close(&s);
	testing_remove(dir);
}

// Killed in the middle of a step, and by a signal that cannot be caught: the step before is true, the torn half says
// that it is.
static void test_killed(void **unused)
{
	(void)unused;
	char *dir = testing_folder();
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct state s;
		state_open(&s, dir, 0);
		state_create(&s, &job, 99);
		state_next(&s)->params[5] = 5;
		state_commit(&s);
		state_next(&s)->params[5] = 6;
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	struct state s;
	state_open(&s, dir, 0);
	assert_true(state_now(&s)->step == 1 && state_now(&s)->params[5] == 5 && state_other(&s)->step == STATE_TORN);
	state_close(&s);
	testing_remove(dir);
}

static void open_0(void *dir)
{
	struct state s;
	state_open(&s, dir, 0);
}

// Changes one byte of a good file.
static void check_damaged(long at, const char *words)
{
	char *dir = testing_folder(), *path = testing_path(dir, "mnist-ps-0.state");
	struct state s;
	state_open(&s, dir, 0);
	state_create(&s, &job, 99);
	state_close(&s);
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	if (at < 0) {
		assert_int_equal(truncate(path, -at), 0);
	} else {
		fseek(file, at, SEEK_SET);
		fputc('#', file);
	}
	fclose(file);
	testing_dies(open_0, dir, words);
	free(path);
	testing_remove(dir);
}

static void test_damaged(void **unused)
{
	(void)unused;
	check_damaged(0, "not what server 0 of such a training leaves; remove it to start anew");
	check_damaged(9, "was left when the machine went down");
	check_damaged(48, "not what server 0 of such");  // hidden units
	check_damaged(104, "not what server 0 of such"); // shard
	check_damaged(112, "not what server 0 of such"); // current
	check_damaged(-100, "not what a server leaves");
	check_damaged(-8192, "not what server 0 of such");
}

static void test_wrong_places(void **unused)
{
	(void)unused;
	char *dir = testing_folder(), *path = testing_path(dir, "mnist-ps-0.state");
	assert_int_equal(symlink("/etc/passwd", path), 0);
	testing_dies(open_0, dir, "Too many levels of symbolic links");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0777), 0);
	testing_dies(open_0, dir, "Is a directory");
	free(path);
	testing_remove(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_life), cmocka_unit_test(test_killed),
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_wrong_places)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
