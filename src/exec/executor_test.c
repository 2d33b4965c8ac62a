#include "base/mem.h"
#include "exec/executor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_rows(void **state)
{
	executor_init();
	size_t count = 0;
	while (executors[count])
		count++;
	for (size_t i = 0; i < count; i++) {
		struct error err;
		assert_ptr_equal(executor_find(executors[i]->traits->name, &err), executors[i]);
		assert_ptr_equal(executor_traits_all[i], executors[i]->traits);
	}
	assert_null(executor_traits_all[count]);
}

static void test_unknown(void **state)
{
	struct error err;
	assert_null(executor_find("nowhere", &err));
	assert_non_null(strstr(err.text, "nowhere"));
}

static void test_members_are_required(void **state)
{
	struct executor whole = *executors[0];
	assert_true(executor_is_complete(&whole));
	struct executor lacks[] = {whole, whole, whole, whole, whole, whole};
	lacks[0].traits = NULL;
	lacks[1].check = NULL;
	lacks[2].up = NULL;
	lacks[3].down = NULL;
	lacks[4].left = NULL;
	lacks[5].address = NULL;
	for (size_t i = 0; i < countof(lacks); i++)
		assert_false(executor_is_complete(&lacks[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_members_are_required)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
