#include "common/direct.h"

#include "common/mem.h"

#include <stdlib.h>

enum pass { FORWARD, DATA, WEIGHTS };

// Three primitives that need not agree on a layout: the ports copy to and from ours where oneDNN wants another one.
struct direct {
	struct op_device *device;
	struct direct_shape shape;
	dnnl_memory_t in, out, weights, weights_gradient; // in our layouts
	float *gradient;                                  // of the weights, on its way into the flat block
	size_t weights_count;
	struct op forward, data, gradients;
	struct op_port forward_in, forward_weights, forward_out;
	struct op_port data_out, data_weights, data_in;
	struct op_port gradients_in, gradients_out, gradients_weights;
	bool forward_stale, data_stale;
};

static dnnl_memory_desc_t side_md(const struct direct_side *s, bool any)
{
	dnnl_memory_desc_t md;
	dnnl_dims_t dims = {s->n, s->channels, s->edge, s->edge};
	dnnl_dims_t strides = {(dnnl_dim_t)s->edge * s->edge * s->ld, 1, (dnnl_dim_t)s->edge * s->ld, s->ld};
	if (any)
		op_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, dnnl_format_tag_any));
	else
		op_must(dnnl_memory_desc_init_by_strides(&md, 4, dims, dnnl_f32, strides));
	return md;
}

// PyTorch keeps a convolution's weights as out,in,h,w and a transposed one's as in,out,h,w.
static dnnl_memory_desc_t weights_md(const struct direct_shape *s, bool any)
{
	dnnl_memory_desc_t md;
	dnnl_dims_t dims = {s->out.channels, s->in.channels, s->kernel, s->kernel};
	dnnl_format_tag_t plain = s->transposed ? dnnl_iohw : dnnl_oihw;
	op_must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : plain));
	return md;
}

static void pass_init(struct direct *c, struct op *op, enum pass pass)
{
	const struct direct_shape *s = &c->shape;
	dnnl_memory_desc_t in = side_md(&s->in, true), out = side_md(&s->out, true), w = weights_md(s, true);
	dnnl_dims_t stride = {s->stride, s->stride}, pad = {s->pad, s->pad};
	const dnnl_prop_kind_t train = dnnl_forward_training;
	const dnnl_alg_kind_t con = dnnl_convolution_direct, dec = dnnl_deconvolution_direct;
	union {
		dnnl_convolution_desc_t c;
		dnnl_deconvolution_desc_t d;
	} u;

	if (!s->transposed) {
		if (pass == FORWARD)
			op_must(dnnl_convolution_forward_desc_init(
				&u.c, train, con, &in, &w, NULL, &out, stride, pad, pad));
		else if (pass == DATA)
			op_must(dnnl_convolution_backward_data_desc_init(&u.c, con, &in, &w, &out, stride, pad, pad));
		else
			op_must(dnnl_convolution_backward_weights_desc_init(
				&u.c, con, &in, &w, NULL, &out, stride, pad, pad));
	} else {
		if (pass == FORWARD)
			op_must(dnnl_deconvolution_forward_desc_init(
				&u.d, train, dec, &in, &w, NULL, &out, stride, pad, pad));
		else if (pass == DATA)
			op_must(dnnl_deconvolution_backward_data_desc_init(&u.d, dec, &in, &w, &out, stride, pad, pad));
		else
			op_must(dnnl_deconvolution_backward_weights_desc_init(
				&u.d, dec, &in, &w, NULL, &out, stride, pad, pad));
	}
	op_init(op, c->device, &u, pass == FORWARD ? NULL : &c->forward);
}

static void forward_init(
	struct direct *c, const dnnl_memory_desc_t *in, const dnnl_memory_desc_t *out, const dnnl_memory_desc_t *w)
{
	struct op *op = &c->forward;
	pass_init(c, op, FORWARD);
	op_port_init_read(&c->forward_in, c->device, c->in, in, op_md(op, dnnl_query_src_md));
	op_port_init_read(&c->forward_weights, c->device, c->weights, w, op_md(op, dnnl_query_weights_md));
	op_port_init_write(&c->forward_out, c->device, c->out, out, op_md(op, dnnl_query_dst_md));
	op_arg(op, DNNL_ARG_SRC, c->forward_in.memory);
	op_arg(op, DNNL_ARG_WEIGHTS, c->forward_weights.memory);
	op_arg(op, DNNL_ARG_DST, c->forward_out.memory);
}

