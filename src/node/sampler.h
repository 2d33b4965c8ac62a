// What a node's ranks use: CPU, memory, disk and network, from /proc, as `sample` events.
// It keeps no history but the last counters.
#ifndef NODE_SAMPLER_H
#define NODE_SAMPLER_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

struct sampler;

struct sample_rank {
	size_t rank;
	pid_t pid; // it and all its descendants count
};

struct sampler *sampler_new(void);
void sampler_free(struct sampler *sampler); // takes NULL

// The sample event since the last call (without node), owned by the caller: see wire/event.h. NULL the first time
// (there is nothing to compare with) and where there is no /proc. Node figures are sums over the ranks; rx and tx are
// those of the network name space.
json_t *sampler_take(struct sampler *sampler, const struct sample_rank *ranks, size_t n);

#endif
