// oneDNN's primitives as the layers use them: an operation on named memories, and a port where two layouts meet.
// Not layers: nothing but op.c, direct.c and layer.c knows oneDNN.
#ifndef COMMON_OP_H
#define COMMON_OP_H
#include "common/die.h"

#include <oneapi/dnnl/dnnl.h>

#define OP_MAX_ARGS 10

// Dies with oneDNN's status. Its calls fail on programming errors and on lack of memory only.
#define op_must(call)                                                                                                  \
	do {                                                                                                           \
		dnnl_status_t status_ = (call);                                                                        \
		if (status_ != dnnl_success)                                                                           \
			die("oneDNN: status %d from %s", (int)status_, #call);                                         \
	} while (0)

// Where operations run, and the scratch memory that one at a time of them uses.
struct op_device {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_attr_t attr; // "scratchpad comes from the caller": one for all, not one in each primitive
	void *scratch;
	size_t scratch_size;
};

void op_device_init(struct op_device *d);
void op_device_fini(struct op_device *d);

// A memory object on DATA, which stays the caller's; NULL: to be set later.
dnnl_memory_t op_memory_new(struct op_device *d, const dnnl_memory_desc_t *md, void *data);

// Zeroed floats for that layout, padding included. Caller frees.
float *op_floats(const dnnl_memory_desc_t *md);

// A primitive that copies from one layout to another. The caller destroys it.
dnnl_primitive_t op_reorder_new(struct op_device *d, const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to);
void op_reorder_run(struct op_device *d, dnnl_primitive_t reorder, dnnl_memory_t from, dnnl_memory_t to);

// A primitive and what it works on.
struct op {
	struct op_device *device;
	dnnl_primitive_desc_t pd;
	dnnl_primitive_t primitive;
	dnnl_memory_t scratch;
	dnnl_exec_arg_t args[OP_MAX_ARGS];
	int arg_count;
};

// From an operation descriptor; FORWARD is the operation it is the backward of, or NULL. OP must be zeroed.
void op_init(struct op *op, struct op_device *d, const void *desc, const struct op *forward);
void op_fini(struct op *op);

// The layout it chose for one of its memories (dnnl_query_..._md). Valid as long as OP.
const dnnl_memory_desc_t *op_md(const struct op *op, dnnl_query_t what);

// Names a memory (DNNL_ARG_...), which stays the caller's and must outlive OP.
void op_arg(struct op *op, int name, dnnl_memory_t memory);

void op_run(struct op *op);

// Where a primitive wants another layout than the memory has that it is to read or write: a copy in its layout, and the
// primitive that makes it. Where it does not, nothing but that memory.
struct op_port {
	struct op_device *device;
	dnnl_memory_t memory; // what the primitive gets
	dnnl_primitive_t reorder;
	dnnl_memory_t from, to;
	float *own;
};

// What the primitive reads in layout WANT is in MEMORY, in layout HAVE. Run it before the primitive.
void op_port_init_read(struct op_port *p, struct op_device *d, dnnl_memory_t memory, const dnnl_memory_desc_t *have,
	const dnnl_memory_desc_t *want);

// What the primitive writes in layout MADE is to end in MEMORY, in layout HAVE. Run it after the primitive.
void op_port_init_write(struct op_port *p, struct op_device *d, dnnl_memory_t memory, const dnnl_memory_desc_t *have,
	const dnnl_memory_desc_t *made);
void op_port_run(struct op_port *p);
void op_port_fini(struct op_port *p);

// C[m][n] = A * B + beta * C, all row by row, LDx floats from row to row; 'T' where a matrix is stored transposed. On
// one thread when it is called from a parallel region. oneDNN's own, because it picks its kernel by the processor's
// abilities, not by names it has to know.
void op_sgemm(char transa, char transb, int m, int n, int k, const float *a, int lda, const float *b, int ldb,
	float beta, float *c, int ldc);

// The instructions oneDNN's kernels use here, in words.
const char *op_isa(void);

// X[0..COUNT) becomes its hyperbolic tangent.
void op_tanh(struct op_device *d, float *x, size_t count);

#endif
