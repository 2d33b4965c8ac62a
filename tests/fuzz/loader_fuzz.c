// The first byte is the size of the pieces. What is not a whole gzip stream is refused, and nothing has the sum of
// nothing.
#include "loader/unpack.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	size_t piece = data[0] ? data[0] : 1;
	struct unpack_error err = {.text = ""};
	unpack_begin(-1);
	int rc = 0;
	for (size_t at = 1; rc == 0 && at < size; at += piece)
		rc = unpack_add(data + at, size - at < piece ? size - at : piece, &err);
	rc = rc ? rc : unpack_end("no sum", &err);
	assert(rc == -1 && err.text[0] && memchr(err.text, 0, sizeof err.text));
	return 0;
}
