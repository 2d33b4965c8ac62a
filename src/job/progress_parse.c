#include "job/progress_parse.h"

#include <math.h>

static double number(const struct regex *p, const char *name)
{
	double value;
	int group = regex_group(p, name);
	return group && regex_number(p, group, &value) ? value : NAN;
}

// A bar that goes on where an epoch was announced is of all of them.
static void read_bar(struct progress_parse *t, double done, double *epoch, double *epochs)
{
	if (!t->whole && t->fresh && t->bar > 0 && done > t->bar) {
		t->whole = true;
		t->total = 0;
	}
	t->fresh = false;
	t->bar = done;
	if (isnan(*epoch) && t->epochs > 0 && !t->whole) {
		*epoch = t->epoch;
		*epochs = t->epochs;
	}
}

// Downloads show bars of bytes, which come in blocks: until another number has been seen, such a bar does not count.
static bool counts_bytes(struct progress_parse *t, double done, double batches)
{
	const double block = 1024;
	if (batches < block || t->turns == batches)
		return false;
	if (done >= batches || fmod(done, block) == 0)
		return true;
	t->turns = batches;
	return false;
}

bool progress_parse_is_anew(double done, double total, double done_before, double total_before)
{
	return done <= done_before && total > total_before && done_before >= total_before && 2 * done <= total;
}

// Is it of the loop that counts? A smaller number out of another total is not, unless that loop is over and this one is
// longer; nor is a far smaller total. Epochs may differ a little.
static bool judge(struct progress_parse *t, struct progress_parse_head *head)
{
	head->anew = progress_parse_is_anew(head->done, head->total, t->done, t->total);
	bool differs = (head->total < t->total || head->total > t->total) && t->total > 0;
	if (differs && !head->anew && (head->done <= t->done || 2 * head->total <= t->total))
		return false;
	t->done = head->anew ? head->done : fmax(t->done, head->done);
	t->total = head->total;
	return true;
}

bool progress_parse_line(
	struct progress_parse *t, const struct regex *found, double total, struct progress_parse_head *head)
{
	int group = regex_group(found, "done");
	double done, epoch = number(found, "epoch"), epochs = number(found, "epochs"), batches = number(found, "total");
	t->from_zero = t->from_zero || epoch == 0;
	if (regex_group(found, "heading")) {
		t->epoch = epoch;
		t->epochs = epochs;
		t->fresh = true;
		return false;
	}
	if (!regex_number(found, group ? group : 1, &done) || batches <= 0)
		return false;
	if (regex_group(found, "bar")) {
		if (isnan(epoch) && t->epochs <= 0 && counts_bytes(t, done, batches))
			return false;
		read_bar(t, done, &epoch, &epochs);
	}
	*head = (struct progress_parse_head){.done = done, .total = isnan(batches) ? total : batches};
	if (isnan(epoch) || isnan(batches))
		return judge(t, head);
	head->epoch = batches;
	head->done += (epoch - (t->from_zero ? 0 : 1)) * batches;
	head->total = isnan(epochs) ? total : epochs * batches;
	return judge(t, head);
}
