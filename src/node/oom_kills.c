#include "node/oom_kills.h"

#include <signal.h>

static const double recent = 10; // seconds between a kill and the end of the rank, on a machine that has no memory left

struct oom_kills oom_kills_start(long count)
{
	return (struct oom_kills){.seen = count, .explained = count};
}

void oom_kills_see(struct oom_kills *k, long count, double now)
{
	if (now - k->seen_at > recent)
		k->explained = k->seen;
	if (count <= k->seen)
		return;
	k->seen = count;
	k->seen_at = now;
}

bool oom_kills_are_open(const struct oom_kills *k)
{
	return k->seen > k->explained;
}

bool oom_kills_explain(struct oom_kills *k, int status, int sig)
{
	if (!oom_kills_are_open(k) || (sig != SIGKILL && status != 128 + SIGKILL))
		return false;
	k->explained++;
	return true;
}
