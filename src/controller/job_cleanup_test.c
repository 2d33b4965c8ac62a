#include "controller/job_cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

// Two jobs share a cluster of two nodes, and only node 0 answers.
static void an_answer_counts_for_one_job(void **state)
{
	struct job_cleanup first, second;
	job_cleanup_start(&first, 2);
	job_cleanup_start(&second, 2);
	job_cleanup_ask(&first, 0, 10);
	job_cleanup_ask(&first, 1, 11);
	job_cleanup_ask(&second, 0, 12);
	job_cleanup_ask(&second, 1, 13);
	static const uint32_t answers[] = {10, 12};
	for (size_t i = 0; i < 2; i++) {
		bool one = job_cleanup_answer(&first, 0, answers[i]),
		     other = job_cleanup_answer(&second, 0, answers[i]);
		assert_int_equal(one + other, 1);
	}
	assert_int_equal(first.pending, 1);
	assert_int_equal(second.pending, 1);
	assert_true(job_cleanup_is_pending(&first, 1));
	assert_false(job_cleanup_answer(&first, 1, 13));
	assert_true(job_cleanup_answer(&first, 1, 11));
	assert_true(job_cleanup_answer(&second, 1, 13));
	assert_int_equal(first.pending + second.pending, 0);
	job_cleanup_fini(&first);
	job_cleanup_fini(&second);
}

static void an_answer_counts_once_and_from_its_node(void **state)
{
	struct job_cleanup c;
	job_cleanup_start(&c, 2);
	job_cleanup_ask(&c, 0, 10);
	job_cleanup_ask(&c, 1, 11);
	assert_false(job_cleanup_answer(&c, 1, 10));
	assert_false(job_cleanup_answer(&c, 7, 10));
	assert_true(job_cleanup_answer(&c, 0, 10));
	assert_false(job_cleanup_answer(&c, 0, 10));
	assert_int_equal(c.pending, 1);
	job_cleanup_fini(&c);
}

static void a_node_that_was_away_is_asked_again(void **state)
{
	struct job_cleanup c;
	job_cleanup_start(&c, 2);
	job_cleanup_ask(&c, 0, 10);
	job_cleanup_ask(&c, 0, 0); // its connection is down
	job_cleanup_ask(&c, 0, 20);
	assert_int_equal(c.pending, 1);
	assert_false(job_cleanup_answer(&c, 0, 10));
	assert_true(job_cleanup_answer(&c, 0, 20));
	job_cleanup_ask(&c, 1, 0);
	assert_true(job_cleanup_give_up(&c, 1));
	assert_false(job_cleanup_give_up(&c, 1));
	assert_int_equal(c.pending, 0);
	job_cleanup_fini(&c);
}

static void a_job_that_needs_no_cleanup_waits_for_nobody(void **state)
{
	struct job_cleanup c = {0};
	assert_false(job_cleanup_is_pending(&c, 0));
	assert_false(job_cleanup_answer(&c, 0, 1));
	assert_false(job_cleanup_give_up(&c, 0));
	job_cleanup_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_counts_for_one_job),
		cmocka_unit_test(an_answer_counts_once_and_from_its_node),
		cmocka_unit_test(a_node_that_was_away_is_asked_again),
		cmocka_unit_test(a_job_that_needs_no_cleanup_waits_for_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
