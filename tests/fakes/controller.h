// A loop, a server, a worker thread and connections that only record what is asked of them, for unit tests of the
// controller. They replace the real modules at link time; nothing happens unless the test makes it happen.
#ifndef FAKES_CONTROLLER_H
#define FAKES_CONTROLLER_H

#include "controller/server.h"
#include "fakes/loop.h"
#include "wire/conn.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { FAKE_NODES_MAX = 16 };

struct fake_controller {
	bool stopped;                   // loop_stop was called
	bool connected[FAKE_NODES_MAX]; // which nodes the server has a connection to; the test sets them
	json_t *sent;                   // [{"to": node or "all" or "client K", "msg": {...}}]
	size_t resized;                 // by server_resize; 0: never
	size_t errands;                 // started so far; their numbers are 1, 2, ...
	bool working;                   // the worker thread was given something that has not ended
};

extern struct fake_controller fake;

void fake_reset(void); // frees what was recorded, and starts anew

// Does what the worker thread was given. It ends as it does, or, with a text, with -1 and that text.
void fake_work(const char *why);

// A client's connection, compared by address only.
struct conn *fake_client(size_t k);

// How many messages of that kind ("launch", "bye", ...) went to a node; to "all" counts for every node.
size_t fake_count_sent(size_t node, const char *kind);
// The last message to whoever is named as in sent, or NULL; borrowed.
const json_t *fake_last_to_node(size_t node);
const json_t *fake_last_to_client(size_t k);

#endif
