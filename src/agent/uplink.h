// The node's line to its controller: dials, says hello, dials again when the line breaks, and goes on from the last
// acknowledged byte. It does not know what the streams hold, but for stream 0: the events.
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	UPLINK_EVENTS = 0,             // stream 0: events, one line each
	UPLINK_RANKS = 1,              // stream 1 + L: output of the L-th rank of this node
	UPLINK_FILES = 1 << 20,        // stream 2^20 + I: the I-th file that is brought back
	UPLINK_INPUTS = 1 << 20,       // downwards 2^20 + I: the I-th input of the plan
	UPLINK_EXEC = 1u << 31,        // stream 2^31 + X: what a command run by `muster exec` says; not spooled
	UPLINK_EXEC_ERRORS = 1u << 30, // 2^31 + 2^30 + X: its standard error
};

struct uplink;

struct uplink_ops {
	json_t *(*hello)(void *data);                // the hello to say, new at each dial; owned by uplink
	void (*on_message)(json_t *msg, void *data); // borrowed; not acks
	void (*on_bytes)(uint32_t stream, uint64_t offset, const void *bytes, size_t len, void *data);
	void (*on_room)(void *data); // a stream that was full may have room again
	void (*on_unreadable)(uint32_t stream, const char *name, const char *why,
		void *data); // a file cannot be read any further; said once
	void (*on_lease_over)(const char *why,
		void *data); // the controller was out of reach for the length of the lease, or refuses this node
};

struct uplink_options {
	const char *url, *fingerprint;
	const char *dir;    // for the spools
	double lease;       // seconds, from the controller's last sign of life
	unsigned heartbeat; // seconds
	const struct uplink_ops *ops;
	void *data;
};

struct uplink *uplink_new(
	struct loop *loop, const struct uplink_options *options, struct error *err); // copies what it needs
void uplink_stop(struct uplink *up); // no more dialling; call before loop_free
void uplink_free(struct uplink *up); // call after loop_free: until then the connection may still speak

int uplink_open(struct uplink *up, uint32_t stream,
	struct error *err); // a stream that will be appended to; it may be open already

// A stream that is a file: at path below the directory dirfd, which must stay open; called name where it cannot be
// read. Their numbers rise. It is forgotten when the controller has it and all files before it.
struct uplink_file {
	int dirfd;
	const char *path, *name;
	uint64_t size;
};
void uplink_file(struct uplink *up, uint32_t stream, const struct uplink_file *file);
size_t uplink_files(const struct uplink *up); // that are not forgotten yet

// Appends to a stream. false: it is full (no disk, or too far ahead of the controller): produce no more until on_room.
bool uplink_add(struct uplink *up, uint32_t stream, const void *bytes, size_t len);
void uplink_event(struct uplink *up, json_t *event); // takes the event
bool uplink_full(const struct uplink *up, uint32_t stream);
uint64_t uplink_end(const struct uplink *up, uint32_t stream); // bytes appended so far

void uplink_send(struct uplink *up, json_t *msg); // takes msg; a message is lost when the line is down
bool uplink_send_bytes(struct uplink *up, uint32_t stream, const void *bytes,
	size_t len);                             // unspooled; false when the line is slow or down
bool uplink_is_drained(const struct uplink *up); // everything is acknowledged, but for files that cannot be read

#endif
