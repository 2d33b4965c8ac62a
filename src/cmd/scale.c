#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/live_target.h"
#include "cmd/options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

static const char about[] = "scale NAME NODES [OPTION]...\n"
			    "Gives a cluster that is kept up so many nodes: more like its last one, or the last ones "
			    "go. Nodes that are lost are\n"
			    "made again. Refused while a job is on nodes that would go.";

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
		{"quiet", 'q', NULL, "print problems only", &quiet},
		{0},
	};
	int first = options_parse(argc, argv, about, rows, err);
	if (first <= 0)
		return first;
	if (argc - first != 2)
		return error_set(
			err, ERROR_USAGE, "scale: expected the name of a cluster and how many nodes it is to have");
	char *end;
	long nodes = strtol(argv[first + 1], &end, 10);
	if (*end || end == argv[first + 1] || nodes < 1 || nodes > NODES_MAX)
		return error_set(
			err, ERROR_USAGE, "scale: found '%s', expected 1 to %d nodes", argv[first + 1], NODES_MAX);
	return scale(argv[first], nodes, quiet, err);
}
