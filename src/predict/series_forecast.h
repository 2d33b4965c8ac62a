// A forecast: the sum of many more values of a series, and how far off it may be, from a few of its
// values. It knows nothing of what the values are; estimate.h says it of iterations.
#ifndef PREDICT_SERIES_FORECAST_H
#define PREDICT_SERIES_FORECAST_H

#include <stddef.h>

struct series_forecast {
	double mean, mean_low, mean_high; // of the series in the long run
	double sum, sum_low, sum_high;    // of the next values
};

// Intervals of 95 % for a stationary series of which neighbours may be alike: autoregressive of the first order, of
// unknown mean, deviation and correlation. For each correlation the mean is Student's (Zellner, An Introduction to
// Bayesian Inference in Econometrics, 4.1 and 7.1, with the exact likelihood of the first value), and what comes is the
// mixture of these, by how likely the values make each correlation. So a few values never count as more than they say,
// which a correlation that was estimated and then believed does (it is estimated too small: Marriott and Pope 1954).
// Skewed values move both ends (Johnson, Modified t Tests and Confidence Intervals for Asymmetrical Populations, 1978).
// Of many values, means of neighbours count instead (batch means: Law, Simulation Modeling and Analysis, 9.5.3), of
// which a longer memory shows as well.
//
// more: how many values are to come, a part of one included. least: the deviation is not taken for less, as values are
// not more exact.
struct series_forecast series_forecast_make(const double *values, size_t count, double more, double least);

// Below what a gamma distribution of this shape and of scale 1 has the fraction p.
double series_forecast_gamma(double shape, double p);

#endif
