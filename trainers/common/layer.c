#include "common/layer.h"

#include "common/die.h"
#include "common/mem.h"

#include <assert.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ARGS 10
#define BN_EPSILON 1e-5f // PyTorch's

// The dnnl_* calls fail on programming errors and on lack of memory only.
#define must(call)                                                  \
    do {                                                            \
        dnnl_status_t status_ = (call);                             \
        if (status_ != dnnl_success)                                \
            die("oneDNN: status %d from %s", (int)status_, #call);  \
    } while (0)

struct layer_device {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr; // "scratchpad comes from the caller": one for all, not one in each primitive
    void *scratch;
    size_t scratch_size;
    float *weight_grad; // a weight gradient in plain layout, on its way into the flat block
    size_t weight_grad_count;
};

struct layer_edge {
    struct layer_device *device;
    struct layer_shape shape;
    dnnl_memory_desc_t md; // of value and gradient alike
    dnnl_memory_t value, gradient;
    float *own;            // the value's memory, unless it is the input's or shared with the edge before
    bool is_input;
};

// A primitive and what it works on.
struct op {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t scratch;
    dnnl_exec_arg_t args[MAX_ARGS];
    int arg_count;
};

// Where a primitive wants another layout than the memory it is to read or write, a copy in its layout and the primitive that makes it.
struct port {
    dnnl_memory_t memory; // what the primitive gets
    dnnl_primitive_t reorder;
    dnnl_memory_t from, to;
    float *own;
};

// Convolution and transposed convolution: three primitives that need not agree on a layout.
struct conv {
    struct op forward, data, weights;
    dnnl_memory_t plain_weights, plain_gradient;
    struct port forward_src, forward_weights;
    struct port data_dst, data_weights, data_src;
    struct port weights_src, weights_dst, weights_gradient;
    bool forward_stale, data_stale; // the reordered weights are older than the parameters
};

struct norm {
    struct op forward, backward;
    dnnl_memory_t mean, variance, scale, shift, scale_gradient, shift_gradient;
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
    must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, tag));
    return md;
}

// ---- the device

struct layer_device *layer_device_new(void)
{
    struct layer_device *d = mem_new(1, sizeof *d);
    must(dnnl_engine_create(&d->engine, dnnl_cpu, 0));
    must(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags));
    must(dnnl_primitive_attr_create(&d->attr));
    must(dnnl_primitive_attr_set_scratchpad_mode(d->attr, dnnl_scratchpad_mode_user));
    return d;
}

void layer_device_free(struct layer_device *d)
{
    if (!d)
        return;
    dnnl_primitive_attr_destroy(d->attr);
    dnnl_stream_destroy(d->stream);
    dnnl_engine_destroy(d->engine);
    free(d->scratch);
    free(d->weight_grad);
    free(d);
}

static void device_need_scratch(struct layer_device *d, size_t size)
{
    if (size <= d->scratch_size)
        return;
    free(d->scratch);
    d->scratch = mem_floats((size + 3) / 4);
    d->scratch_size = size;
}

static void device_need_weight_grad(struct layer_device *d, size_t count)
{
    if (count <= d->weight_grad_count)
        return;
    free(d->weight_grad);
    d->weight_grad = mem_floats(count);
    d->weight_grad_count = count;
}

static dnnl_memory_t memory_new(struct layer_device *d, const dnnl_memory_desc_t *md, void *data)
{
    dnnl_memory_t memory;
    must(dnnl_memory_create(&memory, md, d->engine, data ? data : DNNL_MEMORY_NONE));
    return memory;
}

static float *floats_for(const dnnl_memory_desc_t *md)
{
    return mem_floats((dnnl_memory_desc_get_size(md) + 3) / 4);
}

// ---- primitives

static const dnnl_memory_desc_t *op_md(const struct op *op, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(op->pd, what, 0);
}

static void op_init(struct op *op, struct layer_device *d, const void *desc, const struct op *forward)
{
    must(dnnl_primitive_desc_create(&op->pd, desc, d->attr, d->engine, forward ? forward->pd : NULL));
    must(dnnl_primitive_create(&op->primitive, op->pd));
    const dnnl_memory_desc_t *scratch = op_md(op, dnnl_query_scratchpad_md);
    device_need_scratch(d, dnnl_memory_desc_get_size(scratch));
    op->scratch = memory_new(d, scratch, NULL);
    op->args[op->arg_count++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, op->scratch};
}

static void op_arg(struct op *op, int name, dnnl_memory_t memory)
{
    assert(op->arg_count < MAX_ARGS);
    op->args[op->arg_count++] = (dnnl_exec_arg_t){name, memory};
}

