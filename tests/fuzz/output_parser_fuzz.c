// Output of a rank in pieces: each piece is led by a byte that is its length; every eighth piece is a line of
// MUSTER_METRICS_FD instead.
#include "base/mem.h"
#include "job/plan_make.h"
#include "node/output_parser.h"
#include "wire/event.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_event(size_t local, json_t *event, void *data)
{
	autofree char *line = event_print(event);
	autojson json_t *again = event_parse(line, strlen(line), NULL);
	assert(again);
	if (event_is(event, "metric"))
		assert(isfinite(json_number_value(json_object_get(event, "value"))));
	json_decref(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autojson json_t *plan = mem_json("{s:[{s:s, s:s}, {s:s, s:s}], s:o, s:i}", "metrics", "name", "loss", "pattern",
		"loss[:=]\\s*(?<value>\\S+)(?: step (?<step>\\S+))?", "name", "slow", "pattern", "^((a+)+)$",
		"progress",
		size % 4 < 2 ? plan_make_progress_patterns()
			     : mem_json("[s]", "(?<epoch>\\d+)/(?<epochs>\\d+) (?<done>\\S+) of (?<total>\\S+)"),
		"watched", (int)(size % 2));
	struct output_parser *scan = output_parser_new(plan, 1, on_event, NULL, NULL);
	assert(scan);
	for (unsigned n = 0; size > 0; n++) {
		size_t len = data[0] < size - 1 ? data[0] : size - 1;
		if (n % 8 == 7)
			output_parser_json_line(scan, 0, (const char *)data + 1, len);
		else
			output_parser_output(scan, 0, data + 1, len);
		data += len + 1;
		size -= len + 1;
	}
	output_parser_watch(scan);
	output_parser_end(scan, 0);
	autojson json_t *last = output_parser_last(scan, 0);
	assert(json_array_size(last) <= 10);
	output_parser_free(scan);
	return 0;
}
