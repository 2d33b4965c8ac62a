// layers [BATCH [RUNS]]: DCGAN's layers one by one, ours and oneDNN's direct ones, and what a matrix product does on
// the same threads. It does not train: prints a table. A layer's three computations are timed warm, the median of RUNS;
// GFLOPS are counted as of a direct convolution, for either.
#include "common/layer.h"
#include "common/mem.h"
#include "common/op.h"
#include "dcgan/net.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MOST_RUNS 101

enum pass { FORWARD, DATA, WEIGHTS, PASSES };

struct bench {
	int batch, runs;
	double total[2][PASSES];
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(int runs, void (*call)(void *), void *arg)
{
	double t[MOST_RUNS];
	call(arg);
	for (int i = 0; i < runs; i++) {
		double start = now();
		call(arg);
		t[i] = now() - start;
	}
	qsort(t, (size_t)runs, sizeof *t, by_size);
	return t[runs / 2];
}

static void fill(float *x, size_t count)
{
	unsigned s = 1;
	for (size_t i = 0; i < count; i++) {
		s = s * 1664525u + 1013904223u;
		x[i] = (float)(s >> 8) / (1 << 23) - 1;
	}
}

// ---- ours

struct ours {
	struct layer *layer;
	int batch;
};

static void ours_forward(void *arg)
{
	struct ours *o = arg;
	layer_params_changed(o->layer);
	layer_forward(o->layer, o->batch);
}

static void ours_data(void *arg)
{
	struct ours *o = arg;
	layer_backward(o->layer, o->batch, LAYER_INPUT);
}

static void ours_weights(void *arg)
{
	struct ours *o = arg;
	layer_backward(o->layer, o->batch, LAYER_WEIGHTS | LAYER_LAST);
}

static void time_ours(const struct bench *b, const struct layer_spec *spec, struct layer_shape in,
	double seconds[PASSES], const char **way)
{
	struct layer_device *device = layer_device_new();
	struct layer_shape out = layer_shape_out(spec, in);
	float *params = mem_floats(layer_param_count(spec, in)), *grads = mem_floats(layer_param_count(spec, in));
	float *x = mem_floats(layer_shape_count(in)), *gradient = mem_floats(layer_shape_count(out));
	size_t accumulated = 0;
	struct layer_edge *from = layer_edge_new_input(device, in), *to;
	struct ours o = {layer_new(device, spec, LAYER_WINOGRAD, from, params, grads, &accumulated, &to), b->batch};
	fill(params, layer_param_count(spec, in));
	fill(x, layer_shape_count(in));
	fill(gradient, layer_shape_count(out));
	layer_edge_place_gradient(from, 0);
	layer_edge_place_gradient(to, 1);
	layer_edge_set_value(from, x);
	layer_forward(o.layer, b->batch);
	layer_edge_set_output_gradient(to, b->batch, gradient, 0);
	seconds[FORWARD] = median(b->runs, ours_forward, &o);
	seconds[DATA] = median(b->runs, ours_data, &o);
	seconds[WEIGHTS] = median(b->runs, ours_weights, &o);
	*way = layer_way_name(o.layer);
	layer_free(o.layer);
	layer_edge_free(to);
	layer_edge_free(from);
	free(params);
	free(grads);
	free(x);
	free(gradient);
	layer_device_free(device);
}

// ---- oneDNN's: the bare primitive, all memory in the layouts it likes best

static dnnl_memory_desc_t any(struct layer_shape s)
{
	dnnl_memory_desc_t md;
	dnnl_dims_t dims = {s.n, s.c, s.h, s.w};
	op_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, dnnl_format_tag_any));
	return md;
}

static void init_pass(struct op *op, struct op_device *device, const struct layer_spec *s, struct layer_shape in,
	enum pass pass, const struct op *forward)
{
	dnnl_memory_desc_t from = any(in), to = any(layer_shape_out(s, in)),
			   w = any((struct layer_shape){s->channels, in.c, s->kernel, s->kernel});
	dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->pad, s->pad};
	const dnnl_alg_kind_t con = dnnl_convolution_direct, dec = dnnl_deconvolution_direct;
	union {
		dnnl_convolution_desc_t c;
		dnnl_deconvolution_desc_t d;
	} u;
	if (s->kind == LAYER_CONV && pass == FORWARD)
		op_must(dnnl_convolution_forward_desc_init(
			&u.c, dnnl_forward_training, con, &from, &w, NULL, &to, stride, pad, pad));
	else if (s->kind == LAYER_CONV && pass == DATA)
		op_must(dnnl_convolution_backward_data_desc_init(&u.c, con, &from, &w, &to, stride, pad, pad));
	else if (s->kind == LAYER_CONV)
		op_must(dnnl_convolution_backward_weights_desc_init(&u.c, con, &from, &w, NULL, &to, stride, pad, pad));
	else if (pass == FORWARD)
		op_must(dnnl_deconvolution_forward_desc_init(
			&u.d, dnnl_forward_training, dec, &from, &w, NULL, &to, stride, pad, pad));
	else if (pass == DATA)
		op_must(dnnl_deconvolution_backward_data_desc_init(&u.d, dec, &from, &w, &to, stride, pad, pad));
	else
		op_must(dnnl_deconvolution_backward_weights_desc_init(
			&u.d, dec, &from, &w, NULL, &to, stride, pad, pad));
	op_init(op, device, &u, forward);
}