static void op_run(struct op *op, struct layer_device *d)
{
    must(dnnl_memory_set_data_handle(op->scratch, d->scratch)); // may have grown since op_init
    must(dnnl_primitive_execute(op->primitive, d->stream, op->arg_count, op->args));
}

static void op_fini(struct op *op)
{
    dnnl_memory_destroy(op->scratch);
    dnnl_primitive_destroy(op->primitive);
    dnnl_primitive_desc_destroy(op->pd);
}

static dnnl_primitive_t reorder_new(struct layer_device *d, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to)
{
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    must(dnnl_reorder_primitive_desc_create(&pd, from, d->engine, to, d->engine, NULL));
    must(dnnl_primitive_create(&primitive, pd));
    must(dnnl_primitive_desc_destroy(pd));
    return primitive;
}

static void reorder_run(struct layer_device *d, dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to)
{
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    must(dnnl_primitive_execute(reorder, d->stream, 2, args));
}

// ---- ports

// What the primitive reads in layout WANT is in MEMORY, in layout HAVE.
static void port_init_read(struct port *p, struct layer_device *d, dnnl_memory_t memory,
                           const dnnl_memory_desc_t *have, const dnnl_memory_desc_t *want)
{
    *p = (struct port){.memory = memory};
    if (dnnl_memory_desc_equal(have, want))
        return;
    p->own = floats_for(want);
    p->memory = memory_new(d, want, p->own);
    p->from = memory;
    p->to = p->memory;
    p->reorder = reorder_new(d, have, want);
}

// What the primitive writes in layout MADE is to end in MEMORY, in layout HAVE.
static void port_init_write(struct port *p, struct layer_device *d, dnnl_memory_t memory,
                            const dnnl_memory_desc_t *have, const dnnl_memory_desc_t *made)
{
    *p = (struct port){.memory = memory};
    if (dnnl_memory_desc_equal(have, made))
        return;
    p->own = floats_for(made);
    p->memory = memory_new(d, made, p->own);
    p->from = p->memory;
    p->to = memory;
    p->reorder = reorder_new(d, made, have);
}

static void port_run(struct port *p, struct layer_device *d)
{
    if (p->reorder)
        reorder_run(d, p->reorder, p->from, p->to);
}

static void port_fini(struct port *p)
{
    if (!p->reorder)
        return;
    dnnl_primitive_destroy(p->reorder);
    dnnl_memory_destroy(p->memory);
    free(p->own);
}

// ---- edges

static struct layer_edge *edge_new(struct layer_device *d, struct layer_shape shape, const dnnl_memory_desc_t *md, dnnl_memory_t share)
{
    struct layer_edge *e = mem_new(1, sizeof *e);
    *e = (struct layer_edge){.device = d, .shape = shape, .md = *md};
    void *data = NULL;
    if (share)
        must(dnnl_memory_get_data_handle(share, &data));
    else
        data = e->own = floats_for(md);
    e->value = memory_new(d, md, data);
    e->gradient = memory_new(d, md, NULL);
    return e;
}

struct layer_edge *layer_edge_new_input(struct layer_device *d, struct layer_shape shape)
{
    struct layer_edge *e = mem_new(1, sizeof *e);
    *e = (struct layer_edge){.device = d, .shape = shape, .md = shape_md(shape, dnnl_nchw), .is_input = true};
    e->value = memory_new(d, &e->md, NULL);
    e->gradient = memory_new(d, &e->md, NULL);
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
    must(dnnl_memory_set_data_handle(e->value, (void *)value)); // only ever read: no layer works in place on an input
}

size_t layer_edge_bytes(const struct layer_edge *e)
{
    return dnnl_memory_desc_get_size(&e->md);
}

void layer_edge_set_gradient(struct layer_edge *e, float *gradient)
{
    must(dnnl_memory_set_data_handle(e->gradient, gradient));
}

