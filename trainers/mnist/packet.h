// A block of bytes that several hold at the same time, such as a frame that is being sent and may have to be sent
// again. Not a frame: it has no idea what is in it.
#ifndef MNIST_PACKET_H
#define MNIST_PACKET_H
#include <stdatomic.h>
#include <stddef.h>

struct packet {
	unsigned char *data; // aligned for any number
	size_t size;
	atomic_int holders;                // threads may let go of it at the same time
	void (*release)(struct packet *p); // frees it, with what DATA points to
};

// SIZE bytes, not zeroed; the caller is the one holder.
struct packet *packet_new(size_t size);

// One holder more; returns P. One less: the last one releases it. NULL is allowed.
struct packet *packet_hold(struct packet *p);
void packet_drop(struct packet *p);

#endif
