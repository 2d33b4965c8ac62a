// Commands of `muster exec`: messages and bytes between a client and a node, passed on as they are.
// It starts nothing: the agent does.
#ifndef CONTROLLER_EXEC_RELAY_H
#define CONTROLLER_EXEC_RELAY_H

#include "wire/conn.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct exec_relay;

struct exec_relay *exec_relay_new(void);
void exec_relay_free(struct exec_relay *relay);

// From a client, which numbers its sessions (`session`, the stream of its bytes). find gives the connection of a node,
// or NULL when it is not there.
void exec_relay_from_client(struct exec_relay *relay, struct conn *client, json_t *msg,
	struct conn *(*find)(size_t node, void *data), void *data);
void exec_relay_client_bytes(
	struct exec_relay *relay, struct conn *client, uint32_t session, const void *bytes, size_t len);

// From a node.
void exec_relay_from_node(struct exec_relay *relay, struct conn *node, const json_t *msg);
void exec_relay_node_bytes(struct exec_relay *relay, struct conn *node, uint32_t stream, const void *bytes, size_t len);

void exec_relay_gone(struct exec_relay *relay, struct conn *conn); // a client or a node: its sessions end

#endif
