#include "common/layer.h"

#include "common/die.h"
#include "common/mem.h"
#include "common/op.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BN_EPSILON 1e-5f // PyTorch's

struct layer_device {
	struct op_device op;
	float *weight_grad; // a weight gradient in plain layout, on its way into the flat block
	size_t weight_grad_count;
};

struct layer_edge {
	struct layer_device *device;
	struct layer_shape shape;
	dnnl_memory_desc_t md; // of value and gradient alike
	dnnl_memory_t value, gradient;
	float *own; // the value's memory, unless it is the input's or shared with the edge before
	bool is_input;
};

// Convolution and transposed convolution: three primitives that need not agree on a layout.
struct conv {
	struct op forward, data, weights;
	dnnl_memory_t plain_weights, plain_gradient;
	struct op_port forward_src, forward_weights;
	struct op_port data_dst, data_weights, data_src;
	struct op_port weights_src, weights_dst, weights_gradient;
	bool forward_stale, data_stale; // the reordered weights are older than the parameters
};

struct norm {
	struct op forward, backward;
	dnnl_memory_t mean, variance, scale_shift, scale_shift_gradient;
	float *statistics, *gradient;
};

struct point {
	struct op forward, backward;
};

struct layer {
	struct layer_device *device;
	struct layer_spec spec;
	struct layer_edge *in, *out;
	const float *params;
	float *grads;
	size_t count;
	union {
		struct conv conv;
		struct norm norm;
		struct point point;
	};
};

// ---- shapes

static bool is_conv(enum layer_kind kind)
{
	return kind == LAYER_CONV || kind == LAYER_DECONV;
}

struct layer_shape layer_shape_out(const struct layer_spec *s, struct layer_shape in)
{
	if (!is_conv(s->kind))
		return in;
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

size_t layer_param_count(const struct layer_spec *s, struct layer_shape in)
{
	if (is_conv(s->kind))
		return (size_t)s->channels * in.c * s->kernel * s->kernel;
	return s->kind == LAYER_BATCH_NORM ? (size_t)in.c * 2 : 0;
}

size_t layer_shape_count(struct layer_shape s)
{
	return (size_t)s.n * s.c * s.h * s.w;
}

static dnnl_memory_desc_t shape_md(struct layer_shape s, dnnl_format_tag_t tag)
{
	dnnl_memory_desc_t md;
	dnnl_dims_t dims = {s.n, s.c, s.h, s.w};
	op_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, tag));
	return md;
}

// ---- the device

struct layer_device *layer_device_new(void)
{
	struct layer_device *d = mem_new(1, sizeof *d);
	op_device_init(&d->op);
	return d;
}

void layer_device_free(struct layer_device *d)
{
	if (!d)
		return;
	op_device_fini(&d->op);
	free(d->weight_grad);
	free(d);
}

static void need_weight_grad(struct layer_device *d, size_t count)
{
	if (count <= d->weight_grad_count)
		return;
	free(d->weight_grad);
	d->weight_grad = mem_floats(count);
	d->weight_grad_count = count;
}

// ---- edges

static struct layer_edge *edge_new(struct layer_device *d, struct layer_shape shape, const dnnl_memory_desc_t *md, dnnl_memory_t share)
{
	struct layer_edge *e = mem_new(1, sizeof *e);
	*e = (struct layer_edge){.device = d, .shape = shape, .md = *md};
	void *data = NULL;
	if (share)
		op_must(dnnl_memory_get_data_handle(share, &data));
	else
		data = e->own = op_floats(md);
	e->value = op_memory_new(&d->op, md, data);
	e->gradient = op_memory_new(&d->op, md, NULL);
	return e;
}

struct layer_edge *layer_edge_new_input(struct layer_device *d, struct layer_shape shape)
{
	struct layer_edge *e = mem_new(1, sizeof *e);
	*e = (struct layer_edge){.device = d, .shape = shape, .md = shape_md(shape, dnnl_nchw), .is_input = true};
	e->value = op_memory_new(&d->op, &e->md, NULL);
	e->gradient = op_memory_new(&d->op, &e->md, NULL);
	return e;
}

