// Quantities as people write them: 1h30m, 125Mi, 200m of a CPU.
// It knows no fields and no bounds beyond what the numbers can hold.
#ifndef JOB_UNITS_H
#define JOB_UNITS_H

#include "base/error.h"

// Each returns 0 and sets *value, or -1 and sets err (ERROR_USAGE) to what was expected, without the text itself:
// "expected a time such as
// ...".

// Seconds: "2h", "1h30m", "1.5h", "500ms", "1d"; a plain number is seconds. Units in falling order, each once.
int units_seconds(const char *text, double *value, struct error *err);

// Bytes: "125Mi", "1.5Gi", "500M", "129e6"; k M G T P E are powers of 1000, Ki Mi Gi Ti Pi Ei of 1024; a plain number
// is bytes. At least 1.
int units_bytes(const char *text, long long *value, struct error *err);

// CPUs: "2", "0.5", "200m"; at least 1m, and a whole number of thousandths.
int units_cpus(const char *text, double *value, struct error *err);

#endif
