#include "helper/leftovers.h"

#include "base/error.h"
#include "base/mem.h"
#include "docker/rank_container.h"
#include "node/node_dirs.h"
#include "node/run_leftovers.h"

#include <stdbool.h>
#include <stdio.h>

// First the run's processes: an engine that does not answer must not keep this from being done.
static int clean(const char *label, bool keep, struct error *err)
{
	int rc = keep ? run_leftovers_remove_but_kept(label, err) : run_leftovers_remove(label, err);
	return rank_container_reap(label, rc ? NULL : err) || rc ? -1 : 0;
}

static int look(const char *label, json_t *found, struct error *err)
{
	run_leftovers_list(label, found);
	return rank_container_list(label, found, err);
}

static bool is_kept(const char *label)
{
	autojson json_t *dirs = node_dirs_find(label);
	return json_array_size(dirs) > 0;
}

int leftovers_main(const char *label, enum leftovers_what what)
{
	struct error err = {0};
	autojson json_t *found = json_array();
	size_t i;
	json_t *item;
	putchar('\n'); // ends what the login shell may have said
	if (what == LEFTOVERS_LIST ? look(label, found, &err) : clean(label, what == LEFTOVERS_TIDY, &err)) {
		printf("muster-trouble %s\n", err.text);
		return err.code;
	}
	json_array_foreach (found, i, item)
		printf("muster-left %s %s\n", json_string_value(json_object_get(item, "what")),
			json_string_value(json_object_get(item, "id")));
	if (what == LEFTOVERS_TIDY && is_kept(label))
		puts("muster-kept");
	puts("muster-done");
	return 0;
}
