// Labels on what a Docker engine keeps: whose it is, found again by anybody, listed and removed.
// It makes nothing. what is "containers" or "networks", as in the engine's API.
#ifndef DOCKER_LABEL_H
#define DOCKER_LABEL_H

#include "base/error.h"
#include "docker/engine.h"

// The labels of everything this process makes for a run: its id, who makes it (machine, pid, start time) and the run's
// directory (may be NULL); no secrets. Owned by the caller.
json_t *label_make(const char *run, const char *run_dir);

// What carries a run's label (NULL: any run's), as the engine lists it: an array, owned by the caller.
json_t *label_find(struct engine *e, const char *what, const char *label, struct error *err);

// Appends what is found as executor.h says. A controller of another machine cannot be looked at: it counts as alive.
int label_list(struct engine *e, const char *what, const char *label, json_t *found, struct error *err);

// Removes one thing, running or not; what is gone already is fine. remove_all: those of a run, or (NULL) of every run
// whose controller is dead.
int label_remove(struct engine *e, const char *what, const char *id, struct error *err);
int label_remove_all(struct engine *e, const char *what, const char *label, struct error *err);

#endif
