// What sudo says before a setup step begins, and the first words of the step: in whatever pieces, the answer is the
// same.
#include "base/mem.h"
#include "helper/setup_step.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Pieces of so many bytes. Returns how many were taken as the head.
static size_t take(struct setup_step_head *head, const uint8_t *data, size_t size, size_t piece)
{
	size_t taken = 0;
	for (size_t at = 0; at < size; at += piece) {
		size_t len = size - at < piece ? size - at : piece;
		size_t took = setup_step_head_take(head, data + at, len);
		assert(took <= len);
		taken += took;
	}
	return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 32768)
		return 0;
	struct setup_step_head whole = {0}, pieces = {0};
	size_t taken = take(&whole, data + 1, size - 1, size);
	assert(take(&pieces, data + 1, size - 1, 1 + data[0] % 64u) == taken);
	assert(whole.begun == pieces.begun && !whole.skipped == !pieces.skipped);
	assert(!whole.skipped || strcmp(whole.skipped, pieces.skipped) == 0);
	setup_step_head_fini(&whole);
	setup_step_head_fini(&pieces);
	return 0;
}
