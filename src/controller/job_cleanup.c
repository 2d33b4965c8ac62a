#include "controller/job_cleanup.h"

#include "base/mem.h"

#include <stdlib.h>

void job_cleanup_start(struct job_cleanup *c, size_t count)
{
	*c = (struct job_cleanup){.nodes = mem_alloc(count * sizeof *c->nodes), .count = count};
}

void job_cleanup_fini(struct job_cleanup *c)
{
	free(c->nodes);
	*c = (struct job_cleanup){0};
}

void job_cleanup_ask(struct job_cleanup *c, size_t node, uint32_t errand)
{
	c->pending += !c->nodes[node].pending;
	c->nodes[node] = (struct job_cleanup_node){.pending = true, .errand = errand};
}

bool job_cleanup_is_pending(const struct job_cleanup *c, size_t node)
{
	return node < c->count && c->nodes[node].pending;
}

bool job_cleanup_give_up(struct job_cleanup *c, size_t node)
{
	if (!job_cleanup_is_pending(c, node))
		return false;
	c->nodes[node].pending = false;
	c->pending--;
	return true;
}

bool job_cleanup_answer(struct job_cleanup *c, size_t node, uint32_t errand)
{
	return job_cleanup_is_pending(c, node) && c->nodes[node].errand == errand && job_cleanup_give_up(c, node);
}
