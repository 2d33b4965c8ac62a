#include "common/layer.h"

#include "common/columns.h"
#include "common/die.h"
#include "common/direct.h"
#include "common/edge.h"
#include "common/mem.h"
#include "common/winograd.h"

#include <omp.h>
#include <stdlib.h>

struct layer {
	struct layer_device *device;
	struct layer_spec spec;
	struct layer_edge *in, *out;
	const float *params;
	float *grads;
	size_t accumulated; // where in REGION_ACCUMULATED the weights' gradient is
	bool stale;         // the transformed weights are older than the parameters
	enum { BY_WINOGRAD, BY_COLUMNS, BY_ONEDNN } by;
	struct winograd winograd;
	struct columns columns;
	struct direct *direct; // for batches of DIRECT_N
	int direct_n;
};

// ---- shapes

struct layer_shape layer_shape_out(const struct layer_spec *s, struct layer_shape in)
{
	struct layer_shape out = {.n = in.n, .c = s->channels};
	if (s->kind == LAYER_CONV) {
		out.h = (in.h + 2 * s->pad - s->kernel) / s->stride + 1;
		out.w = (in.w + 2 * s->pad - s->kernel) / s->stride + 1;
	} else {
		out.h = (in.h - 1) * s->stride - 2 * s->pad + s->kernel;
		out.w = (in.w - 1) * s->stride - 2 * s->pad + s->kernel;
	}
	if (out.h < 1 || out.w < 1)
		die("a %dx%d kernel does not fit on %dx%d", s->kernel, s->kernel, in.h, in.w);
	return out;
}

static size_t weights_count(const struct layer_spec *s, struct layer_shape in)
{
	return (size_t)s->channels * in.c * s->kernel * s->kernel;
}

size_t layer_param_count(const struct layer_spec *s, struct layer_shape in)
{
	return weights_count(s, in) + (s->norm ? (size_t)s->channels * 2 : 0);
}

size_t layer_shape_count(struct layer_shape s)
{
	return (size_t)s.n * s.c * s.h * s.w;
}

// ---- Winograd's way

static struct layer_edge *fine_edge(const struct layer *l)
{
	return l->spec.kind == LAYER_CONV ? l->in : l->out;
}

static struct layer_edge *coarse_edge(const struct layer *l)
{
	return l->spec.kind == LAYER_CONV ? l->out : l->in;
}

static bool winograd_is_for(const struct layer *l)
{
	const struct layer_spec *s = &l->spec;
	const struct layer_edge *fine = fine_edge(l), *coarse = coarse_edge(l);
	return s->kernel == 4 && s->stride == 2 && s->pad == 1 && fine->shape.h == fine->shape.w &&
	       fine->shape.h == 2 * coarse->shape.h && winograd_fits(coarse->shape.h, fine->ld, coarse->ld);
}

static void winograd_start(struct layer *l, size_t *accumulated)
{
	const struct layer_edge *fine = fine_edge(l), *coarse = coarse_edge(l);
	struct winograd *w = &l->winograd;
	winograd_init(w, l->in->shape.n, coarse->shape.h, fine->shape.c, coarse->shape.c, fine->ld, coarse->ld);
	w->weights = mem_map(winograd_weights_count(w));
	l->accumulated = *accumulated;
	*accumulated += winograd_weights_count(w);
	layer_need(l->device, REGION_ACCUMULATED, *accumulated);
	layer_need(l->device, REGION_SCRATCH, winograd_scratch_count(w, omp_get_max_threads()));
}

// From one edge to the other: up from IN to OUT, or the gradient down.
static int winograd_pass(struct layer *l, int n, bool up)
{
	struct winograd *w = &l->winograd;
	struct kernels_source source = up ? edge_value(l->in) : edge_gradient(l->out);
	float *scratch = layer_region(l->device, REGION_SCRATCH);
	float *to = up ? l->out->value : layer_region(l->device, l->in->gradient);
	struct winograd_finish finish = {up ? edge_finish_value : edge_finish_gradient, up ? l->out : l->in};
	if (l->stale)
		winograd_weights(w, l->params);
	l->stale = false;
	if (up == (l->spec.kind == LAYER_CONV))
		winograd_to_coarse(w, n, &source, to, scratch, finish);
	else
		winograd_to_fine(w, n, &source, to, scratch, finish);
	return (n + winograd_chunk(w) - 1) / winograd_chunk(w);
}

