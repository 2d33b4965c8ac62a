#include "common/mem.h"
#include "mnist/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 70
#define WIDTH 16

static const struct frame_expect expect = {.workers = 3, .shards = 2, .rows = ROWS, .width = WIDTH};
static const struct job job = {
	.hidden = 10, .servers = 2, .workers = 3, .replicas = 2, .steps = 5, .seed = 6, .rate = 0.01};

static int is_odd(const void *arg, size_t row)
{
	(void)arg;
	return row % 2;
}

static struct packet *push(void)
{
	float *out;
	struct packet *p =
		frame_new_push(&(struct frame_head){.kind = FRAME_PUSH, .worker = 2, .shard = 1, .sequence = 7}, ROWS,
			WIDTH, is_odd, NULL, &out);
	for (size_t i = 0; i < ROWS / 2 * WIDTH; i++)
		out[i] = (float)i;
	return p;
}

static void test_push(void **state)
{
	(void)state;
	struct packet *p = push();
	struct frame f;
	assert_null(frame_parse(&f, p->data, p->size, &expect));
	assert_int_equal(f.head.kind, FRAME_PUSH);
	assert_int_equal(f.head.worker, 2);
	assert_int_equal(f.head.sequence, 7);
	assert_int_equal(f.rows, ROWS / 2);
	for (size_t row = 0; row < ROWS; row++)
		assert_int_equal(frame_has_row(&f, row), row % 2);
	assert_true(f.floats[0] == 0 && f.floats[ROWS / 2 * WIDTH - 1] == ROWS / 2 * WIDTH - 1);
	packet_drop(p);
}

static void test_others(void **state)
{
	(void)state;
	struct frame f;
	float *out;
	struct packet *p =
		frame_new_params(&(struct frame_head){.kind = FRAME_PARAMS, .flags = FRAME_DONE}, ROWS * WIDTH, &out);
	memset(out, 0, ROWS * WIDTH * sizeof *out);
	assert_null(frame_parse(&f, p->data, p->size, &expect));
	assert_int_equal(f.rows, ROWS);
	packet_drop(p);
	p = frame_new_hello(&(struct frame_head){.kind = FRAME_HELLO}, &job);
	assert_null(frame_parse(&f, p->data, p->size, &expect));
	assert_memory_equal(&f.job, &job, sizeof job);
	packet_drop(p);
	p = frame_new_refused(&(struct frame_head){.kind = FRAME_REFUSED}, "no\033[2J\n");
	assert_null(frame_parse(&f, p->data, p->size, &expect));
	assert_string_equal(f.text, "no?[2J?");
	packet_drop(p);
	p = frame_new(&(struct frame_head){.kind = FRAME_BYE});
	assert_null(frame_parse(&f, p->data, p->size, &expect));
	packet_drop(p);
}

// Changes a good frame in one place and wants it refused for that.
static void check_wrong(
	struct packet *p, size_t at, unsigned char value, size_t size, const struct frame_expect *e, const char *why)
{
	struct frame f;
	unsigned char *copy = mem_new(size > p->size ? size : p->size, 1);
	memcpy(copy, p->data, p->size);
	copy[at] = value;
	const char *wrong = frame_parse(&f, copy, size, e);
	if (!wrong || strcmp(wrong, why) != 0)
		fail_msg("byte %zu is %u, size %zu: '%s', expected '%s'", at, value, size, wrong ? wrong : "good", why);
	free(copy);
	packet_drop(p);
}

static void test_wrong(void **state)
{
	(void)state;
	size_t good = 64 + 64 + ROWS / 2 * WIDTH * 4;
	struct frame_expect none = {.workers = 3, .shards = 2};
	check_wrong(push(), 0, 'X', good, &expect, "is none of ours");
	check_wrong(push(), 4, 9, good, &expect, "is of another version");
	check_wrong(push(), 6, 0, good, &expect, "is of no kind");
	check_wrong(push(), 6, FRAME_KINDS, good, &expect, "is of no kind");
	check_wrong(push(), 8, 3, good, &expect, "names a task that there is not");
	check_wrong(push(), 12, 2, good, &expect, "names a task that there is not");
	check_wrong(push(), 48, 8, good, &expect, "has bits set that mean nothing");
	check_wrong(push(), 52, 1, good, &expect, "has bits set that mean nothing");
	check_wrong(push(), 64, 0xab, good, &expect, "is not as long as its rows");
	check_wrong(push(), 64 + ROWS / 8, 0x6a, good, &expect, "has a row that there is not");
	check_wrong(push(), 64 + 63, 0x80, good, &expect, "has a row that there is not");
	check_wrong(push(), 0, 'M', good - 1, &expect, "is not as long as its rows");
	check_wrong(push(), 0, 'M', good + 1, &expect, "is not as long as its rows");
	check_wrong(push(), 0, 'M', 100, &expect, "is too short");
	check_wrong(push(), 0, 'M', 63, &expect, "is too short");
	check_wrong(push(), 0, 'M', 0, &expect, "is too short");
	check_wrong(push(), 0, 'M', good, &none, "comes before anything is known of the job");
	check_wrong(push(), 6, FRAME_PARAMS, good, &expect, "is not as long as the shard");
	check_wrong(push(), 6, FRAME_HELLO, good, &expect, "has no job in it");
	check_wrong(push(), 6, FRAME_BYE, good, &expect, "is too long");
	check_wrong(push(), 6, FRAME_REFUSED, good, &expect, "says too much");
}

static void check_job(struct job j, const char *why)
{
	struct packet *p = frame_new_hello(&(struct frame_head){.kind = FRAME_HELLO}, &j);
	check_wrong(p, 0, 'M', p->size, &expect, why);
}

static void test_wrong_job(void **state)
{
	(void)state;
	struct job j = job;
	j.hidden = 0;
	check_job(j, "hidden units out of range");
	j.hidden = 4097;
	check_job(j, "hidden units out of range");
	j = job;
	j.servers = 797;
	check_job(j, "number of servers out of range");
	j = job;
	j.workers = 1001;
	check_job(j, "number of workers out of range");
	j = job;
	j.replicas = 4;
	check_job(j, "more replicas to aggregate than workers");
	j = job;
	j.rate = -1;
	check_job(j, "learning rate is not a number above 0");
	j.rate = __builtin_nan("");
	check_job(j, "learning rate is not a number above 0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_push), cmocka_unit_test(test_others),
		cmocka_unit_test(test_wrong), cmocka_unit_test(test_wrong_job)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
