#include "base/clock.h"

#include <time.h>

static double now(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double clock_wall(void)
{
	return now(CLOCK_REALTIME);
}

double clock_mono(void)
{
	return now(CLOCK_MONOTONIC);
}

double clock_cpu(void)
{
	return now(CLOCK_PROCESS_CPUTIME_ID);
}
