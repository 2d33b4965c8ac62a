#include "controller/budget.h"

#include "base/mem.h"
#include "base/str.h"
#include "job/plan.h"
#include "job/prices.h"

#include <math.h>

enum { TURNS_LEAST = 10 }; // before their spread is believed

// The least that the whole run is expected to take. One that is to stop before takes less: nobody knows.
static double least_time(const json_t *plan)
{
	struct plan_expected expected = plan_expected(plan);
	return plan_has_stop(plan) ? NAN : isnan(expected.low) ? expected.time : expected.low;
}

static int check_cost(const json_t *plan, double most, double least, struct error *err)
{
	const json_t *prices = plan_prices(plan);
	double begun = prices_cost(prices, plan, 1, 1), whole = prices_cost(prices, plan, least, 0);
	if (isnan(begun))
		return error_set(err, ERROR_USAGE,
			"budget.max_cost is %g, but the price of these nodes is unknown: expected a price file "
			"(--prices, $MUSTER_PRICES or prices.yaml) that lists it",
			most);
	if (begun > most)
		return error_set(
			err, ERROR_USAGE, "budget.max_cost is %g, but these nodes cost at least %g", most, begun);
	if (whole > most)
		return error_set(err, ERROR_USAGE,
			"budget.max_cost is %g, but the run is expected to cost at least %g (expected.low)", most,
			whole);
	return 0;
}

int budget_check(const json_t *plan, struct error *err)
{
	struct plan_budget budget = plan_budget(plan);
	double least = least_time(plan);
	if (least > budget.max_time) {
		autofree char *has = str_seconds(budget.max_time), *needs = str_seconds(least);
		return error_set(err, ERROR_USAGE,
			"budget.max_time is %s, but the run is expected to take at least %s (expected.low)", has,
			needs);
	}
	return isinf(budget.max_cost) ? 0 : check_cost(plan, budget.max_cost, least, err);
}

// Costs grow in steps; the last moment before one that is too much is found by halving.
static double affordable(const json_t *plan, double most, double cores)
{
	const json_t *prices = plan_prices(plan);
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
	struct plan_budget budget = plan_budget(plan);
	return isinf(budget.max_cost) ? budget.max_time
				      : fmin(budget.max_time, affordable(plan, budget.max_cost, cores));
}

// How long it may take, and why no longer.
char *budget_text(const json_t *plan, double cores)
{
	struct plan_budget budget = plan_budget(plan);
	double end = budget_end(plan, cores);
	autofree char *time = str_seconds(end), *most = prices_text(budget.max_cost);
	return end < budget.max_time ? mem_printf("%s, which %s pays for", time, most) : mem_strdup(time);
}

char *budget_judge(const json_t *plan, const struct estimate_input *seen, double gone, double cores)
{
	double end = budget_end(plan, cores);
	if (isinf(end) || isnan(seen->total) || seen->count < TURNS_LEAST)
		return NULL;
	struct estimate e = estimate_make(seen);
	if (!(gone + e.total_low > end))
		return NULL;
	autofree char *needs = str_seconds(gone + e.total), *least = str_seconds(gone + e.total_low),
		      *has = budget_text(plan, cores);
	return mem_printf("over budget: predicted %s (at least %s), allowed %s", needs, least, has);
}
