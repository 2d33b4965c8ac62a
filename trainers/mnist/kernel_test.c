#include "common/mem.h"
#include "common/rng.h"
#include "mnist/kernel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_product(const struct kernel *k, size_t rows, size_t terms, size_t width, int transposed)
{
	struct rng rng;
	rng_init(&rng, 1, rows, terms);
	float *a = mem_floats(rows * terms), *m = mem_floats(terms * width), *out = mem_floats(rows * width);
	const float **at = mem_new(terms, sizeof *at);
	rng_fill_normal(&rng, a, rows * terms, 0, 1);
	rng_fill_normal(&rng, m, terms * width, 0, 1);
	for (size_t j = 0; j < terms; j++)
		at[terms - 1 - j] = m + j * width; // they lie anywhere
	struct kernel_product p = {.out = out,
		.rows = rows,
		.terms = terms,
		.width = width,
		.a = a,
		.a_row = transposed ? 1 : terms,
		.a_term = transposed ? rows : 1,
		.m = at};
	k->product(&p);
	for (size_t i = 0; i < rows; i++)
		for (size_t c = 0; c < width; c++) {
			double sum = 0;
			for (size_t j = 0; j < terms; j++)
				sum += (double)a[i * p.a_row + j * p.a_term] * (double)at[j][c];
			if (!(fabs(out[i * width + c] - sum) < 1e-5 * (1 + sqrt((double)terms))))
				fail_msg("%s: %zu x %zu x %zu: row %zu, column %zu is %g, expected %g", k->name, rows,
					terms, width, i, c, (double)out[i * width + c], sum);
		}
	free(a);
	free(m);
	free(out);
	free(at);
}

static void test_product(void **state)
{
	(void)state;
	assert_non_null(kernel_find(0));
	for (int n = 0; kernel_find(n); n++)
		for (int transposed = 0; transposed < 2; transposed++) {
			check_product(kernel_find(n), 20, 61, 100, transposed);
			check_product(kernel_find(n), 1, 1, 16, transposed);
			check_product(kernel_find(n), 13, 7, 20, transposed);
			check_product(kernel_find(n), 5, 3, 36, transposed);
			check_product(kernel_find(n), 9, 0, 48, transposed);
			check_product(kernel_find(n), 11, 10, 260, transposed);
		}
}

#define ROWS 3
#define WIDTH 20

// Runs T steps of the kernel on a constant gradient and compares with the formula in double.
static void check_adam(const struct kernel *k)
{
	float block[2][3][ROWS * WIDTH] = {0}, copy[ROWS * WIDTH], grad[ROWS * WIDTH];
	const float *rows[ROWS];
	double p[ROWS * WIDTH] = {0}, m[ROWS * WIDTH] = {0}, v[ROWS * WIDTH] = {0};
	struct rng rng;
	rng_init(&rng, 5, 0, 0);
	for (int r = 0; r < ROWS; r++)
		rows[r] = grad + r * WIDTH;
	for (int t = 1; t <= 20; t++) {
		rng_fill_normal(&rng, grad, ROWS * WIDTH, 0, 0.1);
		int from = t % 2;
		struct kernel_adam a = {.params = block[from][0],
			.m = block[from][1],
			.v = block[from][2],
			.new_params = block[!from][0],
			.new_m = block[!from][1],
			.new_v = block[!from][2],
			.copy = copy,
			.grad = rows,
			.rows = ROWS,
			.width = WIDTH};
		kernel_adam_set(&a, 0.01, t);
		assert_true(k->adam(&a));
		for (int i = 0; i < ROWS * WIDTH; i++) {
			double g = (double)grad[i];
			m[i] = 0.9 * m[i] + 0.1 * g;
			v[i] = 0.999 * v[i] + 0.001 * g * g;
			p[i] -= 0.01 / (1 - pow(0.9, t)) * m[i] / (sqrt(v[i]) / sqrt(1 - pow(0.999, t)) + 1e-8);
			assert_true(fabs(block[!from][0][i] - p[i]) < 1e-5);
			assert_true(copy[i] == block[!from][0][i]);
		}
	}
}

static void check_odd(const struct kernel *k, float odd, int expected)
{
	for (int at = 0; at < ROWS * WIDTH; at++) {
		float block[6][ROWS * WIDTH] = {0}, copy[ROWS * WIDTH], grad[ROWS * WIDTH] = {0};
		const float *rows[ROWS] = {grad, grad + WIDTH, grad + 2 * WIDTH};
		grad[at] = odd;
		struct kernel_adam a = {.params = block[0],
			.m = block[1],
			.v = block[2],
			.new_params = block[3],
			.new_m = block[4],
			.new_v = block[5],
			.copy = copy,
			.grad = rows,
			.rows = ROWS,
			.width = WIDTH};
		kernel_adam_set(&a, 0.01, 1);
		assert_int_equal(k->adam(&a) != 0, expected);
	}
}

static void test_adam(void **state)
{
	(void)state;
	for (int n = 0; kernel_find(n); n++) {
		check_adam(kernel_find(n));
		check_odd(kernel_find(n), 1e18f, 1);
		check_odd(kernel_find(n), 1e20f, 0);
		check_odd(kernel_find(n), -INFINITY, 0);
		check_odd(kernel_find(n), NAN, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_product), cmocka_unit_test(test_adam)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