void layer_edge_free(struct layer_edge *e)
{
	if (!e)
		return;
	dnnl_memory_destroy(e->value);
	dnnl_memory_destroy(e->gradient);
	free(e->own);
	free(e);
}

void layer_edge_set_value(struct layer_edge *e, const float *value)
{
	assert(e->is_input);
	op_must(dnnl_memory_set_data_handle(e->value, (void *)value)); // only ever read: no layer works in place on an input
}

size_t layer_edge_bytes(const struct layer_edge *e)
{
	return dnnl_memory_desc_get_size(&e->md);
}

void layer_edge_set_gradient(struct layer_edge *e, float *gradient)
{
	op_must(dnnl_memory_set_data_handle(e->gradient, gradient));
}

static void edge_copy(struct layer_edge *e, dnnl_memory_t memory, float *plain, bool out)
{
	dnnl_memory_desc_t md = shape_md(e->shape, dnnl_nchw);
	struct layer_device *d = e->device;
	dnnl_memory_t other = op_memory_new(&d->op, &md, plain);
	dnnl_primitive_t reorder = out ? op_reorder_new(&d->op, &e->md, &md) : op_reorder_new(&d->op, &md, &e->md); // oneDNN caches it
	op_reorder_run(&d->op, reorder, out ? memory : other, out ? other : memory);
	op_must(dnnl_primitive_destroy(reorder));
	op_must(dnnl_memory_destroy(other));
}

void layer_edge_read_value(struct layer_edge *e, float *plain)
{
	edge_copy(e, e->value, plain, true);
}

void layer_edge_write_gradient(struct layer_edge *e, const float *plain)
{
	edge_copy(e, e->gradient, (float *)plain, false);
}

void layer_edge_read_gradient(struct layer_edge *e, float *plain)
{
	edge_copy(e, e->gradient, plain, true);
}

// ---- convolution and transposed convolution

enum pass { FORWARD, DATA, WEIGHTS };

// PyTorch keeps a convolution's weights as out,in,h,w and a transposed one's as in,out,h,w.
static dnnl_memory_desc_t conv_weights_md(const struct layer *l, bool any)
{
	dnnl_memory_desc_t md;
	dnnl_dims_t dims = {l->spec.channels, l->in->shape.c, l->spec.kernel, l->spec.kernel};
	dnnl_format_tag_t plain = l->spec.kind == LAYER_CONV ? dnnl_oihw : dnnl_iohw;
	op_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : plain));
	return md;
}

static void conv_op_init(struct layer *l, struct op *op, enum pass pass)
{
	const struct layer_spec *s = &l->spec;
	dnnl_memory_desc_t src = shape_md(l->in->shape, dnnl_format_tag_any);
	dnnl_memory_desc_t dst = shape_md(layer_shape_out(s, l->in->shape), dnnl_format_tag_any);
	dnnl_memory_desc_t w = conv_weights_md(l, true);
	dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->pad, s->pad};
	const dnnl_prop_kind_t train = dnnl_forward_training;
	const dnnl_alg_kind_t con = dnnl_convolution_direct, dec = dnnl_deconvolution_direct;
	union {
		dnnl_convolution_desc_t c;
		dnnl_deconvolution_desc_t d;
	} u;

	if (s->kind == LAYER_CONV) {
		if (pass == FORWARD)
			op_must(dnnl_convolution_forward_desc_init(&u.c, train, con, &src, &w, NULL, &dst, stride, pad, pad));
		else if (pass == DATA)
			op_must(dnnl_convolution_backward_data_desc_init(&u.c, con, &src, &w, &dst, stride, pad, pad));
		else
			op_must(dnnl_convolution_backward_weights_desc_init(&u.c, con, &src, &w, NULL, &dst, stride, pad, pad));
	} else {
		if (pass == FORWARD)
			op_must(dnnl_deconvolution_forward_desc_init(&u.d, train, dec, &src, &w, NULL, &dst, stride, pad, pad));
		else if (pass == DATA)
			op_must(dnnl_deconvolution_backward_data_desc_init(&u.d, dec, &src, &w, &dst, stride, pad, pad));
		else
			op_must(dnnl_deconvolution_backward_weights_desc_init(&u.d, dec, &src, &w, NULL, &dst, stride, pad, pad));
	}
	op_init(op, &l->device->op, &u, pass == FORWARD ? NULL : &l->conv.forward);
}

