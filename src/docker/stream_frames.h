// Frames: how the engine sends a program's output and errors over one connection: 8 bytes (1 output or 2 errors, three
// zeros, the length, most significant byte first) and then that many bytes. It reads and writes nothing: bytes come in
// pieces of any size.
#ifndef DOCKER_STREAM_FRAMES_H
#define DOCKER_STREAM_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_FRAMES_OUTPUT = 1, STREAM_FRAMES_ERRORS = 2 };

struct stream_frames { // all zero at the beginning
	unsigned char head[8];
	size_t got;    // of the head
	uint32_t left; // of the frame
};

// Takes a piece: the next payload in it, of *kind, at *payload; returns its length and sets *used to how many bytes of
// the piece are done with. 0: there is no more in this piece (all of it is used). -1: these are no frames.
long stream_frames_next(struct stream_frames *f, const unsigned char *bytes, size_t len, int *kind,
	const unsigned char **payload, size_t *used);

#endif
