// What a run has left on this machine, for a controller elsewhere: `muster-agent list LABEL`, `muster-agent reap
// LABEL` and, when the run itself ends, `muster-agent tidy LABEL`. It knows nothing but the label.
#ifndef HELPER_LEFTOVERS_H
#define HELPER_LEFTOVERS_H

enum leftovers_what {
	LEFTOVERS_LIST,
	LEFTOVERS_REAP, // remove everything
	LEFTOVERS_TIDY, // remove everything but outputs that are kept: "muster-kept" when there are any
};

// Prints "muster-left WHAT ID" for each thing, or removes them, then prints "muster-done".
// "muster-trouble WHY" when something cannot be removed. Exit status: 0, or the error's code.
int leftovers_main(const char *label, enum leftovers_what what);

#endif
