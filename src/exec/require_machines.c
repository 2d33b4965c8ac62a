#include "exec/require_machines.h"

#include "base/json.h"
#include "base/mem.h"

#include <string.h>

int require_machines(const json_t *plan, const char *executor, bool same_files, struct error *err)
{
	static const char *const keys[] = {"build", "volumes"};
	for (size_t i = 0; i < countof(keys); i++)
		if (json_object_get(plan, keys[i]))
			return error_set(err, ERROR_USAGE,
				"the %s executor has no containers for 'cluster.%s'; docker has", executor, keys[i]);
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(plan, "nodes"), i, item)
		if (*json_text_or(item, "image", ""))
			return error_set(err, ERROR_USAGE,
				"the %s executor has no containers for the image '%s'; docker has", executor,
				json_text_or(item, "image", ""));
	json_array_foreach (json_object_get(plan, "inputs"), i, item)
		if (!same_files && !strcmp(json_text_or(item, "kind", ""), "live"))
			return error_set(err, ERROR_USAGE,
				"the input '%s' is live, and nodes of the %s executor do not see this machine's files: "
				"leave 'live' out, and it is copied",
				json_text_or(item, "name", ""), executor);
	return 0;
}
