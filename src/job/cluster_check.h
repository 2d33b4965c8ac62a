// What a job file may ask of its executor, checked by the executor's traits, with the place in the file in each error.
// It asks no executor: what only this machine can answer (limits, programs, an engine) is for exec/NAME.c.
#ifndef JOB_CLUSTER_CHECK_H
#define JOB_CLUSTER_CHECK_H

#include "base/error.h"

struct job;

// -1 and err when images or hosts are missing, or when there are images, builds, volumes or live inputs that the nodes
// cannot have. Of a job on a cluster that is up nothing is checked: its nodes are there.
int cluster_check(const struct job *job, struct error *err);

#endif
