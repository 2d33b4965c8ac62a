#include "controller/budget.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/prices.h"

#include <math.h>

enum { TURNS_LEAST = 10 }; // before their spread is believed

static double wish(const json_t *plan, const char *name)
{
	const json_t *value = json_object_get(json_object_get(plan, "budget"), name);
	return json_is_number(value) ? json_number_value(value) : INFINITY;
}

int budget_check(const json_t *plan, struct error *err)
{
	double most = wish(plan, "max_cost");
	if (isinf(most))
		return 0;
	double least = prices_cost(json_object_get(plan, "prices"), plan, 1, 1);
	if (isnan(least))
		return error_set(err, ERROR_USAGE, "budget.max_cost is %g, but what these nodes cost is not known: expected a file of prices (--prices, $MUSTER_PRICES or prices.yaml) that says it", most);
	if (least > most)
		return error_set(err, ERROR_USAGE, "budget.max_cost is %g, but the least that these nodes cost is %g", most, least);
	return 0;
}

// Costs grow in steps; the last moment before one that is too much is found by halving.
static double affordable(const json_t *plan, double most, double cores)
{
	const json_t *prices = json_object_get(plan, "prices");
	double low = 0, high = 1;
	while (high < 1e9 && prices_cost(prices, plan, high, cores) <= most)
		high *= 2;
	if (high >= 1e9)
		return INFINITY;
	while (high - low > 0.01) {
		double middle = (low + high) / 2;
		if (prices_cost(prices, plan, middle, cores) <= most)
			low = middle;
		else
			high = middle;
	}
	return low;
}

double budget_end(const json_t *plan, double cores)
{
	double time = wish(plan, "max_time"), most = wish(plan, "max_cost");
	return isinf(most) ? time : fmin(time, affordable(plan, most, cores));
}

char *budget_judge(const json_t *plan, const struct estimate_input *seen, double gone, double cores)
{
	double end = budget_end(plan, cores);
	if (isinf(end) || isnan(seen->total) || seen->count < TURNS_LEAST)
		return NULL;
	struct estimate e = estimate_make(seen);
	if (!(gone + e.total_low > end))
		return NULL;
	autofree char *needs = str_seconds(gone + e.total), *least = str_seconds(gone + e.total_low), *has = str_seconds(end);
	return mem_printf("over budget: it will take %s (%s at least), and may take %s", needs, least, has);
}
