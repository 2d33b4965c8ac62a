// Log files: what a program printed that muster did not start, read for its iterations.
// It keeps nothing of the text but the times.
#ifndef PREDICT_LOGFILE_H
#define PREDICT_LOGFILE_H

#include "base/error.h"
#include "predict/iterations.h"

#include <stdbool.h>
#include <stddef.h>

struct logfile {
	size_t lines, heads;
	const char *clock; // what the times are from: "time stamps", "elapsed times", "durations"
	double grain;      // seconds the times are multiples of, by their digits; 0: not known
	bool stamped;      // the grain is of times since a beginning, else of what each iteration took
};

// Adds the loop heads of a log to it, as of rank 0, and says what was found. pattern is for the line of an iteration as
// in a job file's `progress` (NULL: the usual lines); besides, its group `at` is a time stamp and `seconds` what the
// iteration took. total: iterations of the whole run where no line says it, else NAN.
//
// Times are taken from stamps in the lines (ISO 8601, HH:MM:SS, seconds since 1970, [seconds since the start]), else
// from what a bar has taken so far
// ("[01:30<04:10"), else from what the lines say it took, since the beginning or for one iteration ("time: 0.25", "0.25
// s/it", "4 it/s", "21ms/step"). The program began with the first stamp of the log. Lines end with \n, \r or both.
//
// -1 and err when the file cannot be read, no line is one of an iteration (with the line nearest to one), or none says
// when.
int logfile_read(const char *path, const char *pattern, double total, struct iterations *it, struct logfile *found,
	struct error *err);

#endif
