#include "job/tally.h"

#include <math.h>

static double number(const struct pattern *p, const char *name)
{
	double value;
	int group = pattern_group(p, name);
	return group && pattern_number(p, group, &value) ? value : NAN;
}

// A bar that goes on where an epoch was announced is of all of them.
static void read_bar(struct tally *t, double done, double *epoch, double *epochs)
{
	t->whole = t->whole || (t->fresh && t->bar > 0 && done > t->bar);
	t->fresh = false;
	t->bar = done;
	if (isnan(*epoch) && t->epochs > 0 && !t->whole) {
		*epoch = t->epoch;
		*epochs = t->epochs;
	}
}

bool tally_read(struct tally *t, const struct pattern *found, double total, struct tally_head *head)
{
	int group = pattern_group(found, "done");
	double done, epoch = number(found, "epoch"), epochs = number(found, "epochs"), batches = number(found, "total");
	t->from_zero = t->from_zero || epoch == 0;
	if (pattern_group(found, "heading")) {
		t->epoch = epoch;
		t->epochs = epochs;
		t->fresh = true;
		return false;
	}
	if (!pattern_number(found, group ? group : 1, &done) || batches <= 0)
		return false;
	if (pattern_group(found, "bar"))
		read_bar(t, done, &epoch, &epochs);
	*head = (struct tally_head){.done = done, .total = isnan(batches) ? total : batches};
	if (isnan(epoch) || isnan(batches))
		return true;
	head->epoch = batches;
	head->done += (epoch - (t->from_zero ? 0 : 1)) * batches;
	head->total = isnan(epochs) ? total : epochs * batches;
	return true;
}
