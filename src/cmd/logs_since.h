// Since when: what `--since` says, and where in the outputs of a run that is.
// It prints nothing; outputs carry no times, so the answer is as fine as the index: a second.
#ifndef CMD_LOGS_SINCE_H
#define CMD_LOGS_SINCE_H

#include "base/error.h"
#include "run/run.h"

#include <stdint.h>

// "10s", "1h30m": so long before now. "2026-01-31T14:30:00" (or a blank for T), "2026-01-31", "14:30", "14:30:05": that
// local time, with a Z at the end UTC; a time of day is of today. Sets *when (seconds since 1970); -1 and err
// (ERROR_USAGE).
int logs_since_parse(const char *text, double now, double *when, struct error *err);

// For each of size ranks the offset of the first line that was not finished a second before when; owned by the caller.
// NULL and err when the index cannot be read.
uint64_t *logs_since_offsets(const struct run *run, double when, size_t size, struct error *err);

#endif
