// The budget: what a run may take and cost, watched while it goes on.
// It stops nothing itself: it says that it is time.
#ifndef CONTROLLER_BUDGET_H
#define CONTROLLER_BUDGET_H

#include "base/error.h"
#include "predict/estimate.h"

#include <jansson.h>

// The plan's "budget" may have "max_time" (s) and "max_cost", with the prices in the plan's "prices". Can the run fit
// at all? -1 and err (ERROR_USAGE) when even a run of a second would cost too much, or the least that its "expected"
// predicts is too long or too much, or nobody knows what its nodes cost.
int budget_check(const json_t *plan, struct error *err);

// Seconds after its begin at which the run has used up its budget; INFINITY when it has none. cores: of a node, for
// prices by CPU (0: not known).
double budget_end(const json_t *plan, double cores);

// The same as words, with the money that it is for, where that is the narrower limit: "50.0 s, which is what 0.50 pays
// for". Owned by the caller.
char *budget_text(const json_t *plan, double cores);

// Will it need more, by what its iterations say? gone: seconds from the run's begin to the program's. In that case the
// text says so, owned by the caller; else NULL. Only when the lower end of the estimate is beyond the budget, so that
// no run is stopped for noise.
char *budget_judge(const json_t *plan, const struct estimate_input *seen, double gone, double cores);

#endif