static void edge_copy(struct layer_edge *e, dnnl_memory_t memory, float *plain, bool out)
{
    dnnl_memory_desc_t md = shape_md(e->shape, dnnl_nchw);
    struct layer_device *d = e->device;
    dnnl_memory_t other = memory_new(d, &md, plain);
    dnnl_primitive_t reorder = out ? reorder_new(d, &e->md, &md) : reorder_new(d, &md, &e->md); // oneDNN caches it
    reorder_run(d, reorder, out ? memory : other, out ? other : memory);
    must(dnnl_primitive_destroy(reorder));
    must(dnnl_memory_destroy(other));
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
    must(dnnl_memory_desc_init_by_tag(&md, 4, dims, dnnl_f32, any ? dnnl_format_tag_any : plain));
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
            must(dnnl_convolution_forward_desc_init(&u.c, train, con, &src, &w, NULL, &dst, stride, pad, pad));
        else if (pass == DATA)
            must(dnnl_convolution_backward_data_desc_init(&u.c, con, &src, &w, &dst, stride, pad, pad));
        else
            must(dnnl_convolution_backward_weights_desc_init(&u.c, con, &src, &w, NULL, &dst, stride, pad, pad));
    } else {
        if (pass == FORWARD)
            must(dnnl_deconvolution_forward_desc_init(&u.d, train, dec, &src, &w, NULL, &dst, stride, pad, pad));
        else if (pass == DATA)
            must(dnnl_deconvolution_backward_data_desc_init(&u.d, dec, &src, &w, &dst, stride, pad, pad));
        else
            must(dnnl_deconvolution_backward_weights_desc_init(&u.d, dec, &src, &w, NULL, &dst, stride, pad, pad));
    }
    op_init(op, l->device, &u, pass == FORWARD ? NULL : &l->conv.forward);
}

static void conv_init_backward(struct layer *l, const dnnl_memory_desc_t *plain)
{
    struct conv *c = &l->conv;
    struct layer_device *d = l->device;
    const dnnl_memory_desc_t *in = &l->in->md, *out = &l->out->md;

    conv_op_init(l, &c->data, DATA);
    port_init_read(&c->data_dst, d, l->out->gradient, out, op_md(&c->data, dnnl_query_diff_dst_md));
    port_init_read(&c->data_weights, d, c->plain_weights, plain, op_md(&c->data, dnnl_query_weights_md));
    port_init_write(&c->data_src, d, l->in->gradient, in, op_md(&c->data, dnnl_query_diff_src_md));
    op_arg(&c->data, DNNL_ARG_DIFF_DST, c->data_dst.memory);
    op_arg(&c->data, DNNL_ARG_WEIGHTS, c->data_weights.memory);
    op_arg(&c->data, DNNL_ARG_DIFF_SRC, c->data_src.memory);

    conv_op_init(l, &c->weights, WEIGHTS);
    port_init_read(&c->weights_src, d, l->in->value, in, op_md(&c->weights, dnnl_query_src_md));
    port_init_read(&c->weights_dst, d, l->out->gradient, out, op_md(&c->weights, dnnl_query_diff_dst_md));
    port_init_write(&c->weights_gradient, d, c->plain_gradient, plain, op_md(&c->weights, dnnl_query_diff_weights_md));
    op_arg(&c->weights, DNNL_ARG_SRC, c->weights_src.memory);
    op_arg(&c->weights, DNNL_ARG_DIFF_DST, c->weights_dst.memory);
    op_arg(&c->weights, DNNL_ARG_DIFF_WEIGHTS, c->weights_gradient.memory);
}

static void conv_init(struct layer *l)
{
    struct conv *c = &l->conv;
    struct layer_device *d = l->device;
    dnnl_memory_desc_t plain = conv_weights_md(l, false);

    device_need_weight_grad(d, l->count);
    c->plain_weights = memory_new(d, &plain, (float *)l->params);
    c->plain_gradient = memory_new(d, &plain, NULL);
    conv_op_init(l, &c->forward, FORWARD);
    l->out = edge_new(d, layer_shape_out(&l->spec, l->in->shape), op_md(&c->forward, dnnl_query_dst_md), NULL);
    port_init_read(&c->forward_src, d, l->in->value, &l->in->md, op_md(&c->forward, dnnl_query_src_md));
    port_init_read(&c->forward_weights, d, c->plain_weights, &plain, op_md(&c->forward, dnnl_query_weights_md));
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
        port_run(&c->forward_weights, l->device);
    c->forward_stale = false;
    port_run(&c->forward_src, l->device);
    op_run(&c->forward, l->device);
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
        must(dnnl_memory_set_data_handle(c->plain_gradient, d->weight_grad));
        port_run(&c->weights_src, d);
        port_run(&c->weights_dst, d);
        op_run(&c->weights, d);
        port_run(&c->weights_gradient, d);
        add(l->grads, d->weight_grad, l->count);
    }
    if (what & LAYER_INPUT) {
        if (c->data_stale)
            port_run(&c->data_weights, d);
        c->data_stale = false;
        port_run(&c->data_dst, d);
        op_run(&c->data, d);
        port_run(&c->data_src, d);
    }
}

