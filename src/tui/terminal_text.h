// Foreign text made harmless for a terminal, and how many columns it takes.
// It knows no screen.
#ifndef TUI_TERMINAL_TEXT_H
#define TUI_TERMINAL_TEXT_H

#include "base/str.h"

#include <stddef.h>

// Adds one line's text as far as it fits into so many columns: escape sequences and control characters are left out,
// tabs become blanks, of a line that overwrites itself (carriage returns) only what stays visible is taken, what is no
// UTF-8 becomes '?'. Text that does not fit ends with "~". Returns the columns used. out may be NULL.
size_t terminal_text_add(struct str *out, const char *bytes, size_t len, size_t columns);

// The columns of text that terminal_text_add and colours (ESC [ ... m) made.
size_t terminal_text_width(const char *text, size_t len);

#endif