static void winograd_gradient(struct layer *l, int n, int what)
{
	struct winograd *w = &l->winograd;
	struct kernels_source in = edge_value(l->in), out = edge_gradient(l->out);
	bool conv = l->spec.kind == LAYER_CONV;
	w->gradient = layer_region(l->device, REGION_ACCUMULATED) + l->accumulated;
	winograd_accumulate(w, n, conv ? &in : &out, conv ? &out : &in, layer_region(l->device, REGION_SCRATCH));
	if (what & LAYER_LAST)
		winograd_read_gradient(w, l->grads);
}

// ---- as one product

static bool columns_are_for(const struct layer *l)
{
	const struct layer_edge *fine = fine_edge(l), *coarse = coarse_edge(l);
	return fine->shape.h == fine->shape.w && coarse->shape.h == coarse->shape.w &&
	       columns_fits(coarse->shape.h, fine->shape.c);
}

static void columns_start(struct layer *l)
{
	const struct layer_edge *fine = fine_edge(l), *coarse = coarse_edge(l);
	l->columns = (struct columns){.kernels = l->device->kernels,
		.n = l->in->shape.n,
		.kernel = l->spec.kernel,
		.stride = l->spec.stride,
		.pad = l->spec.pad,
		.fine_edge = fine->shape.h,
		.coarse_edge = coarse->shape.h,
		.fine = fine->shape.c,
		.coarse = coarse->shape.c,
		.fine_ld = fine->ld,
		.coarse_ld = coarse->ld};
	layer_need(l->device, REGION_SCRATCH, columns_scratch_count(&l->columns, omp_get_max_threads()));
}

static int columns_pass(struct layer *l, int n, bool up)
{
	struct kernels_source source = up ? edge_value(l->in) : edge_gradient(l->out);
	float *scratch = layer_region(l->device, REGION_SCRATCH);
	float *to = up ? l->out->value : layer_region(l->device, l->in->gradient);
	struct winograd_finish finish = {up ? edge_finish_value : edge_finish_gradient, up ? l->out : l->in};
	if (up == (l->spec.kind == LAYER_CONV))
		columns_to_coarse(&l->columns, n, l->params, &source, to, scratch, finish);
	else
		columns_to_fine(&l->columns, n, l->params, &source, to, scratch, finish);
	return (n + columns_chunk(&l->columns) - 1) / columns_chunk(&l->columns);
}

static void columns_weights(struct layer *l, int n)
{
	struct kernels_source in = edge_value(l->in), out = edge_gradient(l->out);
	bool conv = l->spec.kind == LAYER_CONV;
	columns_gradient(&l->columns, n, conv ? &in : &out, conv ? &out : &in, l->grads,
		layer_region(l->device, REGION_SCRATCH));
}

// ---- oneDNN's

static struct direct_side side(const struct layer_edge *e, int n)
{
	return (struct direct_side){.n = n, .channels = e->shape.c, .edge = e->shape.h, .ld = e->ld};
}

static void direct_start(struct layer *l, int n)
{
	if (l->direct_n == n)
		return;
	struct direct_shape s = {.transposed = l->spec.kind == LAYER_DECONV,
		.kernel = l->spec.kernel,
		.stride = l->spec.stride,
		.pad = l->spec.pad,
		.in = side(l->in, n),
		.out = side(l->out, n)};
	direct_free(l->direct);
	l->direct = direct_new(&l->device->op, &s, l->params);
	l->direct_n = n;
}

// What SOURCE reads on edge E, in memory: its own, or a copy in REGION.
static const float *whole(struct layer_edge *e, const struct kernels_source *source, int n, enum layer_region region)
{
	if (source->kind == SOURCE_PLAIN)
		return source->d;
	float *to = layer_region(e->device, region);
	size_t pixels = (size_t)e->shape.h * e->shape.w;
#pragma omp parallel for
	for (int i = 0; i < n; i++)
		e->device->kernels->read(source, i * pixels, pixels, e->ld, to + i * pixels * e->ld);
	return to;
}

