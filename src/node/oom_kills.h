// The out-of-memory kills of the kernel on a node, and which rank each of them is put down to.
// It reads no counter and kills nothing.
//
// The kernel counts the processes it has killed in the control groups of a node, not whose they were. A kill is put
// down to the first rank that ends within 10 s of it by SIGKILL, or with status 137: so ends a shell whose command was
// killed. One kill explains the end of one rank. A rank that fails in another way may have failed because of it, but
// nothing proves that.
#ifndef NODE_OOM_KILLS_H
#define NODE_OOM_KILLS_H

#include <stdbool.h>

struct oom_kills {
	long seen, explained; // of the kernel's count
	double seen_at;       // when it last rose
};

// What the count was before any rank was started is nobody's.
struct oom_kills oom_kills_start(long count);

// The kernel's count is this now (clock_mono). To be called before a rank's end is judged, and now and then.
void oom_kills_see(struct oom_kills *k, long count, double now);

bool oom_kills_are_open(const struct oom_kills *k); // there are some that explain no rank's end yet

// A rank has ended with this status (-1 by a signal) or signal (or 0): was that an out-of-memory kill?
bool oom_kills_explain(struct oom_kills *k, int status, int sig);

#endif
