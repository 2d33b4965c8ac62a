#include "mnist/journal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAUSE 0.1 // seconds between two lines about steps

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void journal_init(struct journal *j, const char *name, long index)
{
	*j = (struct journal){0};
	rank_load(&j->rank);
	if (index < 0)
		snprintf(j->name, sizeof j->name, "%s", name);
	else
		snprintf(j->name, sizeof j->name, "%s %ld", name, index);
}

void journal_say(struct journal *j, const char *format, ...)
{
	char text[1000];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	printf("%.6f: %s: %s\n", now(), j->name, text);
}

void journal_begin(struct journal *j)
{
	j->begun = now();
	printf("Training begins @ %.6f\n", j->begun);
}

void journal_end(struct journal *j)
{
	double end = now();
	printf("Training ends @ %.6f\n", end);
	printf("Training elapsed time: %.6f s\n", end - j->begun);
	rank_metric(&j->rank, "training_seconds", end - j->begun, 0);
}

void journal_step(struct journal *j, uint64_t local, uint64_t global, double loss, int last)
{
	double t = now();
	if (t - j->said < PAUSE && !last)
		return;
	j->said = t;
	printf("%.6f: %s: training step %llu done (global step: %llu)\n", t, j->name, (unsigned long long)local,
		(unsigned long long)global);
	rank_metric(&j->rank, "loss", loss, (long)global);
}

void journal_score(struct journal *j, struct model_score score, uint64_t global)
{
	printf("After %llu training step(s), test accuracy = %.4f, test cross entropy = %g\n",
		(unsigned long long)global, score.accuracy, score.loss);
	rank_metric(&j->rank, "test_accuracy", score.accuracy, (long)global);
	rank_metric(&j->rank, "test_loss", score.loss, (long)global);
}
