// The screen: a panel that stays at the bottom of a terminal while lines scroll by above it.
// It does not know what they say.
#ifndef TUI_SCREEN_H
#define TUI_SCREEN_H

#include "tui/nonblocking_writer.h"

#include <stdbool.h>
#include <stddef.h>

struct screen;

// Takes the terminal that the outlet leads to: hides the cursor and the echo of what is typed. Only one at a time.
// Should this process be killed by a signal nobody handles, the terminal is put right first.
struct screen *screen_open(struct nonblocking_writer *writer);

// Erases the panel and gives the terminal back as it was.
void screen_close(struct screen *s);

// For a while (the process is about to be stopped), and again.
void screen_leave(struct screen *s);
void screen_enter(struct screen *s);

void screen_size(const struct screen *s, size_t *width, size_t *height);

// Is this process in the foreground of the terminal, so that the panel is its business?
bool screen_is_front(const struct screen *s);

// A line to scroll by; text as terminal_text_add made it, without newline. It appears with the next screen_draw.
void screen_line(struct screen *s, const char *text);

// Draws lines, each ended by a newline and narrower than the window, in the place of the last panel.
void screen_draw(struct screen *s, const char *lines);

#endif
