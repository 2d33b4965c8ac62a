#include "predict/remaining_time.h"

#include <math.h>

double remaining_time(const struct remaining_time_pace *pace)
{
	if (!(pace->did > 0))
		return NAN;
	return fmax((pace->total - pace->done) * pace->seconds / pace->did - pace->since, 0);
}

double remaining_time_of_queue(const double *going, size_t ngoing, double waiting, size_t at_once)
{
	double sum = waiting, longest = 0;
	for (size_t i = 0; i < ngoing; i++) {
		sum += going[i];
		longest = fmax(longest, going[i]);
	}
	return isnan(sum) ? NAN : fmax(sum / (double)at_once, longest);
}