static void data_init(
	struct direct *c, const dnnl_memory_desc_t *in, const dnnl_memory_desc_t *out, const dnnl_memory_desc_t *w)
{
	struct op *op = &c->data;
	pass_init(c, op, DATA);
	op_port_init_read(&c->data_out, c->device, c->out, out, op_md(op, dnnl_query_diff_dst_md));
	op_port_init_read(&c->data_weights, c->device, c->weights, w, op_md(op, dnnl_query_weights_md));
	op_port_init_write(&c->data_in, c->device, c->in, in, op_md(op, dnnl_query_diff_src_md));
	op_arg(op, DNNL_ARG_DIFF_DST, c->data_out.memory);
	op_arg(op, DNNL_ARG_WEIGHTS, c->data_weights.memory);
	op_arg(op, DNNL_ARG_DIFF_SRC, c->data_in.memory);
}

static void gradients_init(
	struct direct *c, const dnnl_memory_desc_t *in, const dnnl_memory_desc_t *out, const dnnl_memory_desc_t *w)
{
	struct op *op = &c->gradients;
	pass_init(c, op, WEIGHTS);
	op_port_init_read(&c->gradients_in, c->device, c->in, in, op_md(op, dnnl_query_src_md));
	op_port_init_read(&c->gradients_out, c->device, c->out, out, op_md(op, dnnl_query_diff_dst_md));
	op_port_init_write(
		&c->gradients_weights, c->device, c->weights_gradient, w, op_md(op, dnnl_query_diff_weights_md));
	op_arg(op, DNNL_ARG_SRC, c->gradients_in.memory);
	op_arg(op, DNNL_ARG_DIFF_DST, c->gradients_out.memory);
	op_arg(op, DNNL_ARG_DIFF_WEIGHTS, c->gradients_weights.memory);
}

struct direct *direct_new(struct op_device *device, const struct direct_shape *s, const float *params)
{
	struct direct *c = mem_new(1, sizeof *c);
	*c = (struct direct){.device = device, .shape = *s, .forward_stale = true, .data_stale = true};
	dnnl_memory_desc_t in = side_md(&s->in, false), out = side_md(&s->out, false), w = weights_md(s, false);
	c->weights_count = (size_t)s->in.channels * s->out.channels * s->kernel * s->kernel;
	c->gradient = mem_floats(c->weights_count);
	c->in = op_memory_new(device, &in, NULL);
	c->out = op_memory_new(device, &out, NULL);
	c->weights = op_memory_new(device, &w, (float *)params);
	c->weights_gradient = op_memory_new(device, &w, c->gradient);
	forward_init(c, &in, &out, &w);
	data_init(c, &in, &out, &w);
	gradients_init(c, &in, &out, &w);
	return c;
}

void direct_free(struct direct *c)
{
	if (!c)
		return;
	struct op_port *ports[] = {&c->forward_in, &c->forward_weights, &c->forward_out, &c->data_out, &c->data_weights,
		&c->data_in, &c->gradients_in, &c->gradients_out, &c->gradients_weights};
	for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
		op_port_fini(ports[i]);
	op_fini(&c->forward);
	op_fini(&c->data);
	op_fini(&c->gradients);
	dnnl_memory_t all[] = {c->in, c->out, c->weights, c->weights_gradient};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		dnnl_memory_destroy(all[i]);
	free(c->gradient);
	free(c);
}

void direct_weights_changed(struct direct *c)
{
	c->forward_stale = c->data_stale = true;
}

static void set(dnnl_memory_t memory, const float *data)
{
	op_must(dnnl_memory_set_data_handle(memory, (void *)data));
}

void direct_forward(struct direct *c, const float *in, float *out)
{
	set(c->in, in);
	set(c->out, out);
	if (c->forward_stale)
		op_port_run(&c->forward_weights);
	c->forward_stale = false;
	op_port_run(&c->forward_in);
	op_run(&c->forward);
	op_port_run(&c->forward_out);
}

void direct_backward_data(struct direct *c, const float *out, float *in)
{
	set(c->in, in);
	set(c->out, out);
	if (c->data_stale)
		op_port_run(&c->data_weights);
	c->data_stale = false;
	op_port_run(&c->data_out);
	op_run(&c->data);
	op_port_run(&c->data_in);
}

void direct_backward_weights(struct direct *c, const float *in, const float *out, float *grads)
{
	set(c->in, in);
	set(c->out, out);
	op_port_run(&c->gradients_in);
	op_port_run(&c->gradients_out);
	op_run(&c->gradients);
	op_port_run(&c->gradients_weights);
#pragma omp parallel for simd
	for (size_t i = 0; i < c->weights_count; i++)
		grads[i] += c->gradient[i];
}
