// The list of events in doc/events.md, made from the table of event types.
// It writes no prose beyond the table's own.
#ifndef GOLDEN_EVENT_LIST_H
#define GOLDEN_EVENT_LIST_H

#include "base/error.h"

// The page with what stands between "<!-- events -->" or "<!-- metrics -->" and the next "<!-- end -->" made anew,
// lines of at most 100 columns; owned by the caller. NULL and err when one of the two places is missing.
char *event_list_fill(const char *page, struct error *err);

#endif
