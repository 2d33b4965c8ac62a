// Commands of `muster exec`: messages and bytes between a client and a node, passed on as they are.
// It starts nothing: the agent does.
#ifndef CONTROLLER_RELAY_H
#define CONTROLLER_RELAY_H

#include "wire/conn.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct relay;

struct relay *relay_new(void);
void relay_free(struct relay *relay);

// From a client, which numbers its sessions (`session`, the stream of its bytes). find gives the connection of a node,
// or NULL when it is not there.
void relay_from_client(struct relay *relay, struct conn *client, json_t *msg,
	struct conn *(*find)(size_t node, void *data), void *data);
void relay_client_bytes(struct relay *relay, struct conn *client, uint32_t session, const void *bytes, size_t len);

// From a node.
void relay_from_node(struct relay *relay, struct conn *node, const json_t *msg);
void relay_node_bytes(struct relay *relay, struct conn *node, uint32_t stream, const void *bytes, size_t len);

void relay_gone(struct relay *relay, struct conn *conn); // a client or a node: its sessions end

#endif
