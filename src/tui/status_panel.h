// The panel: a run's progress drawn as a few lines of a terminal.
// It only makes text; the screen puts it in its place.
#ifndef TUI_STATUS_PANEL_H
#define TUI_STATUS_PANEL_H

#include "base/str.h"
#include "tui/run_progress.h"

#include <stdbool.h>
#include <stddef.h>

struct status_panel {
	size_t width, height; // of what may be drawn: no line is wider, and there are no more lines
	double now;           // seconds since 1970
	bool colour;          // ESC [ ... m
	bool utf8;            // else only ASCII decorations
};

// Adds the lines, each ended by a newline, and returns how many. Once the run is over they sum it up: no nodes and no
// bar.
size_t status_panel_draw(const struct status_panel *panel, const struct run_progress *p, struct str *out);

#endif
