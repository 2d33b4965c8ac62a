#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/live_target.h"
#include "cmd/options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const struct options_usage usage = {
	.arguments = "NAME NODES",
	.least = 2,
	.most = 2,
	.about = "Changes the number of nodes of a persistent cluster: adds nodes like its last one, or removes the "
		 "last ones. Starts lost nodes again. Refuses to remove nodes on which a job runs.",
};

enum { NODES_MAX = 10000 };

static int scale(const char *name, long nodes, bool quiet, struct error *err)
{
	struct live_target t;
	if (live_target_open_cluster(&t, name, err) < 0)
		return -1;
	autojson json_t *request = mem_json("{s:s, s:i}", "msg", "resize", "nodes", (int)nodes);
	autojson json_t *answer = live_target_ask(&t, request, err);
	if (answer && !quiet)
		printf("cluster %s: %lld nodes (before: %zu)\n", name,
			json_integer_value(json_object_get(answer, "nodes")), t.nodes);
	live_target_close(&t);
	return answer ? 0 : error_wrap(err, "scale");
}

int cmd_scale(int argc, char **argv, struct error *err)
{
	bool quiet = false;
	const struct option_row rows[] = {
		OPTIONS_QUIET(&quiet),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	char *end;
	long nodes = strtol(argv[first + 1], &end, 10);
	if (*end || end == argv[first + 1] || nodes < 1 || nodes > NODES_MAX)
		return error_set(
			err, ERROR_USAGE, "scale: found '%s', expected 1 to %d nodes", argv[first + 1], NODES_MAX);
	return scale(argv[first], nodes, quiet, err);
}