static void conv_init_backward(struct layer *l, const dnnl_memory_desc_t *plain)
{
	struct conv *c = &l->conv;
	struct layer_device *d = l->device;
	const dnnl_memory_desc_t *in = &l->in->md, *out = &l->out->md;

	conv_op_init(l, &c->data, DATA);
	op_port_init_read(&c->data_dst, &d->op, l->out->gradient, out, op_md(&c->data, dnnl_query_diff_dst_md));
	op_port_init_read(&c->data_weights, &d->op, c->plain_weights, plain, op_md(&c->data, dnnl_query_weights_md));
	op_port_init_write(&c->data_src, &d->op, l->in->gradient, in, op_md(&c->data, dnnl_query_diff_src_md));
	op_arg(&c->data, DNNL_ARG_DIFF_DST, c->data_dst.memory);
	op_arg(&c->data, DNNL_ARG_WEIGHTS, c->data_weights.memory);
	op_arg(&c->data, DNNL_ARG_DIFF_SRC, c->data_src.memory);

	conv_op_init(l, &c->weights, WEIGHTS);
	op_port_init_read(&c->weights_src, &d->op, l->in->value, in, op_md(&c->weights, dnnl_query_src_md));
	op_port_init_read(&c->weights_dst, &d->op, l->out->gradient, out, op_md(&c->weights, dnnl_query_diff_dst_md));
	op_port_init_write(&c->weights_gradient, &d->op, c->plain_gradient, plain, op_md(&c->weights, dnnl_query_diff_weights_md));
	op_arg(&c->weights, DNNL_ARG_SRC, c->weights_src.memory);
	op_arg(&c->weights, DNNL_ARG_DIFF_DST, c->weights_dst.memory);
	op_arg(&c->weights, DNNL_ARG_DIFF_WEIGHTS, c->weights_gradient.memory);
}

static void conv_init(struct layer *l)
{
	struct conv *c = &l->conv;
	struct layer_device *d = l->device;
	dnnl_memory_desc_t plain = conv_weights_md(l, false);

	need_weight_grad(d, l->count);
	c->plain_weights = op_memory_new(&d->op, &plain, (float *)l->params);
	c->plain_gradient = op_memory_new(&d->op, &plain, NULL);
	conv_op_init(l, &c->forward, FORWARD);
	l->out = edge_new(d, layer_shape_out(&l->spec, l->in->shape), op_md(&c->forward, dnnl_query_dst_md), NULL);
	op_port_init_read(&c->forward_src, &d->op, l->in->value, &l->in->md, op_md(&c->forward, dnnl_query_src_md));
	op_port_init_read(&c->forward_weights, &d->op, c->plain_weights, &plain, op_md(&c->forward, dnnl_query_weights_md));
	op_arg(&c->forward, DNNL_ARG_SRC, c->forward_src.memory);
	op_arg(&c->forward, DNNL_ARG_WEIGHTS, c->forward_weights.memory);
	op_arg(&c->forward, DNNL_ARG_DST, l->out->value);
	conv_init_backward(l, &plain);
	c->forward_stale = c->data_stale = true;
}

static void conv_forward(struct layer *l)
{
	struct conv *c = &l->conv;
	if (c->forward_stale)
		op_port_run(&c->forward_weights);
	c->forward_stale = false;
	op_port_run(&c->forward_src);
	op_run(&c->forward);
}

static void add(float *restrict sum, const float *restrict x, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sum[i] += x[i];
}

