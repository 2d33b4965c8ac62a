// What a command is aimed at: a run that goes on, or a persistent cluster.
// It starts a cluster's controller again when that is gone; it makes no node.
#ifndef CMD_LIVE_TARGET_H
#define CMD_LIVE_TARGET_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct live_target {
	bool cluster; // a persistent cluster
	struct run *run;
	json_t *control, *plan; // of its controller
	size_t nodes;
};

// name is a cluster's, or else a run's below runs as run_open takes it. -1 and err when there is none that lives.
int live_target_open(struct live_target *t, const char *runs, const char *name, struct error *err);
int live_target_open_cluster(struct live_target *t, const char *name, struct error *err);
void live_target_close(struct live_target *t);

// "2" or "node-2" as a number below the number of nodes.
int live_target_node(const struct live_target *t, const char *text, size_t *node, struct error *err);

// Asks its controller for something and waits for the answer, which the caller owns; NULL and err when it refuses or is
// gone.
json_t *live_target_ask(const struct live_target *t, const json_t *request, struct error *err);

#endif
