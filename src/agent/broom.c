#include "agent/broom.h"

#include "base/error.h"
#include "base/mem.h"
#include "exec/box.h"
#include "exec/executor.h"

#include <stdio.h>

// What another machine calls a host is this machine to itself: the local executor finds and removes everything of a
// run, but for the containers that its ranks ran in.
static int look(struct cluster *cluster, json_t *found, struct error *err)
{
	return executor_local.left(cluster, found, err) || box_list(cluster->label, found, err) ? -1 : 0;
}

static int clean(struct cluster *cluster, struct error *err)
{
	int rc = executor_local.down(
		cluster, err); // first: an engine that does not answer must not keep this from being done
	return box_sweep(cluster->label, rc ? NULL : err) || rc ? -1 : 0;
}

int broom_main(const char *label, bool sweep)
{
	struct error err = {0};
	struct cluster cluster = {.label = label};
	autojson json_t *found = json_array();
	size_t i;
	json_t *item;
	putchar('\n'); // ends what the login shell may have said
	if (sweep ? clean(&cluster, &err) : look(&cluster, found, &err)) {
		printf("muster-trouble %s\n", err.text);
		return err.code;
	}
	json_array_foreach (found, i, item)
		printf("muster-left %s %s\n", json_string_value(json_object_get(item, "what")),
			json_string_value(json_object_get(item, "id")));
	puts("muster-swept");
	return 0;
}
