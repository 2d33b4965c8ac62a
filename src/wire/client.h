// A client of a controller's port: commands in nodes, as many at once as are wanted, and requests, over one connection.
// It knows no terminals, no files and no run directory.
//
// Both directions of a command have a window: a client sends so much input beyond what the node has said it has taken,
// and a node so much output beyond what client_taken has said. So neither a slow command nor a slow reader fills
// anybody's memory.
#ifndef WIRE_CLIENT_H
#define WIRE_CLIENT_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_WINDOW (1u << 20) // bytes either side may be ahead

struct client;
struct client_command;

struct client_ops {
	void (*on_welcome)(void *data);
	void (*on_answer)(const json_t *msg, void *data); // to a request; borrowed
	void (*on_close)(const char *why,
		void *data); // the line is down; the commands are told first, and the client may be freed
};

struct client_command_ops {
	void (*on_bytes)(bool error, const void *bytes, size_t len,
		void *data);         // of its output, or its standard error; see client_taken
	void (*on_room)(void *data); // there is room for input again
	void (*on_end)(int status, const char *why,
		void *data); // the exit status; or -1 and why. The command is freed after it
};

// control is a run's control.json, borrowed until it returns. NULL and err when it holds no address.
struct client *client_dial(
	struct loop *loop, const json_t *control, const struct client_ops *ops, void *data, struct error *err);
void client_free(struct client *client); // ends all its commands without a word; takes NULL

void client_request(
	struct client *client, const json_t *msg); // {"msg": kind, ...}; answered by one of the same kind, or by none

// What a command is: argv, and whether argv[0] is instead the node's own agent.
struct client_what {
	size_t node;
	const json_t *argv; // texts
	bool agent, tty;
	int rows, cols;
};

// Starts a command; after on_welcome only.
struct client_command *client_run(
	struct client *client, const struct client_what *what, const struct client_command_ops *ops, void *data);
void client_drop(struct client_command *command); // ends it without a word; takes NULL

size_t client_room(const struct client_command *command); // so much input may be sent now
void client_write(struct client_command *command, const void *bytes,
	size_t len); // beyond that room too, but then memory is the price
void client_end_input(struct client_command *command);
void client_size(struct client_command *command, int rows, int cols); // of its terminal
void client_taken(struct client_command *command, size_t len);        // so many bytes of on_bytes need no room any more

#endif
