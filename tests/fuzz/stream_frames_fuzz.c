// The first byte is the size of the pieces; what comes out is never more than went in.
#include "docker/stream_frames.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t piece = data[0] ? data[0] : 1, out = 0;
	struct stream_frames f = {0};
	for (size_t at = 1; at < size; at += piece) {
		size_t len = size - at < piece ? size - at : piece, done = 0;
		for (;;) {
			const unsigned char *payload;
			size_t used;
			int kind;
			long n = stream_frames_next(&f, data + at + done, len - done, &kind, &payload, &used);
			if (n < 0)
				return 0;
			assert(used <= len - done && (size_t)n <= used);
			assert(n == 0 || (payload >= data + at && payload + n <= data + at + len &&
						 kind <= STREAM_FRAMES_ERRORS));
			done += used;
			out += (size_t)n;
			if (n == 0)
				break;
		}
		assert(done == len);
	}
	assert(out < size);
	return 0;
}
