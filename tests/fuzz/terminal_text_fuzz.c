#include "tui/terminal_text.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Whatever a rank prints: what is left of it is valid text without control characters and no wider than asked for.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t columns = size ? data[0] % 90 : 0;
	autostr struct str out = {0};
	size_t used = terminal_text_add(&out, (const char *)data, size, columns);
	assert(used <= columns);
	assert(str_utf8_valid(out.text, out.len) == out.len);
	for (size_t i = 0; i < out.len; i++)
		assert((unsigned char)out.text[i] >= 0x20 && out.text[i] != 0x7f);
	assert(terminal_text_width(out.text, out.len) == used);
	return 0;
}
