#include "common/rank.h"
#include "common/testing.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int clean(void **state)
{
	(void)state;
	unsetenv("MUSTER_RANK");
	unsetenv("MUSTER_SIZE");
	unsetenv("MUSTER_METRICS_FD");
	return 0;
}

static void load(void *arg)
{
	struct rank r;
	(void)arg;
	rank_load(&r);
}

static void check(void *arg)
{
	const int *n = arg;
	struct rank r = {.rank = n[0], .size = n[1], .set = 1};
	rank_check(&r, "MPI", n[2], n[3]);
}

static void test_alone(void **state)
{
	(void)state;
	struct rank r;
	rank_load(&r);
	assert_int_equal(r.rank, 0);
	assert_int_equal(r.size, 1);
	assert_int_equal(r.metrics_fd, -1);
	rank_check(&r, "MPI", 3, 4); // nobody set anything: whatever MPI says is right
	rank_metric(&r, "x", 1, 1);  // and nobody listens
}

static void test_environment(void **state)
{
	(void)state;
	struct rank r;
	setenv("MUSTER_RANK", "3", 1);
	setenv("MUSTER_SIZE", "4", 1);
	rank_load(&r);
	assert_int_equal(r.rank, 3);
	assert_int_equal(r.size, 4);
	rank_check(&r, "MPI", 3, 4);
	testing_dies(check, (int[]){3, 4, 0, 1}, "rank 3 of 4, but MPI says rank 0 of 1");
	testing_dies(check, (int[]){1, 4, 2, 4}, "rank 1 of 4, but MPI says rank 2 of 4");
}

static void test_bad_environment(void **state)
{
	static const char *const cases[][4] = {
		{"0", NULL, NULL, "MUSTER_RANK is set and MUSTER_SIZE is not"},
		{NULL, "2", NULL, "MUSTER_SIZE is set and MUSTER_RANK is not"},
		{"2", "2", NULL, "MUSTER_RANK is '2', expected a number from 0 to 1"},
		{"x", "2", NULL, "MUSTER_RANK is 'x'"},
		{"", "2", NULL, "MUSTER_RANK is ''"},
		{"0", "0", NULL, "MUSTER_SIZE is '0'"},
		{"0", "99999999999999999999", NULL, "MUSTER_SIZE is '99"},
		{NULL, NULL, "two", "MUSTER_METRICS_FD is 'two'"},
		{NULL, NULL, "999", "MUSTER_METRICS_FD is 999, which is not open"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		static const char *const names[] = {"MUSTER_RANK", "MUSTER_SIZE", "MUSTER_METRICS_FD"};
		clean(state);
		for (int k = 0; k < 3; k++)
			if (cases[i][k])
				setenv(names[k], cases[i][k], 1);
		testing_dies(load, NULL, cases[i][3]);
	}
}

static void metric_to_closed(void *arg)
{
	(void)arg;
	struct rank r = {.size = 1, .metrics_fd = open("/dev/full", O_WRONLY)};
	rank_metric(&r, "Loss_D", 1, 1);
}

static void test_metric(void **state)
{
	(void)state;
	int fd[2];
	char number[16], text[512] = "";
	assert_int_equal(pipe(fd), 0);
	snprintf(number, sizeof number, "%d", fd[1]);
	setenv("MUSTER_METRICS_FD", number, 1);
	struct rank r;
	rank_load(&r);
	rank_metric(&r, "Loss_D", 1.25, 17);
	rank_metric(&r, "D_x", 1e-7 / 3, 18);
	rank_metric(&r, "Loss_G", NAN, 18);
	rank_metric(&r, "Loss_G", INFINITY, 19);
	close(fd[1]);
	assert_true(read(fd[0], text, sizeof text - 1) > 0);
	close(fd[0]);
	assert_string_equal(text,
		"{\"name\":\"Loss_D\",\"value\":1.25,\"step\":17}\n{\"name\":\"D_x\",\"value\":3.33333333e-08,\"step\":"
		"18}\n"
		"{\"name\":\"Loss_G\",\"value\":null,\"step\":18}\n{\"name\":\"Loss_G\",\"value\":null,\"step\":19}\n");
	testing_dies(metric_to_closed, NULL, "No space left on device");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_alone, clean),
		cmocka_unit_test_setup(test_environment, clean),
		cmocka_unit_test_setup(test_bad_environment, clean),
		cmocka_unit_test_setup(test_metric, clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
