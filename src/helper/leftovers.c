#include "helper/leftovers.h"

#include "base/error.h"
#include "base/mem.h"
#include "docker/rank_container.h"
#include "node/run_leftovers.h"

#include <stdio.h>

// First the run's processes: an engine that does not answer must not keep this from being done.
static int clean(const char *label, struct error *err)
{
	int rc = run_leftovers_remove(label, err);
	return rank_container_reap(label, rc ? NULL : err) || rc ? -1 : 0;
}

static int look(const char *label, json_t *found, struct error *err)
{
	run_leftovers_list(label, found);
	return rank_container_list(label, found, err);
}

int leftovers_main(const char *label, bool reap)
{
	struct error err = {0};
	autojson json_t *found = json_array();
	size_t i;
	json_t *item;
	putchar('\n'); // ends what the login shell may have said
	if (reap ? clean(label, &err) : look(label, found, &err)) {
		printf("muster-trouble %s\n", err.text);
		return err.code;
	}
	json_array_foreach (found, i, item)
		printf("muster-left %s %s\n", json_string_value(json_object_get(item, "what")),
			json_string_value(json_object_get(item, "id")));
	puts("muster-done");
	return 0;
}
