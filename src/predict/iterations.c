#include "predict/iterations.h"

#include "base/json.h"
#include "base/mem.h"
#include "job/progress_parse.h"
#include "predict/series.h"
#include "wire/event.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 4096 };

struct rank {
	bool known, headed;
	double start, end;           // NAN: not seen
	double first_at, first_done; // of the first head
	double at, done, total, epoch;
	struct estimate_turn *turns;
	size_t count, size;
};

struct iterations {
	struct rank *ranks;
	size_t nranks;
};

struct iterations *iterations_new(void)
{
	return mem_alloc(sizeof(struct iterations));
}

void iterations_free(struct iterations *it)
{
	if (!it)
		return;
	for (size_t i = 0; i < it->nranks; i++)
		free(it->ranks[i].turns);
	free(it->ranks);
	free(it);
}

static void begin(struct rank *r)
{
	free(r->turns);
	*r = (struct rank){.known = true, .start = NAN, .end = NAN, .total = NAN};
}

static struct rank *rank_of(struct iterations *it, long rank)
{
	if (rank < 0 || rank >= JSON_NUMBERS)
		return NULL;
	if ((size_t)rank >= it->nranks) {
		size_t more = (size_t)rank + 1;
		it->ranks = mem_resize(it->ranks, more * sizeof *it->ranks);
		memset(it->ranks + it->nranks, 0, (more - it->nranks) * sizeof *it->ranks);
		it->nranks = more;
	}
	if (!it->ranks[rank].known)
		begin(&it->ranks[rank]);
	return &it->ranks[rank];
}

static void add_turn(struct rank *r, struct estimate_turn turn)
{
	if (r->count == TURNS_MAX) {
		for (size_t i = 0; i < TURNS_MAX / 2; i++) {
			r->turns[i].seconds = r->turns[2 * i].seconds + r->turns[2 * i + 1].seconds;
			r->turns[i].count = r->turns[2 * i].count + r->turns[2 * i + 1].count;
		}
		r->count = TURNS_MAX / 2;
	}
	if (r->count == r->size) {
		r->size = r->size ? 2 * r->size : 64;
		r->turns = mem_resize(r->turns, r->size * sizeof *r->turns);
	}
	r->turns[r->count++] = turn;
}

void iterations_head(struct iterations *it, long rank, double at, double done, double total, double epoch)
{
	struct rank *r = rank_of(it, rank);
	if (!r || !isfinite(at) || !isfinite(done) || done < 0 || at < r->start) // of an attempt that is over
		return;
	if (!r->headed || progress_parse_is_anew(done, total, r->done, r->total)) {
		r->headed = true;
		r->count = 0;
		r->first_at = at;
		r->first_done = done;
	} else if (done > r->done && at >= r->at) {
		add_turn(r, (struct estimate_turn){at - r->at, done - r->done});
	} else {
		return; // said twice, or nonsense
	}
	r->at = at;
	r->done = done;
	r->total = total;
	r->epoch = epoch;
}

void iterations_start(struct iterations *it, long rank, double at)
{
	struct rank *r = rank_of(it, rank);
	if (!r)
		return;
	begin(r);
	r->start = at;
}

static void add_progress(struct iterations *it, const json_t *event)
{
	long rank = json_whole(event, "rank");
	double total = json_has(event, "total") ? json_number(event, "total") : NAN,
	       epoch = json_number(event, "epoch");
	size_t i;
	const json_t *head;
	json_array_foreach (json_object_get(event, "heads"), i, head)
		if (json_is_number(json_array_get(head, 0)) && json_is_number(json_array_get(head, 1)))
			iterations_head(it, rank, json_number_value(json_array_get(head, 0)),
				json_number_value(json_array_get(head, 1)), total, epoch);
}

void iterations_add(struct iterations *it, const json_t *event)
{
	if (event_is(event, "progress")) {
		add_progress(it, event);
		return;
	}
	if (event_is(event, "start"))
		iterations_start(it, json_whole(event, "rank"), json_number(event, "ts"));
	struct rank *r = event_is(event, "exit") ? rank_of(it, json_whole(event, "rank")) : NULL;
	if (r)
		r->end = json_number(event, "ts");
}

long iterations_leader(const struct iterations *it)
{
	for (size_t i = 0; i < it->nranks; i++)
		if (it->ranks[i].headed)
			return (long)i;
	return -1;
}

static const struct rank *find(const struct iterations *it, long rank)
{
	return rank >= 0 && (size_t)rank < it->nranks && it->ranks[rank].known ? &it->ranks[rank] : NULL;
}

int iterations_input(const struct iterations *it, long rank, struct estimate_input *input)
{
	const struct rank *r = find(it, rank);
	if (!r || !r->headed)
		return 0;
	*input = (struct estimate_input){.before = isnan(r->start) ? 0 : fmax(r->first_at - r->start, 0),
		.done = r->first_done,
		.total = r->total,
		.epoch = r->epoch,
		.last = NAN,
		.turns = r->turns,
		.count = r->count};
	return 1;
}

double iterations_begun(const struct iterations *it, long rank)
{
	const struct rank *r = find(it, rank);
	return r ? r->start : NAN;
}

double iterations_seconds(const struct iterations *it, long rank)
{
	const struct rank *r = find(it, rank);
	return r ? r->end - r->start : NAN;
}

static json_t *interval(double value, double low, double high)
{
	return mem_json("[o, o, o]", series_number(value), series_number(low), series_number(high));
}

json_t *iterations_describe(const struct iterations *it, long rank)
{
	struct estimate_input input;
	if (!iterations_input(it, rank, &input))
		return json_null();
	struct estimate e = estimate_make(&input);
	json_t *doubts = json_array();
	for (unsigned bit = 1; bit <= ESTIMATE_NOTHING; bit <<= 1)
		if (e.doubts & bit)
			json_array_append_new(doubts, json_string(estimate_doubt(bit)));
	const struct rank *r = find(it, rank);
	return mem_json("{s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "rank", (int)rank, "seen",
		(int)e.seen, "warm_up", (int)e.warm_up, "pauses", (int)e.pauses, "every", series_number(e.every),
		"turn", interval(e.turn, e.turn_low, e.turn_high), "median", series_number(e.median), "spread",
		series_number(e.spread), "init", series_number(e.init), "total",
		interval(e.total, e.total_low, e.total_high), "turns", series_number(input.total), "gone",
		series_number(r->done), "doubts", doubts);
}
