// Compiled once for each instruction set, with WIDTH floats to a vector and NAME for the table it defines.
#include "common/kernels.h"

#include <math.h>
#include <string.h>

typedef float vec __attribute__((vector_size(WIDTH * sizeof(float)), aligned(4), may_alias));

#define inline_ static inline __attribute__((always_inline))

inline_ vec load(const float *p)
{
	return *(const vec *)p;
}

inline_ void store(float *p, vec v)
{
	*(vec *)p = v;
}

// ---- reading and finishing

static void read_plain(const struct kernels_source *s, size_t first, size_t pixels, int ld, float *out)
{
	memcpy(out, s->d + first * ld, pixels * ld * sizeof *out);
}

static void read_activation(const struct kernels_source *s, size_t first, size_t pixels, int ld, float *restrict out)
{
	const float *restrict d = s->d + first * ld, *restrict a = s->a, *restrict b = s->b;
	const float slope = s->slope;
	for (size_t i = 0; i < pixels; i++, d += ld, out += ld)
		for (int c = 0; c < ld; c++) {
			float v = a[c] * d[c] + b[c];
			out[c] = v > 0 ? v : v * slope;
		}
}

static void read_gradient(const struct kernels_source *s, size_t first, size_t pixels, int ld, float *restrict out)
{
	const float *restrict d = s->d + first * ld, *restrict raw = s->raw + first * ld;
	const float *restrict a = s->a, *restrict b = s->b, *restrict shift = s->c;
	for (size_t i = 0; i < pixels; i++, d += ld, raw += ld, out += ld)
		for (int c = 0; c < ld; c++)
			out[c] = a[c] * d[c] + (b[c] * raw[c] + shift[c]);
}

static void read(const struct kernels_source *s, size_t first, size_t pixels, int ld, float *out)
{
	if (s->kind == SOURCE_PLAIN)
		read_plain(s, first, pixels, ld, out);
	else if (s->kind == SOURCE_ACTIVATION)
		read_activation(s, first, pixels, ld, out);
	else
		read_gradient(s, first, pixels, ld, out);
}

static void sum(const float *restrict x, size_t pixels, int ld, float *restrict sum, float *restrict squares)
{
	for (size_t i = 0; i < pixels; i++, x += ld)
		for (int c = 0; c < ld; c++) {
			sum[c] += x[c];
			squares[c] += x[c] * x[c];
		}
}

static void slope(float *restrict g, const float *restrict raw, size_t pixels, int ld, const float *restrict a,
	const float *restrict b, float slope, float *restrict sum, float *restrict with_raw)
{
	for (size_t i = 0; i < pixels; i++, g += ld, raw += ld)
		for (int c = 0; c < ld; c++) {
			float v = a[c] * raw[c] + b[c] > 0 ? g[c] : g[c] * slope;
			g[c] = v;
			sum[c] += v;
			with_raw[c] += v * raw[c];
		}
}

// ---- F(4, 2) in one dimension; the matrices are derived in winograd.h

inline_ void gather_fine(vec r[5], const vec d[5]) // B^T
{
	r[3] = d[3] - d[1];
	r[0] = 2 * (d[0] - d[2]) + r[3];
	r[1] = d[3] - d[2] - 2 * d[1];
	r[2] = d[3] - 3 * d[2] + 2 * d[1];
	r[4] = d[4] - d[2] - 2 * r[3];
}

inline_ void scatter_fine(vec d[5], const vec r[5]) // B
{
	vec s = r[0] + r[3] - 2 * r[4];
	d[0] = 2 * r[0];
	d[1] = 2 * (r[2] - r[1]) - s;
	d[2] = -2 * r[0] - r[1] - 3 * r[2] - r[4];
	d[3] = s + r[1] + r[2];
	d[4] = r[4];
}

inline_ void scatter_coarse(vec y[4], const vec m[5]) // A^T
{
	vec plus = m[1] + m[2], minus = m[1] - m[2];
	y[0] = m[0] + plus + m[3];
	y[1] = minus + 2 * m[3];
	y[2] = plus + 4 * m[3];
	y[3] = minus + 8 * m[3] + m[4];
}

inline_ void gather_coarse(vec m[5], const vec y[4]) // A
{
	vec even = y[0] + y[2], odd = y[1] + y[3];
	m[0] = y[0];
	m[1] = even + odd;
	m[2] = even - odd;
	m[3] = y[0] + 2 * y[1] + 4 * y[2] + 8 * y[3];
	m[4] = y[3];
}

inline_ void gather_weights(vec u[5], const vec w[2]) // G
{
	u[0] = w[0] / 2;
	u[1] = (w[0] + w[1]) / -2;
	u[2] = (w[1] - w[0]) / 6;
	u[3] = (w[0] + 2 * w[1]) / 6;
	u[4] = w[1];
}

inline_ void scatter_weights(vec w[2], const vec u[5]) // G^T
{
	w[0] = (u[0] - u[1]) / 2 + (u[3] - u[2]) / 6;
	w[1] = u[1] / -2 + (u[2] + 2 * u[3]) / 6 + u[4];
}

// ---- and in two: over the columns, then over the rows

#define EACH(i, count) _Pragma("GCC unroll 5") for (int i = 0; i < (count); i++)

