#include "common/rank.h"

#include "common/die.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The number in environment variable NAME from LOW to HIGH, or ABSENT.
static int number(const char *name, long low, long high, int absent)
{
	const char *text = getenv(name);
	if (!text)
		return absent;
	char *end;
	errno = 0;
	long n = strtol(text, &end, 10);
	if (end == text || *end || errno || n < low || n > high)
		die("environment: %s is '%s', expected a number from %ld to %ld", name, text, low, high);
	return (int)n;
}

void rank_load(struct rank *r)
{
	*r = (struct rank){.size = 1};
	int size = number("MUSTER_SIZE", 1, 1 << 24, 0);
	int rank = number("MUSTER_RANK", 0, (size ? size : 1 << 24) - 1, -1);
	if ((size > 0) != (rank >= 0))
		die("environment: %s is set and %s is not", size ? "MUSTER_SIZE" : "MUSTER_RANK",
			size ? "MUSTER_RANK" : "MUSTER_SIZE");
	if (size)
		*r = (struct rank){.rank = rank, .size = size, .set = 1};
	r->metrics_fd = number("MUSTER_METRICS_FD", 0, 1 << 24, -1);
	if (r->metrics_fd >= 0 && fcntl(r->metrics_fd, F_GETFD) < 0)
		die("environment: MUSTER_METRICS_FD is %d, which is not open", r->metrics_fd);
}

void rank_check(const struct rank *r, const char *library, int found_rank, int found_size)
{
	if (!r->set || (r->rank == found_rank && r->size == found_size))
		return;
	die("muster started this as rank %d of %d, but %s says rank %d of %d: "
	    "was it built for the family of %s that launched it, and is the job's launch mode right?",
		r->rank, r->size, library, found_rank, found_size, library);
}

void rank_metric(const struct rank *r, const char *name, double value, long step)
{
	if (r->metrics_fd < 0)
		return;
	char line[256], number[40] = "null";
	if (isfinite(value))
		snprintf(number, sizeof number, "%.9g", value);
	int n = snprintf(line, sizeof line, "{\"name\":\"%s\",\"value\":%s,\"step\":%ld}\n", name, number, step);
	if (n >= (int)sizeof line)
		die("metric name too long: %s", name);
	for (int done = 0; done < n;) { // one write in practice: a pipe takes so short a line whole or not at all
		ssize_t w = write(r->metrics_fd, line + done, (size_t)(n - done));
		if (w < 0 && errno != EINTR)
			die("metrics, descriptor %d: %s", r->metrics_fd, strerror(errno));
		done += w > 0 ? (int)w : 0;
	}
}
