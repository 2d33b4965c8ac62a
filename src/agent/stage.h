// Staging: brings the inputs of a plan to the node's data directory. Runs in a child of the agent, straight from top to bottom.
// It does not decide which inputs: the caller gives the list.
#ifndef AGENT_STAGE_H
#define AGENT_STAGE_H

#include <jansson.h>

// Brings each input of the list below data_dir and writes an `input` event for each, as a line, to out. -1 when one failed: its event says why.
int stage_run(const json_t *inputs, const char *data_dir, int out);

// The path below the data directory where an input lands; owned by the caller.
char *stage_path(const json_t *input);

#endif
