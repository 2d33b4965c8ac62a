// What one node sends, as it arrives: its streams and how far each has come, its events, the output of its ranks, the
// files it brings back. It has no connection, and it does not know what an event means.
//
// A node is believed nothing but what is its own: events of its number and its ranks, of the types that nodes have;
// files below outputs/node-N.
#ifndef CONTROLLER_NODE_STREAMS_H
#define CONTROLLER_NODE_STREAMS_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node_streams;

struct node_streams_ops {
	void (*on_event)(json_t *event, const char *line, size_t len, void *data); // borrowed
	void (*on_bad)(const char *why, void *data); // a line that is no event it may send; it is dropped
	void (*on_trouble)(const char *why,
		void *data); // the run directory cannot be written; the rest of that stream is thrown away
	void (*on_lost)(const char *path, const char *why,
		void *data); // the same of a file that the node brings back; path as in its event
};

// The node has count ranks, the first of them is rank number first of the run. run, ops and data are borrowed.
struct node_streams *node_streams_new(
	struct run *run, size_t node, size_t first, size_t count, const struct node_streams_ops *ops, void *data);
void node_streams_free(struct node_streams *ns); // takes NULL

// Bytes of a stream from an offset on; what is known already is passed over. *fresh: how many were new. -1 and err when
// nobody announced them.
int node_streams_take(struct node_streams *ns, uint32_t stream, uint64_t offset, const void *bytes, size_t len,
	size_t *fresh, struct error *err);

// {"streams": {stream: offset}, "files": stream}: all streams, or those that have come further since the last call;
// files: all below that stream are here, left out when that is no news. Owned by the caller.
json_t *node_streams_acks(struct node_streams *ns, bool all);

// Its last event has come, and all bytes that it and the announced files speak of.
bool node_streams_is_complete(const struct node_streams *ns);

#endif
