// The setup step that has the image of a node's ranks: there, pulled or built, at the node's own engine
// (helper/setup_step.h does it). It makes no container: agent/container does.
#ifndef HELPER_IMAGE_STEP_H
#define HELPER_IMAGE_STEP_H

#include "base/error.h"

#include <jansson.h>

// The step holds "container" as the plan has it, its context being where it is on this node, "job", the job's name, and
// "node_dir". Why there is nothing to do, owned by the caller; NULL when there is.
char *image_step_is_done(const json_t *step);

// Does it, telling standard output how far it is. The nodes of one machine do it one after the other, and what one has
// built is built for all of them. Returns the exit status.
int image_step_take(const json_t *step);

// What the engine calls the image, for a node that has done its step; owned by the caller. NULL and err when it has
// not. image is the plan's name of it, NULL: it is built.
char *image_step_name(const char *image, const char *node_dir, struct error *err);

#endif
