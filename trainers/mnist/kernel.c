#include "mnist/kernel.h"

#include <float.h>
#include <math.h>
#include <string.h>

// GCC's own vectors: 16 floats are one register of AVX-512, two of AVX, four of SSE, from the same source.
#define VECTOR float __attribute__((vector_size(64)))
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#define TALL 5 // rows of a tile: with WIDE vectors of each it fills the registers and no more
#define MAX_WIDE 3

// T rows and C vectors of the output, from I and COLUMN on. T and C are constants where this is inlined, so ACC is
// registers.
INLINE void tile(const struct kernel_product *p, size_t i, size_t column, int t, int c)
{
	VECTOR acc[TALL][MAX_WIDE] = {0};
	const float *a = p->a + i * p->a_row;
	for (size_t j = 0; j < p->terms; j++, a += p->a_term) {
		VECTOR m[MAX_WIDE];
		memcpy(m, p->m[j] + column, sizeof *m * (size_t)c);
		UNROLL for (int y = 0; y < t; y++) UNROLL for (int x = 0; x < c; x++) acc[y][x] +=
			a[(size_t)y * p->a_row] * m[x];
	}
	UNROLL for (int y = 0; y < t; y++)
		memcpy(p->out + (i + (size_t)y) * p->width + column, acc[y], sizeof *acc[y] * (size_t)c);
}

// All columns of T rows. The last vector is moved to the left until it fits: some columns are computed twice, and are
// the same twice.
INLINE void band(const struct kernel_product *p, size_t i, int t, int wide)
{
	size_t column = 0;
	for (; column + 16 * (size_t)wide <= p->width; column += 16 * (size_t)wide)
		tile(p, i, column, t, wide);
	for (; column < p->width; column += 16)
		tile(p, i, column + 16 <= p->width ? column : p->width - 16, t, 1);
}

INLINE void product(const struct kernel_product *p, int wide)
{
	size_t i = 0;
	for (; i + TALL <= p->rows; i += TALL)
		band(p, i, TALL, wide);
	for (; i < p->rows; i++)
		band(p, i, 1, wide);
}

// A row of Adam. The compiler makes vectors of it: everything that could keep it from that (errno of sqrtf, the order
// of a sum) is not there.
INLINE int adam_row(const struct kernel_adam *a, size_t at, const float *restrict g, size_t count)
{
	const float *restrict p = a->params + at, *restrict m = a->m + at, *restrict v = a->v + at;
	float *restrict np = a->new_params + at, *restrict nm = a->new_m + at, *restrict nv = a->new_v + at,
			*restrict copy = a->copy + at;
	float b1 = a->beta1, b2 = a->beta2, rate = a->rate, scale = a->scale, epsilon = a->epsilon;
	float share = (1 - b1) * a->weight, ahead = a->ahead;
	int odd = 0;
	_Pragma("GCC ivdep") for (size_t c = 0; c < count; c++)
	{
		float square = g[c] * g[c];
		odd |= !(square <= FLT_MAX); // infinite, or no number
		float mc = b1 * m[c] + share * g[c], vc = b2 * v[c] + (1 - b2) * square;
		float by = rate * mc / (sqrtf(vc) * scale + epsilon), pc = p[c] - by;
		nm[c] = mc;
		nv[c] = vc;
		np[c] = pc;
		copy[c] = pc - ahead * by;
	}
	return odd;
}

INLINE int adam(const struct kernel_adam *a)
{
	int odd = 0;
	for (size_t r = 0; r < a->rows; r++)
		odd |= adam_row(a, r * a->width, a->grad[r], a->width);
	return !odd;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))

AVX2 static void product_avx2(const struct kernel_product *p)
{
	product(p, 1);
}

AVX2 static int adam_avx2(const struct kernel_adam *a)
{
	return adam(a);
}

AVX512 static void product_avx512(const struct kernel_product *p)
{
	product(p, MAX_WIDE);
}

AVX512 static int adam_avx512(const struct kernel_adam *a)
{
	return adam(a);
}

static int supported(int n)
{
	if (n == 1)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	return n == 0 || (supported(1) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
				 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
}
#else
static int supported(int n)
{
	return n == 0;
}
#endif

static void product_any(const struct kernel_product *p)
{
	product(p, 1);
}

static int adam_any(const struct kernel_adam *a)
{
	return adam(a);
}

static const struct kernel kernels[] = {
	{"any", product_any, adam_any},
#if defined(__x86_64__)
	{"avx2", product_avx2, adam_avx2},
	{"avx512", product_avx512, adam_avx512},
#endif
};
#define KERNELS (int)(sizeof kernels / sizeof *kernels)

const struct kernel *kernel_find(int n)
{
	return n >= 0 && n < KERNELS && supported(n) ? &kernels[n] : NULL;
}

const struct kernel *kernel_best(void)
{
	int n = KERNELS - 1;
	while (!supported(n))
		n--;
	return &kernels[n];
}

void kernel_adam_set(struct kernel_adam *a, double rate, double t)
{
	a->beta1 = 0.9f;
	a->beta2 = 0.999f;
	a->epsilon = 1e-8f;
	a->weight = 1;
	a->ahead = 0;
	a->rate = (float)(rate / (1 - pow(0.9, t)));
	a->scale = (float)(1 / sqrt(1 - pow(0.999, t)));
}
