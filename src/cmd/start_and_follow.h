// Starts a controller as a process and shows the run until it ends: what run, rerun and up have in common.
// It makes no plan and no run directory.
#ifndef CMD_START_AND_FOLLOW_H
#define CMD_START_AND_FOLLOW_H

#include "base/error.h"
#include "controller/controller_options.h"

#include <stdbool.h>

struct start_and_follow_options {
	struct controller_options controller;
	bool detach;      // return as soon as it has started; it goes on whatever becomes of us
	bool json, quiet; // of what is shown
};

// The exit status of the run. A cluster that stays up is shown until it is up, which is 0; from then on it goes on by
// itself. -1 and err when it could not start or be followed.
int start_and_follow(const struct start_and_follow_options *options, struct error *err);

#endif
