#include "common/mem.h"
#include "common/rng.h"
#include "mnist/net.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BATCH 7

struct setup {
	size_t hidden, width;
	float *params, *grad; // all rows
	const float *rows[NET_ROWS];
	uint8_t pixels[BATCH][NET_PIXELS], labels[BATCH];
	struct net *net;
};

// Images with a black rim, so that some rows have no gradient.
static void setup(struct setup *s, size_t hidden)
{
	struct rng rng;
	rng_init(&rng, 3, hidden, 0);
	s->hidden = hidden;
	s->width = net_width(hidden);
	s->params = mem_floats(NET_ROWS * s->width);
	s->grad = mem_floats(NET_ROWS * s->width);
	for (size_t row = 0; row < NET_ROWS; row++) {
		s->rows[row] = s->params + row * s->width;
		net_randomize(s->params + row * s->width, row, hidden, 9);
	}
	rng_fill_normal(&rng, s->params + NET_ROW_HIDDEN_BIAS * s->width, hidden, 0.1, 0.1);
	rng_fill_normal(&rng, s->params + NET_ROW_CLASS_BIAS * s->width, NET_CLASSES, 0, 0.1);
	const uint8_t *images[BATCH];
	for (size_t b = 0; b < BATCH; b++) {
		images[b] = s->pixels[b];
		s->labels[b] = (uint8_t)rng_below(&rng, NET_CLASSES);
		for (size_t k = 0; k < NET_PIXELS; k++)
			s->pixels[b][k] = k < 100 || k >= 700 ? 0 : (uint8_t)rng_below(&rng, 256);
	}
	s->net = net_new(hidden, BATCH);
	net_load(s->net, images, s->labels);
}

static void teardown(struct setup *s)
{
	net_free(s->net);
	free(s->params);
	free(s->grad);
}

static double loss(struct setup *s)
{
	size_t correct;
	return net_forward(s->net, s->rows, &correct);
}

// The gradient's rows put where they belong.
static void gradient(struct setup *s)
{
	float *some = mem_floats(NET_ROWS * s->width), *at = some;
	loss(s);
	net_backward(s->net, s->rows);
	net_gradient(s->net, 0, NET_ROWS, some);
	memset(s->grad, 0, NET_ROWS * s->width * sizeof(float));
	for (size_t row = 0; row < NET_ROWS; row++)
		if (net_has_row(s->net, row)) {
			memcpy(s->grad + row * s->width, at, s->width * sizeof(float));
			at += s->width;
		}
	free(some);
}

static void check_row(struct setup *s, size_t row)
{
	for (size_t i = 0; i < s->width; i++) {
		float *x = &s->params[row * s->width + i], old = *x;
		size_t length = row == NET_ROW_CLASS_BIAS ? NET_CLASSES : s->hidden;
		if (i >= length) {
			assert_true(s->grad[row * s->width + i] == 0);
			continue;
		}
		// Small enough not to push a hidden unit over its corner often; the loss is exact to about 1e-7.
		float step = 2e-3f;
		*x = old + step;
		double more = loss(s);
		*x = old - step;
		double less = loss(s);
		*x = old;
		double found = (more - less) / (2 * (double)step), expected = (double)s->grad[row * s->width + i];
		if (!(fabs(found - expected) < 4e-4 + 0.02 * fabs(expected)))
			fail_msg("row %zu, %zu: the gradient is %g, differences say %g", row, i, expected, found);
	}
}

static void test_differences(void **state)
{
	(void)state;
	const size_t hidden[] = {1, 10, 22};
	const size_t rows[] = {0, 99, 100, 101, 350, 699, 700, 783, NET_ROW_HIDDEN_BIAS, NET_ROW_CLASS,
		NET_ROW_CLASS + 9, NET_ROW_CLASS_BIAS};
	for (size_t h = 0; h < 3; h++) {
		struct setup s;
		setup(&s, hidden[h]);
		gradient(&s);
		for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
			check_row(&s, rows[r]);
		teardown(&s);
	}
}

static void test_black_pixels(void **state)
{
	(void)state;
	struct setup s;
	setup(&s, 10);
	gradient(&s);
	for (size_t row = 0; row < NET_ROWS; row++) {
		int black = row < 100 || (row >= 700 && row < NET_PIXELS);
		assert_int_equal(net_has_row(s.net, row), !black);
		for (size_t i = 0; i < s.width && black; i++)
			assert_true(s.grad[row * s.width + i] == 0);
	}
	teardown(&s);
}

// In pieces it is the same as at once, wherever it is cut.
static void test_pieces(void **state)
{
	(void)state;
	const size_t cuts[] = {0, 1, 50, 130, 131, 699, 750, 784, 785, 790, 795, 796};
	struct setup s;
	setup(&s, 10);
	gradient(&s);
	for (size_t n = 1; n < sizeof cuts / sizeof *cuts; n++) {
		float *some = mem_floats((cuts[n] - cuts[n - 1]) * s.width), *at = some;
		net_gradient(s.net, cuts[n - 1], cuts[n], some);
		for (size_t row = cuts[n - 1]; row < cuts[n]; row++)
			if (net_has_row(s.net, row)) {
				assert_memory_equal(at, s.grad + row * s.width, s.width * sizeof(float));
				at += s.width;
			}
		free(some);
	}
	teardown(&s);
}

static void test_random(void **state)
{
	(void)state;
	float row[112], again[112];
	double sum = 0;
	for (size_t r = 0; r < NET_PIXELS; r++) {
		net_randomize(row, r, 109, 4);
		for (size_t i = 0; i < 109; i++) {
			assert_true(fabsf(row[i]) <= 2.0f / 28);
			sum += (double)row[i] * (double)row[i];
		}
		assert_true(row[109] == 0 && row[110] == 0 && row[111] == 0);
	}
	sum = sqrt(sum / (NET_PIXELS * 109)) * 28;
	assert_true(fabs(sum - 0.8796) < 0.01); // the deviation of a normal distribution cut off at 2
	net_randomize(again, 783, 109, 4);
	assert_memory_equal(row, again, sizeof row);
	net_randomize(again, 783, 109, 5);
	assert_memory_not_equal(row, again, sizeof row);
	net_randomize(row, NET_ROW_CLASS_BIAS, 109, 4);
	assert_true(row[0] == 0 && row[9] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_differences), cmocka_unit_test(test_black_pixels),
		cmocka_unit_test(test_pieces), cmocka_unit_test(test_random)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
