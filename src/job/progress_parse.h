// How far a program is, over all epochs, as a line of its output says it.
// It knows no times; whoever reads the lines does.
#ifndef JOB_PROGRESS_PARSE_H
#define JOB_PROGRESS_PARSE_H

#include "base/regex.h"

#include <stdbool.h>

// What the lines before have shown; all zero at the beginning.
struct progress_parse {
	bool from_zero;       // epochs are counted from 0
	bool whole;           // bars run over all epochs
	bool fresh;           // an epoch has been announced since the last bar
	double epoch, epochs; // as the last line said that announced one; 0: none has
	double bar;           // what the last bar said
	double turns;         // total of the bar that is known to count turns
	double done, total;   // of the loop that counts
};

struct progress_parse_head {
	double done, total; // turns of the whole run; total is NAN where it is not known
	double epoch;       // turns of an epoch; 0: there are none
	bool anew;          // of another loop, which counts from now on: what was read before it is none of it
};

// Reads the line that the pattern has just been found in. Its groups: done (or else the first), total, epoch, epochs;
// an empty group `bar` marks a progress bar, of one epoch where lines announce epochs; one called `heading` marks such
// a line. total is of the whole run, NAN: not known. Epochs count from 0 once one is called 0. False when the line says
// nothing about turns of the loop that counts: a heading, a bar of bytes (a download), another loop inside of it (a
// validation).
bool progress_parse_line(
	struct progress_parse *t, const struct regex *found, double total, struct progress_parse_head *head);

// After a loop that has come to its end (steps of a setup), does this begin a longer one?
bool progress_parse_is_anew(double done, double total, double done_before, double total_before);

#endif
