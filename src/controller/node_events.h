// What nodes say, and what it means for the run.
// It decides nothing by itself: lifecycle does.
#ifndef CONTROLLER_NODE_EVENTS_H
#define CONTROLLER_NODE_EVENTS_H

#include "controller/lifecycle.h"

extern const struct server_ops node_events_ops; // their data is the lifecycle

#endif