static int direct_up(struct layer *l, int n)
{
	struct kernels_source in = edge_value(l->in);
	direct_forward(l->direct, whole(l->in, &in, n, REGION_VALUE), l->out->value);
#pragma omp parallel for
	for (int i = 0; i < n; i++)
		edge_finish_value(l->out, i, i, 1);
	return n;
}

static int direct_down(struct layer *l, int n)
{
	struct kernels_source out = edge_gradient(l->out);
	direct_backward_data(l->direct, whole(l->out, &out, n, REGION_SLOPE), layer_region(l->device, l->in->gradient));
#pragma omp parallel for
	for (int i = 0; i < n; i++)
		edge_finish_gradient(l->in, i, i, 1);
	return n;
}

static void direct_gradient(struct layer *l, int n)
{
	struct kernels_source in = edge_value(l->in), out = edge_gradient(l->out);
	const float *value = whole(l->in, &in, n, REGION_VALUE), *gradient = whole(l->out, &out, n, REGION_SLOPE);
	direct_backward_weights(l->direct, value, gradient, l->grads);
}

// ---- any

struct layer *layer_new(struct layer_device *d, const struct layer_spec *spec, enum layer_way way,
	struct layer_edge *in, const float *params, float *grads, size_t *accumulated, struct layer_edge **out)
{
	struct layer *l = mem_new(1, sizeof *l);
	*l = (struct layer){.device = d, .spec = *spec, .in = in, .params = params, .grads = grads, .stale = true};
	l->out = *out = edge_new(d, layer_shape_out(spec, in->shape), spec);
	size_t weights = weights_count(spec, in->shape);
	if (spec->norm) {
		l->out->gamma = params + weights;
		l->out->beta = params + weights + spec->channels;
		l->out->gamma_grad = grads + weights;
		l->out->beta_grad = grads + weights + spec->channels;
	}
	if (way == LAYER_WINOGRAD && winograd_is_for(l)) {
		l->by = BY_WINOGRAD;
		winograd_start(l, accumulated);
	} else if (way == LAYER_WINOGRAD && columns_are_for(l)) {
		l->by = BY_COLUMNS;
		columns_start(l);
	} else {
		l->by = BY_ONEDNN;
		layer_need(d, REGION_VALUE,
			layer_shape_count((struct layer_shape){in->shape.n, in->ld, in->shape.h, in->shape.w}));
		layer_need(d, REGION_SLOPE,
			layer_shape_count(
				(struct layer_shape){in->shape.n, l->out->ld, l->out->shape.h, l->out->shape.w}));
	}
	return l;
}

void layer_free(struct layer *l)
{
	if (!l)
		return;
	if (l->by == BY_WINOGRAD)
		mem_unmap(l->winograd.weights, winograd_weights_count(&l->winograd));
	direct_free(l->direct);
	free(l);
}

void layer_params_changed(struct layer *l)
{
	l->stale = true;
	if (l->direct)
		direct_weights_changed(l->direct);
}

void layer_forward(struct layer *l, int n)
{
	int chunks;
	if (l->by == BY_WINOGRAD) {
		chunks = winograd_pass(l, n, true);
	} else if (l->by == BY_COLUMNS) {
		chunks = columns_pass(l, n, true);
	} else {
		direct_start(l, n);
		chunks = direct_up(l, n);
	}
	edge_value_done(l->out, n, chunks);
}

static void backward_weights(struct layer *l, int n, int what)
{
	if (l->by == BY_WINOGRAD)
		winograd_gradient(l, n, what);
	else if (l->by == BY_COLUMNS)
		columns_weights(l, n);
	else
		direct_gradient(l, n);
}

void layer_backward(struct layer *l, int n, int what)
{
	if (what & LAYER_WEIGHTS)
		backward_weights(l, n, what);
	if (!(what & LAYER_INPUT))
		return;
	int chunks = l->by == BY_WINOGRAD  ? winograd_pass(l, n, false)
		     : l->by == BY_COLUMNS ? columns_pass(l, n, false)
					   : direct_down(l, n);
	edge_gradient_done(l->in, n, chunks, what);
}

const char *layer_way_name(const struct layer *l)
{
	static const char *const names[] = {
		[BY_WINOGRAD] = "winograd", [BY_COLUMNS] = "columns", [BY_ONEDNN] = "direct"};
	return names[l->by];
}

const char *layer_isa(void)
{
	return op_isa();
}
