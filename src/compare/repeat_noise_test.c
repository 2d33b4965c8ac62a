#include "base/mem.h"
#include "compare/repeat_noise.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { CLUSTERS_MAX = 8, ROUNDS = 400 };

// A small generator of its own (xorshift), so that the figures are the same everywhere.
static unsigned long long state;

static double uniform(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return ((double)(state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

struct shape {
	const char *name;
	size_t clusters, repeats;
	double first, others; // noise, relative
	double scatter;       // of the logarithm of each one's noise
	double least, most;   // what is expected: the truth is held so often, and equal ones are told apart so often
	double narrow;        // the other's interval is at most so wide
};

struct outcome {
	size_t first, others, differ; // how often the interval held the truth; two equal ones were told apart
	double width_first, width_others;
};

// Repeats of clusters that all take one second.
static void draw(const struct shape *s, double *means, struct repeat_noise_group *groups)
{
	for (size_t k = 0; k < s->clusters; k++) {
		double x[16], mean = 0, sum = 0, sigma = (k ? s->others : s->first) * exp(s->scatter * normal());
		for (size_t i = 0; i < s->repeats; i++) {
			x[i] = 1 + sigma * normal();
			mean += x[i] / (double)s->repeats;
		}
		for (size_t i = 0; i < s->repeats; i++)
			sum += (x[i] / mean - 1) * (x[i] / mean - 1);
		means[k] = mean;
		groups[k] = (struct repeat_noise_group){s->repeats, sum / (double)(s->repeats - 1)};
	}
}

static struct outcome simulate(const struct shape *s)
{
	struct outcome o = {0};
	state = 88172645463325252ULL;
	for (size_t round = 0; round < ROUNDS; round++) {
		double means[CLUSTERS_MAX];
		struct repeat_noise_group groups[CLUSTERS_MAX];
		draw(s, means, groups);
		struct repeat_noise *n = repeat_noise_new(groups, s->clusters);
		double a = repeat_noise_half(n, &groups[0]), b = repeat_noise_half(n, &groups[1]);
		o.first += fabs(means[0] - 1) <= a * means[0];
		o.others += fabs(means[1] - 1) <= b * means[1];
		double ratio = fmax(means[0] / means[1], means[1] / means[0]);
		o.differ += ratio > 1 + hypot(a, b);
		o.width_first += a / ROUNDS;
		o.width_others += b / ROUNDS;
		repeat_noise_free(n);
	}
	return o;
}

// The intervals hold the truth as often as they say, of the quiet and of the noisy, and equal ones are seldom told
// apart.
static void test_coverage(void **unused)
{
	(void)unused;
	static const struct shape shapes[] = {
		{"2 alike, 3 repeats", 2, 3, 0.01, 0.01, 0, 0.92, 0.07, 0.02},
		{"4 alike, 2 repeats", 4, 2, 0.01, 0.01, 0, 0.93, 0.06, 0.03},
		{"8 alike, 2 repeats", 8, 2, 0.01, 0.01, 0, 0.94, 0.05, 0.025},
		{"one of 4 is noisy, 2 repeats", 4, 2, 0.1, 0.005, 0, 0.83, 0.16,
			0.03}, // two repeats may lie close together by chance
		{"one of 4 is noisy, 3 repeats", 4, 3, 0.1, 0.005, 0, 0.89, 0.11, 0.01},
		{"one of 8 is noisy, 3 repeats", 8, 3, 0.1, 0.005, 0, 0.93, 0.07, 0.008},
		{"one of 8 is noisy, 5 repeats", 8, 5, 0.1, 0.005, 0, 0.93, 0.08, 0.006},
		{"one of 4 is quiet, 3 repeats", 4, 3, 0.002, 0.05, 0, 0.93, 0.06, 0.08},
		{"6 of all kinds, 3 repeats", 6, 3, 0.02, 0.02, 1, 0.92, 0.07, 0.06},
	};
	for (size_t i = 0; i < countof(shapes); i++) {
		struct outcome o = simulate(&shapes[i]);
		printf("%-30s held %.1f %% (+-%.2g %%) and %.1f %% (+-%.2g %%), told apart %.1f %%\n", shapes[i].name,
			100.0 * (double)o.first / ROUNDS, 100 * o.width_first, 100.0 * (double)o.others / ROUNDS,
			100 * o.width_others, 100.0 * (double)o.differ / ROUNDS);
		assert_true((double)o.first >= shapes[i].least * ROUNDS);
		assert_true((double)o.others >= fmax(shapes[i].least, 0.92) * ROUNDS);
		assert_true((double)o.differ <= shapes[i].most * ROUNDS);
		assert_true(o.width_others <= shapes[i].narrow);
	}
}

static void test_a_single_run_is_as_the_others(void **unused)
{
	(void)unused;
	static const struct repeat_noise_group groups[] = {{3, 1e-4}, {3, 2e-4}, {3, 1.5e-4}, {1, 0}};
	struct repeat_noise *n = repeat_noise_new(groups, countof(groups));
	double repeated = repeat_noise_half(n, &groups[0]), single = repeat_noise_half(n, &groups[3]);
	assert_true(repeated > 0.01 && repeated < 0.03);
	assert_true(single > 1.5 * repeated && single < 0.1);
	repeat_noise_free(n);
}

static void test_what_says_nothing(void **unused)
{
	(void)unused;
	static const struct repeat_noise_group single[] = {{1, 0}, {0, 0}}, same[] = {{2, 0}, {2, 0}},
					       wild[] = {{2, 100}, {2, 1e-12}};
	assert_null(repeat_noise_new(single, 2));
	assert_null(repeat_noise_new(single, 0));
	assert_true(isnan(repeat_noise_half(NULL, &single[0])));
	struct repeat_noise *n = repeat_noise_new(same, 2);
	assert_true(repeat_noise_half(n, &same[0]) > 0 &&
		    repeat_noise_half(n, &same[0]) < 0.01); // to the last digit by chance
	assert_true(isnan(repeat_noise_half(n, &single[1])));
	repeat_noise_free(n);
	n = repeat_noise_new(wild, 2);
	assert_true(repeat_noise_half(n, &wild[0]) > repeat_noise_half(n, &wild[1]) &&
		    isfinite(repeat_noise_half(n, &wild[0])));
	repeat_noise_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_coverage),
		cmocka_unit_test(test_a_single_run_is_as_the_others),
		cmocka_unit_test(test_what_says_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
