#include "base/mem.h"
#include "tui/event_text.h"
#include "tui/status_panel.h"
#include "tui/terminal_text.h"
#include "wire/event.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A log with anything in it can be told and drawn, in any window.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct event_text story = {0};
	struct run_progress *p = run_progress_new();
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline ? newline : end) - at);
		autojson json_t *event = event_parse(at, len, NULL);
		if (event) {
			enum event_text_kind kind;
			autofree char *line = event_text_line(&story, event, &kind);
			assert((line != NULL) == (kind != EVENT_TEXT_NONE));
			run_progress_event(p, event);
		}
		run_progress_output(p, len % 3, at, len);
		at += len + (newline != NULL);
	}
	struct status_panel panel = {
		.width = size % 131, .height = size % 37, .now = 1e9, .colour = size & 1, .utf8 = size & 2};
	autostr struct str out = {0};
	size_t lines = status_panel_draw(&panel, p, &out), count = 0;
	for (const char *line = out.text; line && *line; count++) {
		const char *newline = strchr(line, '\n');
		assert(terminal_text_width(line, (size_t)(newline - line)) <= panel.width);
		line = newline + 1;
	}
	assert(lines == count && lines <= panel.height);
	run_progress_free(p);
	return 0;
}
