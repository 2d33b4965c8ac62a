#include "job/heartbeat.h"

#include <math.h>

enum { PERIODS_OF_SILENCE = 2, PERIODS_IN_LEASE = 3 };

double heartbeat_lease_mpi(double period)
{
	return PERIODS_IN_LEASE * period;
}

double heartbeat_period(double wished, double lease)
{
	return fmin(wished, lease / PERIODS_IN_LEASE);
}

double heartbeat_silence(double period)
{
	return PERIODS_OF_SILENCE * period;
}

double heartbeat_lease_left(double lease, double heard, double now)
{
	return fmax(heard + lease - now, 0);
}
