// What workers and servers say to each other: one frame is one message of the transport. Makes them, and checks every
// one that came from outside before anybody believes it. Not the conversation: who says what when is in worker.h and
// server.h.
#ifndef MNIST_FRAME_H
#define MNIST_FRAME_H
#include "mnist/job.h"
#include "mnist/packet.h"

#include <stddef.h>
#include <stdint.h>

enum frame_kind {
	FRAME_HELLO = 1, // worker: here I am (again); this is the job, this the last gradient I sent you
	FRAME_WELCOME,   // server: this is the run, this your last gradient that I have dealt with
	FRAME_PULL,      // worker: give me parameters, of that step if you still have them
	FRAME_PUSH,      // worker: a gradient; give me parameters for it
	FRAME_PARAMS,    // server: parameters
	FRAME_BYE,       // worker: I am going
	FRAME_FAREWELL,  // server: then go
	FRAME_REFUSED,   // server: no, and why
	FRAME_KINDS
};

enum frame_flags {
	FRAME_DONE = 1,  // PARAMS: the training has made its steps. BYE: and that is why
	FRAME_LATE = 2,  // PARAMS: your gradient came when its step was made already, and was dropped
	FRAME_GREET = 4, // REFUSED: only until you have said hello to me
};

// All numbers little endian. Every frame starts with this.
struct frame_head {
	char magic[4]; // "MNPS"
	uint16_t version, kind;
	uint32_t worker, shard;
	uint64_t run;         // a random number that server 0 gave the training; 0 in the first HELLO
	uint64_t incarnation; // of the worker: greater with each start of its process
	uint64_t
		sequence; // of the worker's gradients, from 1 in each incarnation. In answers: the one that is answered
	uint64_t step;    // PUSH: that the gradient is for. PARAMS: that they are of. WELCOME: that the server has come
		       // to. PULL: wanted, or FRAME_LATEST. HELLO: the last one heard of
	uint32_t flags, zero;
	uint64_t ask; // HELLO: any number; WELCOME gives it back
};

// HELLO goes on with struct job, REFUSED with text. PARAMS goes on with the shard's rows. PUSH goes on with one bit for
// each of the shard's rows, lowest first, rounded up to 64 bytes, then the rows whose bit is set; the others are zero.
#define FRAME_VERSION 1
#define FRAME_LATEST UINT64_MAX
#define FRAME_MAX_TEXT 400

// A frame that was checked. Pointers go into the packet.
struct frame {
	struct frame_head head;
	struct job job;                // HELLO
	const uint8_t *bits;           // PUSH
	const float *floats;           // PUSH, PARAMS
	size_t rows;                   // PUSH, PARAMS: how many there are
	char text[FRAME_MAX_TEXT + 1]; // REFUSED: printable
};

// What a frame is checked against: the shard's rows and their width; 0 rows: none of PUSH and PARAMS is expected.
struct frame_expect {
	uint32_t workers, shards;
	size_t rows, width;
};

// Reads DATA, which is aligned for floats, into F. Returns NULL, or what is wrong. The numbers in rows are not looked
// at.
const char *frame_parse(struct frame *f, const void *data, size_t size, const struct frame_expect *e);

// Whether row ROW (of the shard's, from 0) is there.
int frame_has_row(const struct frame *f, size_t row);

// The largest frame there can be.
size_t frame_limit(void);

// A frame with head HEAD (magic and version are filled in) and nothing else, with the job, or with text. Caller holds
// it.
struct packet *frame_new(const struct frame_head *head);
struct packet *frame_new_hello(const struct frame_head *head, const struct job *job);
struct packet *frame_new_refused(const struct frame_head *head, const char *text);

// PARAMS with room for FLOATS floats at *OUT.
struct packet *frame_new_params(const struct frame_head *head, size_t floats, float **out);

// PUSH of a shard with ROWS rows, of which HAS(ARG, i) are there: the caller fills them in at *OUT, WIDTH floats each.
struct packet *frame_new_push(const struct frame_head *head, size_t rows, size_t width,
	int (*has)(const void *arg, size_t row), const void *arg, float **out);

#endif
