// What a run has left on this machine, for a controller elsewhere: `muster-agent list LABEL` and `muster-agent reap
// LABEL`. It knows nothing but the label.
#ifndef HELPER_LEFTOVERS_H
#define HELPER_LEFTOVERS_H

#include <stdbool.h>

// Prints "muster-left WHAT ID" for each thing, or removes them all (reap), then prints "muster-done".
// "muster-trouble WHY" when something cannot be removed. Exit status: 0, or the error's code.
int leftovers_main(const char *label, bool reap);

#endif
