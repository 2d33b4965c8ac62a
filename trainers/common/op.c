#include "common/op.h"

#include "common/mem.h"

#include <assert.h>
#include <stdlib.h>

void op_device_init(struct op_device *d)
{
	*d = (struct op_device){0};
	op_must(dnnl_engine_create(&d->engine, dnnl_cpu, 0));
	op_must(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags));
	op_must(dnnl_primitive_attr_create(&d->attr));
	op_must(dnnl_primitive_attr_set_scratchpad_mode(d->attr, dnnl_scratchpad_mode_user));
}

void op_device_fini(struct op_device *d)
{
	dnnl_primitive_attr_destroy(d->attr);
	dnnl_stream_destroy(d->stream);
	dnnl_engine_destroy(d->engine);
	free(d->scratch);
}

dnnl_memory_t op_memory_new(struct op_device *d, const dnnl_memory_desc_t *md, void *data)
{
	dnnl_memory_t memory;
	op_must(dnnl_memory_create(&memory, md, d->engine, data ? data : DNNL_MEMORY_NONE));
	return memory;
}

float *op_floats(const dnnl_memory_desc_t *md)
{
	return mem_floats((dnnl_memory_desc_get_size(md) + 3) / 4);
}

dnnl_primitive_t op_reorder_new(struct op_device *d, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to)
{
	dnnl_primitive_desc_t pd;
	dnnl_primitive_t primitive;
	op_must(dnnl_reorder_primitive_desc_create(&pd, from, d->engine, to, d->engine, NULL));
	op_must(dnnl_primitive_create(&primitive, pd));
	op_must(dnnl_primitive_desc_destroy(pd));
	return primitive;
}

void op_reorder_run(struct op_device *d, dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to)
{
	dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
	op_must(dnnl_primitive_execute(reorder, d->stream, 2, args));
}

static void need_scratch(struct op_device *d, size_t size)
{
	if (size <= d->scratch_size)
		return;
	free(d->scratch);
	d->scratch = mem_floats((size + 3) / 4);
	d->scratch_size = size;
}

void op_init(struct op *op, struct op_device *d, const void *desc, const struct op *forward)
{
	op->device = d;
	op_must(dnnl_primitive_desc_create(&op->pd, desc, d->attr, d->engine, forward ? forward->pd : NULL));
	op_must(dnnl_primitive_create(&op->primitive, op->pd));
	const dnnl_memory_desc_t *scratch = op_md(op, dnnl_query_scratchpad_md);
	if (dnnl_memory_desc_get_size(scratch) == 0)
		return; // an empty scratchpad must not even be named
	need_scratch(d, dnnl_memory_desc_get_size(scratch));
	op->scratch = op_memory_new(d, scratch, NULL);
	op_arg(op, DNNL_ARG_SCRATCHPAD, op->scratch);
}

const dnnl_memory_desc_t *op_md(const struct op *op, dnnl_query_t what)
{
	return dnnl_primitive_desc_query_md(op->pd, what, 0);
}

void op_arg(struct op *op, int name, dnnl_memory_t memory)
{
	assert(op->arg_count < OP_MAX_ARGS);
	op->args[op->arg_count++] = (dnnl_exec_arg_t){name, memory};
}

void op_run(struct op *op)
{
	if (op->scratch)
		op_must(dnnl_memory_set_data_handle(op->scratch, op->device->scratch)); // may have grown since op_init
	op_must(dnnl_primitive_execute(op->primitive, op->device->stream, op->arg_count, op->args));
}

void op_fini(struct op *op)
{
	if (op->scratch)
		dnnl_memory_destroy(op->scratch);
	dnnl_primitive_destroy(op->primitive);
	dnnl_primitive_desc_destroy(op->pd);
}

void op_port_init_read(struct op_port *p, struct op_device *d, dnnl_memory_t memory, const dnnl_memory_desc_t *have,
	const dnnl_memory_desc_t *want)
{
	*p = (struct op_port){.device = d, .memory = memory};
	if (dnnl_memory_desc_equal(have, want))
		return;
	p->own = op_floats(want);
	p->memory = op_memory_new(d, want, p->own);
	p->from = memory;
	p->to = p->memory;
	p->reorder = op_reorder_new(d, have, want);
}

void op_port_init_write(struct op_port *p, struct op_device *d, dnnl_memory_t memory, const dnnl_memory_desc_t *have,
	const dnnl_memory_desc_t *made)
{
	*p = (struct op_port){.device = d, .memory = memory};
	if (dnnl_memory_desc_equal(have, made))
		return;
	p->own = op_floats(made);
	p->memory = op_memory_new(d, made, p->own);
	p->from = p->memory;
	p->to = memory;
	p->reorder = op_reorder_new(d, made, have);
}

void op_port_run(struct op_port *p)
{
	if (p->reorder)
		op_reorder_run(p->device, p->reorder, p->from, p->to);
}

void op_port_fini(struct op_port *p)
{
	if (!p->reorder)
		return;
	dnnl_primitive_destroy(p->reorder);
	dnnl_memory_destroy(p->memory);
	free(p->own);
}

void op_sgemm(char transa, char transb, int m, int n, int k, const float *a, int lda, const float *b, int ldb,
	float beta, float *c, int ldc)
{
	op_must(dnnl_sgemm(transa, transb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc));
}

const char *op_isa(void)
{
	static const struct {
		dnnl_cpu_isa_t isa;
		const char *name;
	} names[] = {{dnnl_cpu_isa_avx512_core, "AVX-512"}, {dnnl_cpu_isa_avx2, "AVX2"}, {dnnl_cpu_isa_avx, "AVX"},
		{dnnl_cpu_isa_sse41, "SSE4.1"}};
	dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if ((isa & names[i].isa) == names[i].isa)
			return names[i].name;
	return "no vector instructions";
}

void op_tanh(struct op_device *d, float *x, size_t count)
{
	dnnl_memory_desc_t md;
	dnnl_dims_t dims = {(dnnl_dim_t)count};
	dnnl_eltwise_desc_t desc;
	struct op op = {0}; // made anew each time: oneDNN keeps the code it generated
	op_must(dnnl_memory_desc_init_by_tag(&md, 1, dims, dnnl_f32, dnnl_a));
	op_must(dnnl_eltwise_forward_desc_init(&desc, dnnl_forward_inference, dnnl_eltwise_tanh, &md, 0, 0));
	op_init(&op, d, &desc, NULL);
	dnnl_memory_t memory = op_memory_new(d, &md, x);
	op_arg(&op, DNNL_ARG_SRC, memory);
	op_arg(&op, DNNL_ARG_DST, memory);
	op_run(&op);
	dnnl_memory_destroy(memory);
	op_fini(&op);
}