static void conv_backward(struct layer *l, int what)
{
	struct conv *c = &l->conv;
	struct layer_device *d = l->device;
	// Weights first: they read the gradient on OUT, which the input's gradient may overwrite.
	if (what & LAYER_WEIGHTS) {
		op_must(dnnl_memory_set_data_handle(c->plain_gradient, d->weight_grad));
		op_port_run(&c->weights_src);
		op_port_run(&c->weights_dst);
		op_run(&c->weights);
		op_port_run(&c->weights_gradient);
		add(l->grads, d->weight_grad, l->count);
	}
	if (what & LAYER_INPUT) {
		if (c->data_stale)
			op_port_run(&c->data_weights);
		c->data_stale = false;
		op_port_run(&c->data_dst);
		op_run(&c->data);
		op_port_run(&c->data_src);
	}
}

static void conv_fini(struct conv *c)
{
	struct op_port *ports[] = {&c->forward_src, &c->forward_weights, &c->data_dst, &c->data_weights, &c->data_src, &c->weights_src,
	        &c->weights_dst, &c->weights_gradient};
	for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
		op_port_fini(ports[i]);
	op_fini(&c->forward);
	op_fini(&c->data);
	op_fini(&c->weights);
	dnnl_memory_destroy(c->plain_weights);
	dnnl_memory_destroy(c->plain_gradient);
}

// ---- batch norm

static void norm_init(struct layer *l)
{
	struct norm *n = &l->norm;
	struct layer_device *d = l->device;
	int c = l->in->shape.c;
	// Gamma and beta as one 2 x c block, which is how the flat block has them (PyTorch's order of the two is the same).
	const unsigned flags = dnnl_use_scaleshift;
	dnnl_memory_desc_t vector, both;
	dnnl_dims_t dims = {c}, dims2 = {2, c};
	op_must(dnnl_memory_desc_init_by_tag(&vector, 1, dims, dnnl_f32, dnnl_a));
	op_must(dnnl_memory_desc_init_by_tag(&both, 2, dims2, dnnl_f32, dnnl_ab));

	n->statistics = mem_floats((size_t)c * 2);
	n->gradient = mem_floats((size_t)c * 2);
	n->mean = op_memory_new(&d->op, &vector, n->statistics);
	n->variance = op_memory_new(&d->op, &vector, n->statistics + c);
	n->scale_shift = op_memory_new(&d->op, &both, (float *)l->params);
	n->scale_shift_gradient = op_memory_new(&d->op, &both, n->gradient);
	l->out = edge_new(d, l->in->shape, &l->in->md, NULL);

	dnnl_batch_normalization_desc_t desc;
	op_must(dnnl_batch_normalization_forward_desc_init(&desc, dnnl_forward_training, &l->in->md, BN_EPSILON, flags));
	op_init(&n->forward, &d->op, &desc, NULL);
	op_arg(&n->forward, DNNL_ARG_SRC, l->in->value);
	op_arg(&n->forward, DNNL_ARG_MEAN, n->mean);
	op_arg(&n->forward, DNNL_ARG_VARIANCE, n->variance);
	op_arg(&n->forward, DNNL_ARG_SCALE_SHIFT, n->scale_shift);
	op_arg(&n->forward, DNNL_ARG_DST, l->out->value);

	op_must(dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &l->in->md, &l->in->md, BN_EPSILON, flags));
	op_init(&n->backward, &d->op, &desc, &n->forward);
	op_arg(&n->backward, DNNL_ARG_SRC, l->in->value);
	op_arg(&n->backward, DNNL_ARG_MEAN, n->mean);
	op_arg(&n->backward, DNNL_ARG_VARIANCE, n->variance);
	op_arg(&n->backward, DNNL_ARG_SCALE_SHIFT, n->scale_shift);
	op_arg(&n->backward, DNNL_ARG_DIFF_DST, l->out->gradient);
	op_arg(&n->backward, DNNL_ARG_DIFF_SRC, l->in->gradient);
	op_arg(&n->backward, DNNL_ARG_DIFF_SCALE_SHIFT, n->scale_shift_gradient);
}

