#include "base/mem.h"
#include "job/executor_traits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_each_name_once(void **state)
{
	struct error err;
	for (size_t i = 0; executor_traits_all[i]; i++)
		assert_ptr_equal(executor_traits_find(executor_traits_all[i]->name, &err), executor_traits_all[i]);
}

static void test_unknown(void **state)
{
	struct error err;
	assert_null(executor_traits_find("dokcer", &err));
	assert_int_equal(err.code, ERROR_USAGE);
	assert_string_equal(err.text,
		"unknown executor 'dokcer', expected one of local, ssh, docker, kubernetes (did you mean 'docker'?)");
	assert_null(executor_traits_find("attached", &err)); // no job file can ask for it
}

static void test_lists(void **state)
{
	autofree char *hosts = executor_traits_that_take_hosts(), *containers = executor_traits_with_containers();
	assert_string_equal(hosts, "'executor: ssh'");
	assert_string_equal(containers, "'executor: docker' or 'executor: kubernetes'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_name_once), cmocka_unit_test(test_unknown), cmocka_unit_test(test_lists)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
