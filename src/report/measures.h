// Measures: the events of metrics.jsonl made into series as they come, in bounded memory.
// It reads no files and knows no run.
#ifndef REPORT_MEASURES_H
#define REPORT_MEASURES_H

#include <jansson.h>
#include <stddef.h>

struct measures;

struct measures *measures_new(size_t limit); // at most so many points a series
void measures_free(struct measures *m);

// Takes note of a metric, progress or sample event that came now seconds after the start.
void measures_add(struct measures *m, const json_t *event, double now);

// Sets "metrics", "iterations", "progress" and "samples" of a report's tree.
void measures_put(const struct measures *m, json_t *tree);

#endif
