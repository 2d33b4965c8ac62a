// Staging: brings the inputs of a plan to the node's data directory. Runs in a child of the agent, straight from top to
// bottom. It does not decide which inputs: the caller gives the list.
#ifndef NODE_STAGE_H
#define NODE_STAGE_H

#include <jansson.h>
#include <stdint.h>

// Brings each input of the list (as in job/plan.h) below data_dir, which is made if missing: copies or fetches it
// beside its place, checks its sum, then renames or unpacks it. Writes an `input` event for each, as a line, to out,
// and while one takes long an `input` event without "ok" now and then. Stops at the first that fails: its event says
// why, nothing of it is left at its place, and -1 is returned.
//
// An input with a member "index" is asked for: a line {"type": "want", "input": INDEX} is written to out, and from the
// descriptor wire come a struct stage_head and so many bytes: those of the file, or a tar archive of the directory.
int stage_run(const json_t *inputs, const char *data_dir, int wire, int out);

struct stage_head {
	uint64_t size;
	uint32_t mode, archive;
};

#endif
