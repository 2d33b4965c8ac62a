// The three computations against a direct convolution in double precision, sample by sample, with every instruction set
// this processor has. The bounds are on the root mean square error relative to the values': what 25 products with
// factors up to 8 lose in single precision.
#include "common/mem.h"
#include "common/rng.h"
#include "common/winograd.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BOUND_PASS 4e-6     // measured up to 2.7e-6
#define BOUND_GRADIENT 3e-6 // measured up to 1.3e-6
#define SAMPLES 500

extern const struct kernels kernels_plain, kernels_avx2, kernels_avx512;

struct side {
	int n, edge, channels, ld;
	float *x;
};

struct sample {
	struct winograd w;
	struct side fine, coarse;
	float *plain, *gradient, *scratch;
	int finished; // images
};

static size_t side_count(const struct side *s)
{
	return (size_t)s->n * s->edge * s->edge * s->ld;
}

static void side_init(struct side *s, struct rng *r, int n, int edge, int channels)
{
	*s = (struct side){.n = n, .edge = edge, .channels = channels};
	s->ld = (channels + KERNELS_ALIGN - 1) / KERNELS_ALIGN * KERNELS_ALIGN;
	s->x = mem_floats(side_count(s));
	for (size_t i = 0; i < side_count(s); i++)
		if ((int)i % s->ld < channels)
			s->x[i] = (float)rng_normal(r);
}

static double at(const struct side *s, int image, int y, int x, int c)
{
	if (y < 0 || x < 0 || y >= s->edge || x >= s->edge)
		return 0;
	return s->x[(((size_t)image * s->edge + y) * s->edge + x) * s->ld + c];
}

static double weight(const struct sample *s, int k, int c, int y, int x)
{
	return s->plain[((size_t)k * s->fine.channels + c) * 16 + y * 4 + x];
}

static double expect_coarse(const struct sample *s, int image, int y, int x, int k)
{
	double sum = 0;
	for (int a = 0; a < 4; a++)
		for (int b = 0; b < 4; b++)
			for (int c = 0; c < s->fine.channels; c++)
				sum += at(&s->fine, image, 2 * y - 1 + a, 2 * x - 1 + b, c) * weight(s, k, c, a, b);
	return sum;
}

static double expect_fine(const struct sample *s, int image, int y, int x, int c)
{
	double sum = 0;
	for (int a = (y + 1) % 2; a < 4; a += 2)
		for (int b = (x + 1) % 2; b < 4; b += 2)
			for (int k = 0; k < s->coarse.channels; k++)
				sum += at(&s->coarse, image, (y + 1 - a) / 2, (x + 1 - b) / 2, k) *
				       weight(s, k, c, a, b);
	return sum;
}

static double expect_gradient(const struct sample *s, int k, int c, int a, int b)
{
	double sum = 0;
	for (int i = 0; i < s->fine.n; i++)
		for (int y = 0; y < s->coarse.edge; y++)
			for (int x = 0; x < s->coarse.edge; x++)
				sum += at(&s->fine, i, 2 * y - 1 + a, 2 * x - 1 + b, c) * at(&s->coarse, i, y, x, k);
	return sum;
}

struct error {
	double wrong, right;
};

static void compare(struct error *e, double got, double expected)
{
	e->wrong += (got - expected) * (got - expected);
	e->right += expected * expected;
}

static void check_error(const struct error *e, double bound, const char *what)
{
	double rms = sqrt(e->wrong / e->right);
	print_message("  %s: %.1e\n", what, rms);
	if (!(rms <= bound))
		fail_msg("%s: error %.2e, at most %.1e is wanted", what, rms, bound);
}

static int draw(struct rng *r, int below)
{
	return (int)rng_below(r, (uint64_t)below);
}

static void check_side(struct sample *s, const struct side *to, const float *got, bool coarse, const char *what)
{
	struct rng r;
	struct error e = {0};
	rng_init(&r, 3, 1, 0);
	for (int i = 0; i < SAMPLES; i++) {
		int image = draw(&r, to->n), y = draw(&r, to->edge), x = draw(&r, to->edge), c = draw(&r, to->channels);
		if (i < 4) // the corners, where there is a border on two sides
			y = i / 2 * (to->edge - 1), x = i % 2 * (to->edge - 1);
		compare(&e, got[(((size_t)image * to->edge + y) * to->edge + x) * to->ld + c],
			coarse ? expect_coarse(s, image, y, x, c) : expect_fine(s, image, y, x, c));
	}
	for (size_t i = 0; i < side_count(to); i++)
		if ((int)i % to->ld >= to->channels)
			assert_true(got[i] == 0);
	check_error(&e, BOUND_PASS, what);
}

static void check_gradient(struct sample *s)
{
	struct rng r;
	struct error e = {0};
	rng_init(&r, 3, 2, 0);
	for (int i = 0; i < SAMPLES / 5; i++) {
		int k = draw(&r, s->coarse.channels), c = draw(&r, s->fine.channels), tap = draw(&r, 16);
		compare(&e, s->gradient[((size_t)k * s->fine.channels + c) * 16 + tap],
			expect_gradient(s, k, c, tap / 4, tap % 4));
	}
	check_error(&e, BOUND_GRADIENT, "gradient");
}

