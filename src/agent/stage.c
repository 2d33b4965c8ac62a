#include "agent/stage.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "wire/event.h"

#include <string.h>

char *stage_path(const json_t *input)
{
	return mem_strdup(json_string_value(json_object_get(input, "path")));
}

int stage_run(const json_t *inputs, const char *data_dir, int out)
{
	size_t i;
	const json_t *input;
	json_array_foreach(inputs, i, input) {
		struct error err = {0};
		size_t bytes = 0;
		double start = clock_mono();
		autofree char *path = stage_path(input), *to = fs_join(data_dir, path);
		int failed = fs_copy(json_string_value(json_object_get(input, "from")), to, &bytes, &err);
		autojson json_t *event = event_make("input", "s:O, s:O, s:I, s:f, s:b, s:s?", "name", json_object_get(input, "name"), "from",
			json_object_get(input, "from"), "bytes", (json_int_t)bytes, "seconds", clock_mono() - start, "ok", !failed, "why",
			failed ? err.text : NULL);
		autofree char *line = event_print(event);
		fs_write_fd(out, line, strlen(line), NULL);
		if (failed)
			return -1;
	}
	return 0;
}
