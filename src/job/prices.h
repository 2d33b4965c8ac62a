// Prices: what a node of some kind costs, from a file the user keeps. Without one everything works, and cost is left
// out. It asks nobody what things cost today.
//
//   currency: USD
//   as_of: 2026-11-01
//   prices:
//     - {executor: ec2, type: c5.large, per_hour: 0.085, minimum: 60s}
//     - {executor: local, per_cpu_hour: 0.02, granularity: hour}
#ifndef JOB_PRICES_H
#define JOB_PRICES_H

#include "base/error.h"

#include <jansson.h>

// Reads and checks a file: {"file", "currency", "as_of" (texts, perhaps null), "prices": [{"executor", "type" (or
// null), "per_hour", "per_cpu_hour", "minimum" (s), "step" (s)}]}. Owned by the caller. NULL and err as job_load.
json_t *prices_load(const char *path, struct error *err);
json_t *prices_parse(const char *text, size_t len, const char *name, struct error *err);

// The file to use: given (may be NULL), else $MUSTER_PRICES, else prices.yaml in the current directory when it is
// there. NULL without err: none.
json_t *prices_find(const char *given, struct error *err);

// What the nodes of a plan cost when each exists for so many seconds: billed by the step, at least the minimum. NAN
// when prices is NULL, seconds is NAN, or a node has no price: one of its executor and type, or of its executor alone.
// per_cpu_hour counts the node's CPU limit; without one, cores (0: not known).
double prices_cost(const json_t *prices, const json_t *plan, double seconds, double cores);

// An amount of money as it is written: two digits behind the point, three that count where it is small. Owned by the
// caller.
char *prices_text(double amount);

#endif