static void norm_backward(struct layer *l, int what)
{
	// One primitive gives all three; what was not asked for is not added.
	op_run(&l->norm.backward);
	if (what & LAYER_WEIGHTS)
		add(l->grads, l->norm.gradient, l->count);
}

static void norm_fini(struct norm *n)
{
	dnnl_memory_t all[] = {n->mean, n->variance, n->scale_shift, n->scale_shift_gradient};
	op_fini(&n->forward);
	op_fini(&n->backward);
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		dnnl_memory_destroy(all[i]);
	free(n->statistics);
	free(n->gradient);
}

// ---- relu and tanh

static void point_init(struct layer *l)
{
	struct point *p = &l->point;
	// The kinds whose backward reads the output, not the input: so the output may lie where the input lay.
	dnnl_alg_kind_t alg = l->spec.kind == LAYER_TANH ? dnnl_eltwise_tanh_use_dst_for_bwd : dnnl_eltwise_relu_use_dst_for_bwd;
	float slope = l->spec.kind == LAYER_RELU ? l->spec.slope : 0;
	dnnl_eltwise_desc_t desc;

	l->out = edge_new(l->device, l->in->shape, &l->in->md, l->in->is_input ? NULL : l->in->value);
	op_must(dnnl_eltwise_forward_desc_init(&desc, dnnl_forward_training, alg, &l->in->md, slope, 0));
	op_init(&p->forward, &l->device->op, &desc, NULL);
	op_arg(&p->forward, DNNL_ARG_SRC, l->in->value);
	op_arg(&p->forward, DNNL_ARG_DST, l->out->value);
	op_must(dnnl_eltwise_backward_desc_init(&desc, alg, &l->in->md, &l->in->md, slope, 0));
	op_init(&p->backward, &l->device->op, &desc, &p->forward);
	op_arg(&p->backward, DNNL_ARG_DST, l->out->value);
	op_arg(&p->backward, DNNL_ARG_DIFF_DST, l->out->gradient);
	op_arg(&p->backward, DNNL_ARG_DIFF_SRC, l->in->gradient);
}

// ---- any layer

struct layer *layer_new(struct layer_device *d, const struct layer_spec *spec, struct layer_edge *in, const float *params, float *grads,
        struct layer_edge **out)
{
	struct layer *l = mem_new(1, sizeof *l);
	*l = (struct layer){.device = d, .spec = *spec, .in = in, .params = params, .grads = grads};
	l->count = layer_param_count(spec, in->shape);
	if (is_conv(spec->kind))
		conv_init(l);
	else if (spec->kind == LAYER_BATCH_NORM)
		norm_init(l);
	else
		point_init(l);
	*out = l->out;
	return l;
}

void layer_free(struct layer *l)
{
	if (!l)
		return;
	if (is_conv(l->spec.kind)) {
		conv_fini(&l->conv);
	} else if (l->spec.kind == LAYER_BATCH_NORM) {
		norm_fini(&l->norm);
	} else {
		op_fini(&l->point.forward);
		op_fini(&l->point.backward);
	}
	free(l);
}

int layer_backward_in_place(const struct layer *l)
{
	return !is_conv(l->spec.kind);
}

void layer_params_changed(struct layer *l)
{
	if (is_conv(l->spec.kind))
		l->conv.forward_stale = l->conv.data_stale = true;
}

void layer_forward(struct layer *l)
{
	if (is_conv(l->spec.kind))
		conv_forward(l);
	else
		op_run(l->spec.kind == LAYER_BATCH_NORM ? &l->norm.forward : &l->point.forward);
}

void layer_backward(struct layer *l, int what)
{
	if (is_conv(l->spec.kind))
		conv_backward(l, what);
	else if (l->spec.kind == LAYER_BATCH_NORM)
		norm_backward(l, what);
	else
		op_run(&l->point.backward);
}
