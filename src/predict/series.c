#include "predict/series.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct bucket {
	struct point low, high; // of the finite points; low.value is NaN when there are none, and low.t then says where
				// the gap is
	size_t count;
};

void series_fini(struct series *s)
{
	free(s->buckets);
	*s = (struct series){0};
}

static void widen(struct point *low, struct point *high, const struct point *p)
{
	if (!isfinite(p->value))
		return;
	if (!isfinite(low->value) || p->value < low->value)
		*low = *p;
	if (!isfinite(high->value) || p->value > high->value)
		*high = *p;
}

// Two neighbours become one; an odd one at the end stays half full.
static void halve(struct series *s)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->nbuckets; i += 2) {
		struct bucket b = s->buckets[i];
		if (i + 1 < s->nbuckets) {
			widen(&b.low, &b.high, &s->buckets[i + 1].low);
			widen(&b.low, &b.high, &s->buckets[i + 1].high);
			b.count += s->buckets[i + 1].count;
		}
		s->buckets[kept++] = b;
	}
	s->nbuckets = kept;
	s->per_bucket *= 2;
}

static struct bucket *last_bucket(struct series *s)
{
	return s->nbuckets ? &s->buckets[s->nbuckets - 1] : NULL;
}

void series_add(struct series *s, size_t limit, struct point p)
{
	if (s->count++ == 0) {
		s->per_bucket = 1;
		s->first = s->low = s->high = p;
	}
	s->last = p;
	if (isfinite(p.value)) {
		s->sum += p.value;
		s->finite++;
		widen(&s->low, &s->high, &p);
	}
	// A bucket shows two points, and the first and the last are shown besides.
	struct bucket *b = last_bucket(s);
	if (b && b->count == s->per_bucket && s->nbuckets >= (limit - 2) / 2) {
		halve(s);
		b = last_bucket(s);
	}
	if (b && b->count < s->per_bucket) {
		widen(&b->low, &b->high, &p);
		b->count++;
		return;
	}
	if (s->nbuckets == s->size) {
		s->size = s->size ? 2 * s->size : 16;
		s->buckets = mem_resize(s->buckets, s->size * sizeof(*s->buckets));
	}
	s->buckets[s->nbuckets++] = (struct bucket){.low = p, .high = p, .count = 1};
}

// 12 rather than 12.0; every integer a double can hold exactly.
static json_t *whole(double value)
{
	if (value == floor(value) && fabs(value) < 9e15)
		return json_integer((json_int_t)value);
	return isfinite(value) ? json_real(value) : json_null();
}

json_t *series_number(double value)
{
	if (!isfinite(value))
		return json_null();
	char text[40];
	snprintf(text, sizeof(text), "%.6g", value);
	value = strtod(text, NULL);
	return whole(value);
}

static void append(json_t *points, const struct point *p, bool with_step)
{
	json_t *point = json_array();
	json_array_append_new(point, whole(floor(p->t * 1000 + 0.5) / 1000));
	if (with_step)
		json_array_append_new(point, whole(p->step));
	json_array_append_new(point, series_number(p->value));
	json_array_append_new(points, point);
}

static bool is_same(const struct point *a, const struct point *b)
{
	return a->t == b->t && (a->step == b->step || (isnan(a->step) && isnan(b->step))) && a->value == b->value;
}

json_t *series_points(const struct series *s, bool with_step)
{
	json_t *points = json_array();
	const struct point *shown = NULL;
	for (size_t i = 0; i < s->nbuckets; i++) {
		const struct bucket *b = &s->buckets[i];
		bool swapped = b->high.t < b->low.t || (b->high.t == b->low.t && b->high.step < b->low.step);
		const struct point *two[2] = {swapped ? &b->high : &b->low, swapped ? &b->low : &b->high};
		if (i == 0 && !is_same(two[0], &s->first))
			append(points, &s->first, with_step);
		append(points, two[0], with_step);
		shown = two[0];
		if (isfinite(two[1]->value) && !is_same(two[0], two[1])) {
			append(points, two[1], with_step);
			shown = two[1];
		}
	}
	if (shown && !is_same(shown, &s->last) && s->per_bucket > 1)
		append(points, &s->last, with_step);
	return points;
}