static void finish(void *arg, int chunk, int first, int count)
{
	struct sample *s = arg;
	assert_int_equal(first, chunk * winograd_chunk(&s->w));
#pragma omp atomic
	s->finished += count;
}

static void sample_init(struct sample *s, const struct kernels *kernels, int n, int edge, int fine, int coarse)
{
	struct rng r;
	rng_init(&r, 1, (uint64_t)edge, (uint64_t)fine);
	*s = (struct sample){0};
	side_init(&s->fine, &r, n, 2 * edge, fine);
	side_init(&s->coarse, &r, n, edge, coarse);
	winograd_init(&s->w, n, edge, fine, coarse, s->fine.ld, s->coarse.ld);
	s->w.kernels = kernels;
	s->w.weights = mem_floats(winograd_weights_count(&s->w));
	s->w.gradient = mem_floats(winograd_weights_count(&s->w));
	s->scratch = mem_floats(winograd_scratch_count(&s->w, omp_get_max_threads()));
	s->plain = mem_floats((size_t)fine * coarse * 16);
	s->gradient = mem_floats((size_t)fine * coarse * 16);
	rng_fill_normal(&r, s->plain, (size_t)fine * coarse * 16, 0, 0.02);
	winograd_weights(&s->w, s->plain);
}

static void sample_fini(struct sample *s)
{
	void *all[] = {s->fine.x, s->coarse.x, s->w.weights, s->w.gradient, s->scratch, s->plain, s->gradient};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

static void check(const struct kernels *kernels, int n, int edge, int fine, int coarse)
{
	struct sample s;
	sample_init(&s, kernels, n, edge, fine, coarse);
	print_message("%s: %d images, %d channels of %d, %d of %d\n", kernels->name, n, fine, 2 * edge, coarse, edge);
	struct kernels_source from_fine = {.kind = SOURCE_PLAIN, .d = s.fine.x},
			      from_coarse = {.kind = SOURCE_PLAIN, .d = s.coarse.x};
	struct winograd_finish call = {finish, &s};
	float *to_fine = mem_floats(side_count(&s.fine)), *to_coarse = mem_floats(side_count(&s.coarse));
	winograd_to_coarse(&s.w, n, &from_fine, to_coarse, s.scratch, call);
	assert_int_equal(s.finished, n);
	winograd_to_fine(&s.w, n, &from_coarse, to_fine, s.scratch, call);
	assert_int_equal(s.finished, 2 * n);
	check_side(&s, &s.coarse, to_coarse, true, "to coarse");
	check_side(&s, &s.fine, to_fine, false, "to fine");

	winograd_read_gradient(&s.w, s.gradient); // nothing is there yet
	winograd_accumulate(&s.w, n, &from_fine, &from_coarse, s.scratch);
	winograd_accumulate(&s.w, n, &from_fine, &from_coarse, s.scratch);
	winograd_read_gradient(&s.w, s.gradient);
	winograd_read_gradient(&s.w, s.gradient); // and is forgotten again
	for (size_t i = 0; i < (size_t)fine * coarse * 16; i++)
		s.gradient[i] /= 2;
	check_gradient(&s);
	free(to_fine);
	free(to_coarse);
	sample_fini(&s);
}

static void check_set(const struct kernels *kernels)
{
	check(kernels, 4, 16, 64, 128);
	check(kernels, 5, 8, 128, 256);
	check(kernels, 9, 4, 256, 512);
	check(kernels, 3, 4, 20, 17);
	check(kernels, 1, 12, 16, 33);
	check(kernels, 131, 4, 16, 16);
}

static void test_plain(void **state)
{
	(void)state;
	check_set(&kernels_plain);
}

#ifdef __x86_64__
static void test_avx2(void **state)
{
	(void)state;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		check_set(&kernels_avx2);
}

static void test_avx512(void **state)
{
	(void)state;
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
		check_set(&kernels_avx512);
}
#endif

// The result does not depend on how many threads share the work.
static void test_threads(void **state)
{
	(void)state;
	float *first = NULL;
	size_t count = 0;
	for (int threads = 1; threads <= 3; threads++) {
		struct sample s;
		omp_set_num_threads(threads);
		sample_init(&s, kernels_pick(), 70, 8, 32, 32);
		struct kernels_source fine = {.kind = SOURCE_PLAIN, .d = s.fine.x},
				      coarse = {.kind = SOURCE_PLAIN, .d = s.coarse.x};
		count = 32 * 32 * 16;
		winograd_accumulate(&s.w, 70, &fine, &coarse, s.scratch);
		winograd_read_gradient(&s.w, s.gradient);
		if (first)
			assert_memory_equal(first, s.gradient, count * sizeof *first);
		else
			memcpy(first = mem_floats(count), s.gradient, count * sizeof *first);
		sample_fini(&s);
	}
	free(first);
	omp_set_num_threads(1);
}

static void test_fits(void **state)
{
	(void)state;
	assert_true(winograd_fits(4, 16, 32));
	assert_false(winograd_fits(6, 16, 32));
	assert_false(winograd_fits(4, 3, 32));
	assert_false(winograd_fits(4, 16, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
#ifdef __x86_64__
		cmocka_unit_test(test_avx2),
		cmocka_unit_test(test_avx512),
#endif
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
