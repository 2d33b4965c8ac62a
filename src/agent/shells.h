// Commands that `muster exec` runs on this node: a process with a terminal or with pipes, its bytes relayed as they
// are. They are no ranks: nothing is spooled, and they end with the agent.
#ifndef AGENT_SHELLS_H
#define AGENT_SHELLS_H

#include "agent/node.h"

struct shells;

struct shells *shells_new(struct node *node);
void shells_free(struct shells *shells); // kills them all; takes NULL

// The messages {"msg": "exec", "id", "argv", "tty", "rows", "cols"}, {"msg": "exec", "id", "rows", "cols"} (a new
// size),
// {"msg": "exec", "id", "eof": true} and {"msg": "exec", "id", "gone": true}. Answered by bytes on the stream of the
//     id, by {"msg": "exec",
// "id", "taken": bytes of input so far} and, at the end, by {"msg": "exec", "id", "status"} or {"msg": "exec", "id",
// "error"}.
void shells_message(struct shells *shells, const json_t *msg);
void shells_bytes(struct shells *shells, uint32_t stream, const void *bytes, size_t len);

#endif
