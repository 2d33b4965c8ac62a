#include "node/preflight_verdict.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <math.h>
#include <stdlib.h>

static const double room_min = 16 << 20; // bytes of disk and of memory; less is no room to work in
static const double clock_max = 0.5;     // seconds that clocks may differ

void preflight_verdict_row(const json_t *row, char **failure, char **warning)
{
	const json_t *offset = json_object_get(row, "offset");
	double latency = json_number_value(json_object_get(row, "latency")); // the offset is not known better than this
	const char *why = json_string_value(json_object_get(row, "why"));
	*failure = *warning = NULL;
	if (!json_flag(row, "ok"))
		*failure = mem_strdup(why ? why : "a node cannot be reached");
	else if (json_is_number(offset) && fabs(json_number_value(offset)) > clock_max + latency)
		*warning = mem_printf("the clock of node %d differs by %+.3f s",
			(int)json_integer_value(json_object_get(row, "to")), json_number_value(offset));
}

char *preflight_verdict_room(const json_t *event, size_t node, const char *dir)
{
	static const char *const kinds[] = {"disk", "memory"};
	for (size_t i = 0; i < countof(kinds); i++) {
		const json_t *room = json_object_get(event, kinds[i]);
		if (!json_is_number(room) || json_number_value(room) >= room_min)
			continue;
		autofree char *found = str_bytes(json_number_value(room)), *wanted = str_bytes(room_min);
		return mem_printf("node %zu has only %s of %s free in '%s'; at least %s is needed", node, found,
			kinds[i], dir, wanted);
	}
	return NULL;
}
