// A command on many nodes at once: what they print, marked by node, and the worst of how they ended.
// It has no input and no terminal: that is exec's, for one node.
#ifndef CMD_EXEC_FANOUT_H
#define CMD_EXEC_FANOUT_H

#include "base/error.h"

#include <jansson.h>
#include <stddef.h>

// The same command on the nodes 0 to count - 1. Returns the highest exit status; -1 and err when a node could not be
// asked.
int exec_fanout_all(const json_t *control, size_t count, const json_t *argv, struct error *err);

// commands: [{"node", "argv"}]
int exec_fanout_run(const json_t *control, const json_t *commands, struct error *err);

// Writes all, waiting where it has to; -1 when nobody reads it any more.
int exec_fanout_write(int fd, const void *bytes, size_t len);

#endif
