// A run shown on a terminal: the output of its ranks scrolls by above a panel with its status.
// It reads no files and handles no signals.
#ifndef TUI_LIVE_VIEW_H
#define TUI_LIVE_VIEW_H

#include "tui/event_text.h"
#include "tui/nonblocking_writer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct live_view;

// Is standard output a terminal that can do it, and are we in its foreground?
bool live_view_possible(void);

// id: how the run is called where the user is told about a command. Must outlive it, as the outlet.
struct live_view *live_view_open(struct nonblocking_writer *out, const char *id);

// Puts the terminal right. What the panel said last stays there when the run is over, and is erased otherwise.
void live_view_close(struct live_view *l);

void live_view_event(struct live_view *l, const json_t *event); // also a metric
void live_view_output(struct live_view *l, size_t rank, const char *bytes, size_t len);
void live_view_partial(struct live_view *l, size_t rank, const char *bytes, size_t len);
void live_view_say(struct live_view *l, enum event_text_kind kind, const char *line); // a line of muster's own

// Milliseconds until live_view_draw is wanted; it draws when that time has come and does nothing before.
int live_view_due(const struct live_view *l);
void live_view_draw(struct live_view *l);

void live_view_leave(struct live_view *l);  // the process is about to be stopped
void live_view_enter(struct live_view *l);  // it goes on: all is drawn anew
void live_view_resize(struct live_view *l); // the window has another size

#endif
