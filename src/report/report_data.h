// All events of a run read once into one tree, the body of report.json.
// It adds nothing that is not in plan.json, events.jsonl and metrics.jsonl: files and judgement are the report's.
#ifndef REPORT_REPORT_DATA_H
#define REPORT_REPORT_DATA_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>

// What of metrics.jsonl to read: nothing, only its end (enough for the latest values), or everything.
enum report_data_depth { REPORT_DATA_EVENTS, REPORT_DATA_LATEST, REPORT_DATA_ALL };

// The tree, owned by the caller; doc/events.md describes its members. Damaged or missing lines leave their part empty;
// a missing events.jsonl is an error. Times are seconds since "started".
json_t *report_data_make(const struct run *run, enum report_data_depth depth, struct error *err);

#endif
