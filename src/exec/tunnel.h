// Tunnels: one byte stream to each node's bridge (helper/bridge.h), connected to the controller's port and opened again
// when it breaks. It does not know how a stream is opened (ssh, an engine's exec): the executor does. It understands
// nothing of what it carries.
//
// One thread serves all tunnels of a cluster. It connects to the controller when the first bytes come from the node, so
// that the controller never waits for a silent connection. A node that its bridge calls gone is not tried again.
//
// Where the configuration says "direct", the agent dials the controller itself: the tunnel is done when the bridge is
// ready, counts as ready from then on, and is opened again only when it is asked for.
#ifndef EXEC_TUNNEL_H
#define EXEC_TUNNEL_H

#include "base/error.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

// How far a stream came.
enum tunnel_reach {
	TUNNEL_SILENT, // no bridge was heard: nothing was started
	TUNNEL_TOLD,   // the bridge was given its configuration
	TUNNEL_READY,  // the bridge had found or started the agent
	TUNNEL_CUT,    // that, but when the controller hung up the other end did not: it is out of reach
	TUNNEL_GONE,   // the bridge said that there is no agent, and will be none
};

// What the executor does. All are called on the thread of the tunnels, one at a time and without a lock: the functions
// below do not wait for them, but the other tunnels carry nothing meanwhile, so they should be quick.
struct tunnel_ops {
	// Opens a stream to the bridge of this node: a stream socket, owned by the tunnels. -1 and err: tried again if
	// retry says so.
	int (*open)(size_t node, void *data, struct error *err);
	// A line that does not come from the bridge. Bytes to send in answer, which must last as long as the stream,
	// and *len; NULL: none. May be NULL.
	const void *(*answer)(size_t node, const char *line, size_t *len, void *data);
	// The bridge has found or started the agent. May be NULL.
	void (*ready)(size_t node, void *data);
	// The stream has ended and its descriptor is closed, or could not be opened; err is the last thing that was
	// said and may be bettered. True: open it again. May be NULL: then it is opened again if it was ready.
	bool (*closed)(size_t node, enum tunnel_reach reach, struct error *err, void *data);
};

struct tunnel_options {
	const char *url; // the controller's: "wss://127.0.0.1:PORT"
	size_t count;    // of nodes
	size_t at_once;  // how many may be on their way to their bridge at a time; slow ones stop counting after 5 s
	double breath;   // seconds, about, until one that was ready is opened again; 0: 0.05
	double within;   // seconds for a stream to reach its bridge, which is then given up; 0: as long as it takes
	const struct tunnel_ops *ops;
	void *data;
};

struct tunnels;

// Starts the thread; nothing is open yet. The options are copied but for ops and data.
struct tunnels *tunnel_start(const struct tunnel_options *options, struct error *err);

// Opens the tunnel of a node, unless it is open or being opened. Takes config, what the bridge is given in its first
// line. One that has lost its stream and tries to get it back begins anew: if the agent has ended meanwhile, another is
// started.
void tunnel_open(struct tunnels *t, size_t node, json_t *config);

// Nobody wants this one any more: it is not opened again once its stream has ended, and nobody waits for it. Waits so
// many seconds for that end; true when it came.
bool tunnel_close(struct tunnels *t, size_t node, double seconds);

// Waits until every tunnel that is wanted has found its agent. -1 and err (which names no node; *node is it) when one
// is closed for good, when the seconds are over, or when *cancelled (may be NULL) becomes non-zero. *node is the count
// where it is no node's fault.
int tunnel_wait(struct tunnels *t, double seconds, const atomic_bool *cancelled, size_t *node, struct error *err);

// Waits up to so many seconds for the agents to end their lines, closes what is still open, ends the thread and frees.
// Takes NULL.
void tunnel_stop(struct tunnels *t, double seconds);

#endif
