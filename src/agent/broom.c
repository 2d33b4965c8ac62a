#include "agent/broom.h"

#include "base/error.h"
#include "base/mem.h"
#include "exec/executor.h"

#include <stdio.h>

// What another machine calls a host is this machine to itself: the local executor finds and removes everything of a run.
int broom_main(const char *label, bool sweep)
{
	struct error err = {0};
	struct cluster cluster = {.label = label};
	autojson json_t *found = json_array();
	size_t i;
	json_t *item;
	putchar('\n'); // ends what the login shell may have said
	if (sweep ? executor_local.down(&cluster, &err) : executor_local.left(&cluster, found, &err)) {
		printf("muster-trouble %s\n", err.text);
		return err.code;
	}
	json_array_foreach(found, i, item)
		printf("muster-left %s %s\n", json_string_value(json_object_get(item, "what")), json_string_value(json_object_get(item, "id")));
	puts("muster-swept");
	return 0;
}
