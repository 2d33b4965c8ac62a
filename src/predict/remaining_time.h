// Remaining time: how long what goes on will still take at its pace so far, as the panel and a sweep show it.
// A line of progress, no prediction: estimate judges how iterations vary, and says an interval.
#ifndef PREDICT_REMAINING_TIME_H
#define PREDICT_REMAINING_TIME_H

#include <stddef.h>

// Something that counts up to a total.
struct remaining_time_pace {
	double done, total;  // at the last sign of it
	double did, seconds; // it did so much in so many seconds
	double since;        // seconds since the last sign
};

// Seconds to the total, at least 0; NAN: nothing was done yet.
double remaining_time(const struct remaining_time_pace *pace);

// Seconds until a queue is empty of which at_once are worked on at a time: what remains of those that go on, and the
// sum of the times of those that wait. NAN when one of them is.
double remaining_time_of_queue(const double *going, size_t ngoing, double waiting, size_t at_once);

#endif
