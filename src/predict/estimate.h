// Estimate: how long a whole run takes, from the first iterations of the program's main loop, timed
// between loop heads. It reads no files and no clock, and knows nothing of where the times come from.
#ifndef PREDICT_ESTIMATE_H
#define PREDICT_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>

// What lies between two consecutive loop heads that were seen: mostly one turn, several where not every head was.
struct estimate_turn {
	double seconds;
	double count; // turns; above 0
};

struct estimate_input {
	double before; // seconds from the program's start to the first head seen: reading data, compiling, the first
		       // turn
	double done;  // turns done at that head
	double total; // turns of the whole run; NAN: not known, and its time neither
	double epoch; // turns of an epoch; 0: there are none
	double last;  // work of each epoch's last turn, a partial batch, in terms of the others'; NAN: not known
	const struct estimate_turn *turns; // from the first head on
	size_t count;
	double grain; // seconds the times are multiples of: printed with few digits; 0: as exact as a clock is
	bool stamped; // the grain is that of time stamps, which make up for one another; else that of what each turn
		      // took
};

// Why an estimate is not to be trusted, or less than its interval says.
enum {
	ESTIMATE_FEW = 1,        // too few turns to judge their spread
	ESTIMATE_TREND = 2,      // they grow longer or shorter
	ESTIMATE_TWO_MODES = 4,  // two kinds of turns, or a machine that is sometimes slower
	ESTIMATE_PAUSES = 8,     // rare long turns without a rule: too few were seen to know how many come
	ESTIMATE_EPOCH_END = 16, // the run has ends of epochs besides its own, and none has been seen
	ESTIMATE_NOTHING = 32,   // no turn has been seen: there is no estimate
};

// Seconds, where nothing else is said. Intervals hold the truth 95 times in 100 as long as the machine goes on as it
// was seen.
struct estimate {
	size_t seen;                      // turns, without those that were left out
	size_t warm_up;                   // turns left out at the beginning
	size_t pauses;                    // turns counted as pauses: far longer than the others
	double every;                     // turns from pause to pause where that is regular, else 0
	double turn, turn_low, turn_high; // one turn in the long run, pauses apart: its mean, robust against them
	double median, spread;            // of the turns, and what a normal distribution's deviation would be
	double init; // what came before the first turn: reading data, compiling, waiting for others
	double total, total_low, total_high; // the whole run
	unsigned doubts;
};

// The whole run is the time that has gone by (known), what is left of its turns, and the pauses and ends of epochs
// among them. A pure function; milliseconds for some thousand turns.
//
// Warm-up is where the beginning differs from the second half of what was seen, up to where the error of the mean of
// the rest is least (White, An Effective Truncation Heuristic for Bias Reduction in Simulation Output, 1997); but not
// what is as well a straight line through all turns, nor what stays at a level of its own for some turns, as of a
// machine that is slower at times.
//
// Turns longer than the median by 8 spreads (the median absolute deviation times 1.4826) and a fourth of a turn are
// pauses, and counted apart: they are few, and a mean or its error that includes them says little. Pauses in regular
// intervals are counted out; others come as a Poisson process would have them, of a rate that Jeffreys's prior and
// their number tell (Box and Tiao, Bayesian Inference in Statistical Analysis, 1.3). Where none has been seen none is
// expected: of a program that pauses once in so many turns as were seen, more than a third look like that.
//
// The mean of the others is what was seen of their time by their number, whatever number of them each line stands for;
// series_forecast.h says its error.
struct estimate estimate_make(const struct estimate_input *input);

// The doubt of the lowest bit set in doubts as words a user reads; NULL when there is none.
const char *estimate_doubt(unsigned doubts);

// Student's t for an interval of 95 % (97.5 % lie below) with so many degrees of freedom; below 1 as for 1.
double estimate_student(double freedom);

#endif
