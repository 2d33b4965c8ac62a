// A process as two texts that stand beside what it made somewhere else: which machine it is on, which process it is.
// Whoever reads them can see whether it lives. It marks nothing: docker/label and exec/run_objects do.
#ifndef BASE_PROCESS_MARK_H
#define BASE_PROCESS_MARK_H

#include <jansson.h>
#include <stdbool.h>

// Where a pid means the same process: this boot of this kernel, and this pid name space. Owned by the caller.
char *process_mark_machine(void);

char *process_mark_own(void); // "PID STARTED" of this process; owned by the caller

// A process of another machine cannot be looked at: it counts as alive, and *process is NULL. Else that is {"pid",
// "started"}, owned by the caller.
bool process_mark_is_live(const char *machine, const char *own, json_t **process);

#endif
