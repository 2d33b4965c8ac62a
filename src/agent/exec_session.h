// Commands that `muster exec` runs on this node: a process with a terminal or with pipes, its bytes relayed as they
// are. They are no ranks: nothing is spooled, and they end with the agent.
#ifndef AGENT_EXEC_SESSION_H
#define AGENT_EXEC_SESSION_H

#include "agent/node.h"

struct exec_session;

struct exec_session *exec_session_new(struct node *node);
void exec_session_free(struct exec_session *exec_sessions); // kills them all; takes NULL

// The messages {"msg": "exec", "id", "argv", "tty", "rows", "cols"}, {"msg": "exec", "id", "rows", "cols"} (a new
// size),
// {"msg": "exec", "id", "eof": true} and {"msg": "exec", "id", "gone": true}. Answered by bytes on the stream of the
//     id, by {"msg": "exec",
// "id", "taken": bytes of input so far} and, at the end, by {"msg": "exec", "id", "status"} or {"msg": "exec", "id",
// "error"}.
void exec_session_message(struct exec_session *exec_sessions, const json_t *msg);
void exec_session_bytes(struct exec_session *exec_sessions, uint32_t stream, const void *bytes, size_t len);

#endif
