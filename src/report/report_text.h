// The report as text for a terminal.
// It prints nothing itself and knows no colours.
#ifndef REPORT_REPORT_TEXT_H
#define REPORT_REPORT_TEXT_H

#include <jansson.h>

// At most some 40 lines, ended by a newline, from report_make's or report_summary's tree. Owned by the caller.
char *report_text_make(const json_t *report);

#endif
