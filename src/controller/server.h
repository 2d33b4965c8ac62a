// The controller's port: who may speak, what arrives on which stream and how far it is, and what is sent down.
// It writes what ranks print and what nodes bring back into the run directory; what events mean is the controller's
// business.
#ifndef CONTROLLER_SERVER_H
#define CONTROLLER_SERVER_H

#include "base/crypto.h"
#include "base/error.h"
#include "base/loop.h"
#include "run/run.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct server;

struct server_ops {
	void (*on_hello)(
		size_t node, json_t *hello, bool again, void *data); // borrowed; again: its line was broken before
	void (*on_event)(size_t node, json_t *event, const char *line, size_t len,
		void *data); // borrowed; "node" is the right one
	void (*on_fence)(size_t node, const char *name, json_t *brought, void *data);
	void (*on_complete)(size_t node, void *data); // its last event and all its bytes have arrived
	void (*on_away)(size_t node, double heard, const char *why,
		void *data); // the line is down; heard: the node's last sign of life (clock_mono)
	void (*on_refused)(const char *peer, const char *why, void *data);
	void (*on_trouble)(const char *why, void *data); // the run directory cannot be written
	void (*on_lost)(size_t node, const char *path, const char *why,
		void *data);             // an output of this node cannot be written; path as in its event
	void (*on_activity)(void *data); // bytes came from some node, or it is busy
	void (*on_request)(
		struct conn *client, const json_t *msg, void *data); // a client wants something that is no exec
	void (*on_client_gone)(struct conn *client, void *data);
	// A command that server_errand gave this number is over; ok: its status was 0.
	void (*on_errand)(size_t node, uint32_t errand, bool ok, void *data);
	void (*on_fetched)(json_t *event, void *data); // an input was fetched for the nodes; takes the event
};

struct server_options {
	struct run *run;
	const json_t *plan;
	const char *address;              // to listen on
	int port;                         // 0: any
	const char *secret;               // tokens are made of it: "node:K", "client"
	struct crypto_identity *identity; // taken; NULL: a new one
	const struct server_ops *ops;
	void *data;
};

struct server *server_new(struct loop *loop, const struct server_options *options, struct error *err);
void server_stop(struct server *s); // call-backs end; before loop_free
void server_free(struct server *s); // after loop_free

// From now on there are count nodes; what is known of those beyond is forgotten.
void server_resize(struct server *s, size_t count);
void server_forget(struct server *s, size_t node); // the next to say hello as this node is a new one

// Runs the node's own agent with these arguments (["muster-agent", ...]) there; what it says is dropped. The number of
// the command, for on_errand; 0 when the node is away. Of a command whose connection breaks nothing more is heard.
uint32_t server_errand(struct server *s, size_t node, const json_t *argv);

int server_port(const struct server *s);
const struct crypto_identity *server_identity(const struct server *s);
const char *server_url(const struct server *s);
const char *server_fingerprint(const struct server *s);

void server_send(struct server *s, size_t node, const json_t *msg); // lost when the node is away
void server_send_message(
	struct server *s, size_t node, struct conn_message *message); // the same for one that many nodes get
void server_send_all(struct server *s, const json_t *msg);
bool server_connected(const struct server *s, size_t node);
size_t server_count_connected(const struct server *s);

#endif
