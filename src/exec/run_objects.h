// What runs have made in clusters: written down before, found again by the label, listed and removed, by any process.
// It makes no Jobs and looks into no pod: exec/kubernetes.c does.
//
// Where to look: in the contexts and namespaces that intents name (exec/intent_log.h), in that of the plan, and in that
// of the configuration as it is now. Of the last nobody has said that there is anything: that it cannot be reached is
// no error.
#ifndef EXEC_RUN_OBJECTS_H
#define EXEC_RUN_OBJECTS_H

#include "base/error.h"
#include "exec/executor.h"
#include "kube/api_server.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// Whose a Job is: machine and process of its controller, the run's directory (may be NULL); no secrets. Owned by the
// caller.
json_t *run_objects_annotations(const char *run_dir);

// Before anything is made; jobs is how many this run has made so far. In a pod nothing is written: it would be gone
// with the pod.
int run_objects_save_intent(const struct cluster *c, struct api_server *server, size_t jobs, struct error *err);
void run_objects_forget_intent(const char *label); // nothing was made after all
size_t run_objects_count_jobs(const char *label);  // what an intent says of it, 0 without one

// Deletes those pods of the run that nobody wants, and the Jobs of which no pod is wanted.
int run_objects_sweep(struct api_server *server, const char *label,
	bool (*is_wanted)(const char *job, size_t node, void *data), void *data, struct error *err);

// As down and left of an executor.
int run_objects_remove(const struct cluster *c, struct error *err);
int run_objects_list(const struct cluster *c, json_t *found, struct error *err);

#endif
