#include "base/clock.h"
#include "base/mem.h"
#include "node/sampler.h"
#include "wire/event.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BIG = 64 << 20 };

// A rank whose grandchild uses memory and CPU until it is killed: the group is the rank's.
static pid_t start_rank(void)
{
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		if (fork() == 0 && fork() == 0) {
			volatile char *memory = malloc(BIG);
			for (size_t i = 0; i < BIG; i += 4096)
				memory[i] = 1;
			if (write(ready[1], "x", 1) != 1)
				_exit(1);
			for (;;)
				memory[0]++;
		}
		for (;;)
			pause();
	}
	setpgid(pid, pid);
	char byte;
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static double number(const json_t *tree, const char *name)
{
	assert_true(json_is_number(json_object_get(tree, name)));
	return json_number_value(json_object_get(tree, name));
}

static void spin(double seconds)
{
	for (double end = clock_mono() + seconds; clock_mono() < end;)
		continue;
}

static void a_tree_of_processes_is_summed(void **state)
{
	pid_t busy = start_rank();
	struct sampler *s = sampler_new();
	struct sample_rank ranks[] = {{3, getpid()}, {7, busy}};
	autojson json_t *none = sampler_take(s, ranks, 2);
	assert_null(none); // nothing to compare with
	spin(0.3);
	autojson json_t *event = sampler_take(s, ranks, 2);
	assert_true(event_is(event, "sample"));
	const json_t *list = json_object_get(event, "ranks"), *own = json_array_get(list, 0),
		     *other = json_array_get(list, 1);
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(number(own, "rank"), 3);
	assert_int_equal(number(other, "rank"), 7);
	assert_true(number(other, "memory") > BIG && number(other, "memory") < 4.0 * BIG);
	assert_true(number(other, "cpu") > 0.05 && number(other, "cpu") < 1.5);
	assert_true(number(own, "cpu") >= number(other, "cpu")); // it is our child
	assert_true(number(event, "cpu") > number(other, "cpu"));
	assert_true(number(event, "memory") > number(other, "memory"));
	assert_true(number(event, "rx") >= 0 && number(event, "write") >= 0);
	kill(-busy, SIGKILL);
	waitpid(busy, NULL, 0);
	autojson json_t *after = sampler_take(s, ranks + 1, 1);
	assert_int_equal(number(after, "cpu"), 0); // gone, and not negative
	assert_int_equal(number(after, "memory"), 0);
	sampler_free(s);
}

static void no_ranks_are_no_trouble(void **state)
{
	struct sampler *s = sampler_new();
	autojson json_t *first = sampler_take(s, NULL, 0);
	autojson json_t *event = sampler_take(s, NULL, 0);
	assert_non_null(event);
	assert_int_equal(json_array_size(json_object_get(event, "ranks")), 0);
	assert_int_equal(number(event, "cpu"), 0);
	sampler_free(s);
	sampler_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_of_processes_is_summed),
		cmocka_unit_test(no_ranks_are_no_trouble),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
