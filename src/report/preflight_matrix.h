// The preflight's matrix for a terminal: how far every node is from every other.
// It judges nothing: what failed is in the rows.
#ifndef REPORT_PREFLIGHT_MATRIX_H
#define REPORT_PREFLIGHT_MATRIX_H

#include <jansson.h>

// From a report's "preflight": latency, and bandwidth where it was measured, a row for the node that asked and a column
// for the one that answered; above 16 nodes the 20 slowest pairs instead. Owned by the caller.
char *preflight_matrix_text(const json_t *report);

#endif
