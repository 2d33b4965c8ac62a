#include "mnist/job.h"

#include "mnist/net.h"

#include <math.h>

const char *job_check(const struct job *job)
{
	if (job->hidden < 1 || job->hidden > NET_MAX_HIDDEN)
		return "hidden units out of range";
	if (job->servers < 1 || job->servers > NET_ROWS || job->servers > JOB_MAX_TASKS)
		return "number of servers out of range";
	if (job->workers < 1 || job->workers > JOB_MAX_TASKS)
		return "number of workers out of range";
	if (job->replicas > job->workers)
		return "more replicas to aggregate than workers";
	if (!isfinite(job->rate) || job->rate <= 0)
		return "learning rate is not a number above 0";
	return NULL;
}

int job_same(const struct job *a, const struct job *b)
{
	return a->hidden == b->hidden && a->servers == b->servers && a->workers == b->workers &&
	       a->replicas == b->replicas && a->seed == b->seed && a->rate == b->rate;
}

size_t job_first_row(const struct job *job, uint32_t shard)
{
	return (size_t)NET_ROWS * shard / job->servers;
}

size_t job_rows(const struct job *job, uint32_t shard)
{
	return job_first_row(job, shard + 1) - job_first_row(job, shard);
}

size_t job_floats(const struct job *job, uint32_t shard)
{
	return job_rows(job, shard) * net_width(job->hidden);
}