static void conv_fini(struct conv *c)
{
    struct port *ports[] = {&c->forward_src, &c->forward_weights, &c->data_dst, &c->data_weights,
                            &c->data_src, &c->weights_src, &c->weights_dst, &c->weights_gradient};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
        port_fini(ports[i]);
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
    const unsigned flags = dnnl_use_scale | dnnl_use_shift;
    dnnl_memory_desc_t vector;
    dnnl_dims_t dims = {c};
    must(dnnl_memory_desc_init_by_tag(&vector, 1, dims, dnnl_f32, dnnl_a));

    n->statistics = mem_floats((size_t)c * 2);
    n->gradient = mem_floats((size_t)c * 2);
    n->mean = memory_new(d, &vector, n->statistics);
    n->variance = memory_new(d, &vector, n->statistics + c);
    n->scale = memory_new(d, &vector, (float *)l->params);
    n->shift = memory_new(d, &vector, (float *)l->params + c);
    n->scale_gradient = memory_new(d, &vector, n->gradient);
    n->shift_gradient = memory_new(d, &vector, n->gradient + c);
    l->out = edge_new(d, l->in->shape, &l->in->md, NULL);

    dnnl_batch_normalization_desc_t desc;
    must(dnnl_batch_normalization_forward_desc_init(&desc, dnnl_forward_training, &l->in->md, BN_EPSILON, flags));
    op_init(&n->forward, d, &desc, NULL);
    op_arg(&n->forward, DNNL_ARG_SRC, l->in->value);
    op_arg(&n->forward, DNNL_ARG_MEAN, n->mean);
    op_arg(&n->forward, DNNL_ARG_VARIANCE, n->variance);
    op_arg(&n->forward, DNNL_ARG_SCALE, n->scale);
    op_arg(&n->forward, DNNL_ARG_SHIFT, n->shift);
    op_arg(&n->forward, DNNL_ARG_DST, l->out->value);

    must(dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, &l->in->md, &l->in->md, BN_EPSILON, flags));
    op_init(&n->backward, d, &desc, &n->forward);
    op_arg(&n->backward, DNNL_ARG_SRC, l->in->value);
    op_arg(&n->backward, DNNL_ARG_MEAN, n->mean);
    op_arg(&n->backward, DNNL_ARG_VARIANCE, n->variance);
    op_arg(&n->backward, DNNL_ARG_SCALE, n->scale);
    op_arg(&n->backward, DNNL_ARG_DIFF_DST, l->out->gradient);
    op_arg(&n->backward, DNNL_ARG_DIFF_SRC, l->in->gradient);
    op_arg(&n->backward, DNNL_ARG_DIFF_SCALE, n->scale_gradient);
    op_arg(&n->backward, DNNL_ARG_DIFF_SHIFT, n->shift_gradient);
}

static void norm_backward(struct layer *l, int what)
{
    // One primitive gives all three; what was not asked for is not added.
    op_run(&l->norm.backward, l->device);
    if (what & LAYER_WEIGHTS)
        add(l->grads, l->norm.gradient, l->count);
}

static void norm_fini(struct norm *n)
{
    dnnl_memory_t all[] = {n->mean, n->variance, n->scale, n->shift, n->scale_gradient, n->shift_gradient};
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
    must(dnnl_eltwise_forward_desc_init(&desc, dnnl_forward_training, alg, &l->in->md, slope, 0));
    op_init(&p->forward, l->device, &desc, NULL);
    op_arg(&p->forward, DNNL_ARG_SRC, l->in->value);
    op_arg(&p->forward, DNNL_ARG_DST, l->out->value);
    must(dnnl_eltwise_backward_desc_init(&desc, alg, &l->in->md, &l->in->md, slope, 0));
    op_init(&p->backward, l->device, &desc, &p->forward);
    op_arg(&p->backward, DNNL_ARG_DST, l->out->value);
    op_arg(&p->backward, DNNL_ARG_DIFF_DST, l->out->gradient);
    op_arg(&p->backward, DNNL_ARG_DIFF_SRC, l->in->gradient);
}

// ---- any layer

struct layer *layer_new(struct layer_device *d, const struct layer_spec *spec, struct layer_edge *in,
                        const float *params, float *grads, struct layer_edge **out)
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
        op_run(l->spec.kind == LAYER_BATCH_NORM ? &l->norm.forward : &l->point.forward, l->device);
}

void layer_backward(struct layer *l, int what)
{
    if (is_conv(l->spec.kind))
        conv_backward(l, what);
    else if (l->spec.kind == LAYER_BATCH_NORM)
        norm_backward(l, what);
    else
        op_run(&l->point.backward, l->device);
}
