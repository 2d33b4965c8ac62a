#include "base/mem.h"
#include "job/plan.h"
#include "kube/manifest.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Objects of an API server say which nodes they are, or nothing: whatever their annotations hold.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autojson json_t *object = json_loadb((const char *)data, size, JSON_DECODE_ANY, NULL);
	autojson json_t *nodes = manifest_nodes(object);
	long node = manifest_node(object);
	assert(!nodes || (json_array_size(nodes) > 0 && json_array_size(nodes) <= PLAN_NODES_MAX));
	assert(node >= -1 && node < PLAN_NODES_MAX && (nodes || node < 0));
	autojson json_t *owner = manifest_owner(object);
	return 0;
}