static void run_op(void *arg)
{
	op_run(arg);
}

static double time_pass(const struct bench *b, struct op *op, struct op_device *device, enum pass pass)
{
	static const struct {
		int arg;
		dnnl_query_t md;
	} all[PASSES][3] = {{{DNNL_ARG_SRC, dnnl_query_src_md}, {DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
				    {DNNL_ARG_DST, dnnl_query_dst_md}},
		{{DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md}, {DNNL_ARG_WEIGHTS, dnnl_query_weights_md},
			{DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md}},
		{{DNNL_ARG_SRC, dnnl_query_src_md}, {DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md},
			{DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md}}};
	dnnl_memory_t memory[3];
	float *data[3];
	for (int i = 0; i < 3; i++) {
		const dnnl_memory_desc_t *md = op_md(op, all[pass][i].md);
		data[i] = op_floats(md);
		fill(data[i], dnnl_memory_desc_get_size(md) / sizeof(float));
		memory[i] = op_memory_new(device, md, data[i]);
		op_arg(op, all[pass][i].arg, memory[i]);
	}
	double seconds = median(b->runs, run_op, op);
	for (int i = 0; i < 3; i++) {
		dnnl_memory_destroy(memory[i]);
		free(data[i]);
	}
	return seconds;
}

static void time_direct(
	const struct bench *b, const struct layer_spec *spec, struct layer_shape in, double seconds[PASSES])
{
	struct op_device device;
	struct op op[PASSES] = {0};
	op_device_init(&device);
	for (enum pass p = FORWARD; p < PASSES; p++) {
		init_pass(&op[p], &device, spec, in, p, p == FORWARD ? NULL : &op[FORWARD]);
		seconds[p] = time_pass(b, &op[p], &device, p);
	}
	for (enum pass p = FORWARD; p < PASSES; p++)
		op_fini(&op[p]);
	op_device_fini(&device);
}

// ---- the table

static void bench_layer(struct bench *b, const char *name, struct layer_spec spec, struct layer_shape in)
{
	double ours[PASSES], direct[PASSES];
	const char *way;
	struct layer_shape out = layer_shape_out(&spec, in);
	int pixels = spec.kind == LAYER_CONV ? out.h * out.w : in.h * in.w;
	double gflop = 2e-9 * in.n * pixels * spec.kernel * spec.kernel * in.c * spec.channels;
	spec.norm = false; // the convolution alone
	spec.activation = LAYER_LINEAR;
	time_ours(b, &spec, in, ours, &way);
	time_direct(b, &spec, in, direct);
	printf("| %s | %dx%dx%d to %dx%dx%d | %s |", name, in.c, in.h, in.w, out.c, out.h, out.w, way);
	for (int p = 0; p < PASSES; p++) {
		printf(" %.1f, %.0f | %.1f, %.0f |", ours[p] * 1e3, gflop / ours[p], direct[p] * 1e3,
			gflop / direct[p]);
		b->total[0][p] += ours[p];
		b->total[1][p] += direct[p];
	}
	printf("\n");
	fflush(stdout);
}

static void bench_net(struct bench *b, struct net *net, char letter)
{
	struct layer_shape shape = net->in;
	shape.n = b->batch;
	for (int i = 0; i < net->layers; i++) {
		char name[16];
		snprintf(name, sizeof name, "%c%d", letter, i + 1);
		bench_layer(b, name, net->spec[i], shape);
		shape = layer_shape_out(&net->spec[i], shape);
	}
	net_fini(net);
}

struct product {
	int size;
	float *a, *b, *c;
};

static void multiply(void *arg)
{
	struct product *p = arg;
	op_sgemm('N', 'N', p->size, p->size, p->size, p->a, p->size, p->b, p->size, 0, p->c, p->size);
}

static double sgemm_gflops(int runs)
{
	struct product p = {.size = 2048};
	size_t count = (size_t)p.size * (size_t)p.size;
	float **all[] = {&p.a, &p.b, &p.c};
	for (int i = 0; i < 3; i++)
		fill(*all[i] = mem_floats(count), count);
	double seconds = median(runs, multiply, &p);
	for (int i = 0; i < 3; i++)
		free(*all[i]);
	return 2e-9 * (double)count * p.size / seconds;
}

int main(int argc, char **argv)
{
	struct bench b = {.batch = argc > 1 ? atoi(argv[1]) : 128, .runs = argc > 2 ? atoi(argv[2]) : 5};
	if (b.batch < 1 || b.runs < 1 || b.runs > MOST_RUNS)
		return fprintf(stderr, "Usage: layers [BATCH [RUNS]], at most %d runs\n", MOST_RUNS), 2;
	struct net generator, discriminator;
	net_init_generator(&generator, 1, 64);
	net_init_discriminator(&discriminator, 1, 64);
	printf("sgemm_gflops %.0f (%d threads, %s)\n\n", sgemm_gflops(b.runs), omp_get_max_threads(), op_isa());
	printf("| layer | from, to | way | forward: ours ms, GFLOPS | oneDNN | backward, data: ours | oneDNN | "
	       "backward, weights: ours | oneDNN |\n");
	printf("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
	bench_net(&b, &discriminator, 'D');
	bench_net(&b, &generator, 'G');
	printf("| all | | |");
	for (int p = 0; p < PASSES; p++)
		printf(" %.1f | %.1f |", b.total[0][p] * 1e3, b.total[1][p] * 1e3);
	printf("\n");
	return 0;
}
