// The executor of a job that runs on a persistent cluster: its nodes are there already, and an agent of the job's
// own is started on each. It makes no node and removes none. It is no row of executors[]: `muster run --on` chooses it,
// no job file can.
#ifndef EXEC_ATTACHED_H
#define EXEC_ATTACHED_H

#include "exec/executor.h"

// The plan's "on" is the cluster's name; with "share" it runs there beside other jobs.
extern const struct executor executor_attached;

#endif
