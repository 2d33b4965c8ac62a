#include "base/mem.h"
#include "base/parallel.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct seen {
	int done[100], now, most;
	size_t bad;
};

static int work(size_t i, void *data, struct error *err)
{
	struct seen *s = data;
	int now = __atomic_add_fetch(&s->now, 1, __ATOMIC_SEQ_CST), most = __atomic_load_n(&s->most, __ATOMIC_SEQ_CST);
	while (now > most &&
		!__atomic_compare_exchange_n(&s->most, &most, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	poll(NULL, 0, 1);
	s->done[i]++;
	__atomic_sub_fetch(&s->now, 1, __ATOMIC_SEQ_CST);
	return i + 1 == s->bad ? error_set(err, ERROR_SYSTEM, "number %zu is bad", i) : 0;
}

static void each_once_and_few_at_a_time(void **state)
{
	struct seen s = {0};
	assert_int_equal(parallel_run(100, 4, work, &s, NULL), 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(s.done[i], 1);
	assert_in_range(s.most, 2, 4);
	assert_int_equal(parallel_run(0, 4, work, &s, NULL), 0);
}

static void a_failure_ends_it(void **state)
{
	struct seen s = {.bad = 3};
	struct error err = {0};
	assert_int_equal(parallel_run(100, 2, work, &s, &err), -1);
	assert_string_equal(err.text, "number 2 is bad");
	assert_int_equal(s.done[99], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_once_and_few_at_a_time), cmocka_unit_test(a_failure_ends_it)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
