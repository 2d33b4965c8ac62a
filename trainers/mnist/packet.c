#include "mnist/packet.h"

#include "common/die.h"

#include <stdint.h>
#include <stdlib.h>

#define HEAD 64 // a cache line for the struct, so that the data has its own

static void release(struct packet *p)
{
	free(p);
}

struct packet *packet_new(size_t size)
{
	_Static_assert(sizeof(struct packet) <= HEAD, "the head fits");
	struct packet *p = NULL;
	if (size < SIZE_MAX - 2 * HEAD)
		p = aligned_alloc(HEAD, (HEAD + size + HEAD - 1) / HEAD * HEAD);
	if (!p)
		die("out of memory: %zu bytes", size);
	p->data = (unsigned char *)p + HEAD;
	p->size = size;
	p->release = release;
	atomic_init(&p->holders, 1);
	return p;
}

struct packet *packet_hold(struct packet *p)
{
	if (p)
		atomic_fetch_add_explicit(&p->holders, 1, memory_order_relaxed);
	return p;
}

void packet_drop(struct packet *p)
{
	if (p && atomic_fetch_sub_explicit(&p->holders, 1, memory_order_acq_rel) == 1)
		p->release(p);
}
