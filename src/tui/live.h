// Live: a run shown on a terminal: what its ranks print scrolls by above a panel that says where it stands.
// It reads no files and handles no signals.
#ifndef TUI_LIVE_H
#define TUI_LIVE_H

#include "tui/outlet.h"
#include "tui/story.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct live;

// Is standard output a terminal that can do it, and are we in its foreground?
bool live_possible(void);

// id: how the run is called where the user is told about a command. Must outlive it, as the outlet.
struct live *live_open(struct outlet *out, const char *id);

// Puts the terminal right. What the panel said last stays there when the run is over, and is erased otherwise.
void live_close(struct live *l);

void live_event(struct live *l, const json_t *event); // also a metric
void live_output(struct live *l, size_t rank, const char *bytes, size_t len);
void live_partial(struct live *l, size_t rank, const char *bytes, size_t len);
void live_say(struct live *l, enum story_kind kind, const char *line); // a line of muster's own

// Milliseconds until live_draw is wanted; it draws when that time has come and does nothing before.
int live_due(const struct live *l);
void live_draw(struct live *l);

void live_leave(struct live *l);  // the process is about to be stopped
void live_enter(struct live *l);  // it goes on: all is drawn anew
void live_resize(struct live *l); // the window has another size

#endif
