#include "common/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_bce(void **state)
{
	(void)state;
	const float logit[] = {0, 2, -1.5f, 8};
	for (int target = 0; target <= 1; target++) {
		float d[4], scratch[4];
		double p, expected = 0, mean = 0, q;
		double loss = nn_bce(logit, 4, (float)target, d, &p);
		for (int i = 0; i < 4; i++) {
			double s = 1 / (1 + exp(-logit[i]));
			expected -= log(target ? s : 1 - s) / 4;
			mean += s / 4;
			float up[4], down[4];
			for (int k = 0; k < 4; k++)
				up[k] = down[k] = logit[k];
			up[i] += 0.0078125f;
			down[i] -= 0.0078125f;
			double slope = (nn_bce(up, 4, (float)target, scratch, &q) -
					       nn_bce(down, 4, (float)target, scratch, &q)) /
				       0.015625;
			assert_true(fabs(slope - d[i]) < 1e-5);
		}
		assert_true(fabs(loss - expected) < 1e-9);
		assert_true(fabs(p - mean) < 1e-9);
	}
}

// Far out, where the logarithm of a rounded probability would be infinite.
static void test_bce_far(void **state)
{
	(void)state;
	const float logit[] = {-200, 200};
	float d[2];
	double p, loss = nn_bce(logit, 2, 1, d, &p);
	assert_true(fabs(loss - 100) < 1e-6);
	assert_true(fabs(d[0] + 0.5) < 1e-6 && d[1] == 0);
}

// Three steps against the formulas in double precision.
static void test_adam(void **state)
{
	(void)state;
	const double rate = 2e-4, b1 = 0.5, b2 = 0.999;
	const float grads[3][3] = {{0.1f, -3, 1e-6f}, {-0.2f, 2, 1e-6f}, {0.05f, 0, 0}};
	struct nn_adam a;
	nn_adam_init(&a, 3, rate, b1, b2);
	float x[3] = {1, -1, 0.5f};
	double y[3] = {1, -1, 0.5}, m[3] = {0}, v[3] = {0};
	for (int step = 0; step < 3; step++) {
		nn_adam_step(&a, x, grads[step]);
		for (int i = 0; i < 3; i++) {
			m[i] = b1 * m[i] + (1 - b1) * grads[step][i];
			v[i] = b2 * v[i] + (1 - b2) * grads[step][i] * grads[step][i];
			y[i] -= rate * (m[i] / (1 - pow(b1, step + 1))) / (sqrt(v[i] / (1 - pow(b2, step + 1))) + 1e-8);
			assert_true(
				fabs(x[i] - y[i]) < 1.5e-7 * (step + 1)); // x itself is rounded to 6e-8 at each step
		}
	}
	assert_true(fabs(x[1] + 1) > 1e-4);
	nn_adam_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bce), cmocka_unit_test(test_bce_far), cmocka_unit_test(test_adam)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
