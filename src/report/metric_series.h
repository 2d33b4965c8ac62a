// The events of metrics.jsonl made into series as they come, in bounded memory.
// It reads no files and knows no run.
#ifndef REPORT_METRIC_SERIES_H
#define REPORT_METRIC_SERIES_H

#include <jansson.h>
#include <stddef.h>

struct metric_series;

// At most so many points a series, and so many series of a kind.
struct metric_series *metric_series_new(size_t points, size_t series);
void metric_series_free(struct metric_series *m);

// Takes note of a metric, progress or sample event that came now seconds after the start.
void metric_series_add(struct metric_series *m, const json_t *event, double now);

// Sets "metrics", "iterations", "progress" and "samples" of a report's tree, and "values_left_out" where there were
// more series than that: how many values those had.
void metric_series_put(const struct metric_series *m, json_t *tree);

#endif