static void fine_gather(const float *x, size_t row, int ld, struct kernels_tile v)
{
	for (int p = 0; p < 4; p++)
		for (int c = 0; c < ld; c += WIDTH) {
			const float *from = x + (p >> 1) * row + (size_t)(p & 1) * ld + c;
			float *to = v.at + (size_t)p * ld + c;
			vec t[5][5];
			EACH(j, 5)
			{
				vec d[5], r[5];
				EACH(i, 5) d[i] = load(from + 2 * i * row + (size_t)2 * j * ld);
				gather_fine(r, d);
				EACH(i, 5) t[i][j] = r[i];
			}
			EACH(i, 5)
			{
				vec r[5];
				gather_fine(r, t[i]);
				EACH(j, 5) store(to + (i * 5 + j) * v.step, r[j]);
			}
		}
}

static void fine_scatter(float *x, size_t row, int ld, struct kernels_tile v)
{
	for (int p = 0; p < 4; p++)
		for (int c = 0; c < ld; c += WIDTH) {
			const float *from = v.at + (size_t)p * ld + c;
			float *to = x + (p >> 1) * row + (size_t)(p & 1) * ld + c;
			vec t[5][5];
			EACH(j, 5)
			{
				vec d[5], r[5];
				EACH(i, 5) r[i] = load(from + (i * 5 + j) * v.step);
				scatter_fine(d, r);
				EACH(i, 5) t[i][j] = d[i];
			}
			EACH(i, 5)
			{
				vec d[5];
				scatter_fine(d, t[i]);
				EACH(j, 5)
				{
					float *pixel = to + 2 * i * row + (size_t)2 * j * ld;
					store(pixel, load(pixel) + d[j]);
				}
			}
		}
}

static void coarse_gather(const float *y, size_t row, int ld, struct kernels_tile q)
{
	for (int c = 0; c < ld; c += WIDTH) {
		vec t[5][4];
		EACH(j, 4)
		{
			vec d[4], r[5];
			EACH(i, 4) d[i] = load(y + i * row + (size_t)j * ld + c);
			gather_coarse(r, d);
			EACH(i, 5) t[i][j] = r[i];
		}
		EACH(i, 5)
		{
			vec r[5];
			gather_coarse(r, t[i]);
			EACH(j, 5) store(q.at + c + (i * 5 + j) * q.step, r[j]);
		}
	}
}

static void coarse_scatter(float *y, size_t row, int ld, struct kernels_tile q)
{
	for (int c = 0; c < ld; c += WIDTH) {
		vec t[4][5];
		EACH(j, 5)
		{
			vec d[4], r[5];
			EACH(i, 5) r[i] = load(q.at + c + (i * 5 + j) * q.step);
			scatter_coarse(d, r);
			EACH(i, 4) t[i][j] = d[i];
		}
		EACH(i, 4)
		{
			vec d[4];
			scatter_coarse(d, t[i]);
			EACH(j, 4) store(y + i * row + (size_t)j * ld + c, d[j]);
		}
	}
}

// ---- weights. Vectors run over the coarse channels, which in PyTorch's order are the farthest apart: WIDTH kernels
// are turned at a time.

static void weights(const float *w, int fine, int coarse, float *u, size_t phase, size_t step)
{
	for (int k = 0; k < coarse; k += WIDTH) {
		float turned[16][WIDTH] = {0};
		for (int l = 0; l < WIDTH && k + l < coarse; l++)
			for (int i = 0; i < 16; i++)
				turned[i][l] = w[(size_t)(k + l) * fine * 16 + i];
		for (int p = 0; p < 4; p++) {
			vec t[5][2];
			EACH(f, 2)
			{
				vec r[5], d[2];
				EACH(e, 2) d[e] = load(turned[(2 * e + (p >> 1)) * 4 + 2 * f + (p & 1)]);
				gather_weights(r, d);
				EACH(i, 5) t[i][f] = r[i];
			}
			EACH(i, 5)
			{
				vec r[5];
				gather_weights(r, t[i]);
				EACH(j, 5) store(u + p * phase + (i * 5 + j) * step + k, r[j]);
			}
		}
	}
}

static void weights_gradient(float *w, int fine, int coarse, const float *u, size_t phase, size_t step)
{
	for (int k = 0; k < coarse; k += WIDTH) {
		float turned[16][WIDTH];
		for (int p = 0; p < 4; p++) {
			vec t[2][5];
			EACH(j, 5)
			{
				vec r[5], d[2];
				EACH(i, 5) r[i] = load(u + p * phase + (i * 5 + j) * step + k);
				scatter_weights(d, r);
				EACH(e, 2) t[e][j] = d[e];
			}
			EACH(e, 2)
			{
				vec d[2];
				scatter_weights(d, t[e]);
				EACH(f, 2) store(turned[(2 * e + (p >> 1)) * 4 + 2 * f + (p & 1)], d[f]);
			}
		}
		for (int l = 0; l < WIDTH && k + l < coarse; l++)
			for (int i = 0; i < 16; i++)
				w[(size_t)(k + l) * fine * 16 + i] += turned[i][l];
	}
}

static void adam(float *restrict x, const float *restrict g, float *restrict m, float *restrict v, size_t count,
	const struct kernels_adam *k)
{
	const struct kernels_adam a = *k;
	for (size_t i = 0; i < count; i++) {
		m[i] = a.b1 * m[i] + a.c1 * g[i];
		v[i] = a.b2 * v[i] + a.c2 * g[i] * g[i];
		x[i] -= a.rate * m[i] / (sqrtf(v[i]) * a.root + a.epsilon);
	}
}

extern const struct kernels NAME;
const struct kernels NAME = {SAID, read, sum, slope, fine_gather, fine_scatter, coarse_gather, coarse_scatter, weights,
	weights_gradient, adam};
