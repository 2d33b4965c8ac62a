#include "base/mem.h"
#include "base/proc.h"
#include "node/run_cgroup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void a_name_says_whose_it_is(void **state)
{
	autofree char *name = run_cgroup_name("job-20261125-1"), *label = NULL;
	pid_t pid;
	unsigned long long started;
	assert_true(run_cgroup_parse(strchr(name, '/') + 1, &label, &pid, &started));
	assert_string_equal(label, "job-20261125-1");
	assert_int_equal(pid, getpid());
	assert_true(started == proc_started(getpid()));
}

static void other_names_are_nobodys(void **state)
{
	static const char *const others[] = {"", "job", ".1.2", "job.1", "job.1.", "job.x.2", "job.1.2.3", "job.1.2x"};
	for (size_t i = 0; i < countof(others); i++) {
		char *label = NULL;
		pid_t pid;
		unsigned long long started;
		assert_false(run_cgroup_parse(others[i], &label, &pid, &started));
		assert_null(label);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_says_whose_it_is), cmocka_unit_test(other_names_are_nobodys)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
