// The preflight's verdict: what of its measurements fails a run before ranks start, and what is only warned of.
// It measures nothing: preflight does.
#ifndef NODE_PREFLIGHT_VERDICT_H
#define NODE_PREFLIGHT_VERDICT_H

#include <jansson.h>
#include <stddef.h>

// One row of a `preflight` event: a peer that cannot be reached is a failure, a clock that is far off a warning. At
// most one is set; both are owned by the caller.
void preflight_verdict_row(const json_t *row, char **failure, char **warning);

// Free disk and memory of the event: why there is too little to work with, or NULL; owned by the caller.
char *preflight_verdict_room(const json_t *event, size_t node, const char *dir);

#endif
