#include "base/mem.h"
#include "base/process_mark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void this_process_lives(void **state)
{
	autofree char *machine = process_mark_machine(), *own = process_mark_own();
	json_t *process;
	assert_true(process_mark_is_live(machine, own, &process));
	assert_int_equal(json_integer_value(json_object_get(process, "pid")), getpid());
	json_decref(process);
}

static void one_that_started_at_another_time_does_not(void **state)
{
	autofree char *machine = process_mark_machine(), *own = mem_printf("%d 1", (int)getpid());
	json_t *process;
	assert_false(process_mark_is_live(machine, own, &process));
	assert_non_null(process);
	json_decref(process);
}

static void what_cannot_be_looked_at_counts_as_alive(void **state)
{
	autofree char *machine = process_mark_machine(), *own = process_mark_own();
	json_t *process;
	assert_true(process_mark_is_live("elsewhere", own, &process));
	assert_null(process);
	assert_true(process_mark_is_live(machine, "x", &process));
	assert_null(process);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_process_lives),
		cmocka_unit_test(one_that_started_at_another_time_does_not),
		cmocka_unit_test(what_cannot_be_looked_at_counts_as_alive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
