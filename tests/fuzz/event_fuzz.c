#include "base/mem.h"
#include "wire/event.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What parses must print and parse again, on one line.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err;
	autojson json_t *event = event_parse((const char *)data, size, &err);
	if (!event)
		return 0;
	autofree char *line = event_print(event);
	assert(strchr(line, '\n') == line + strlen(line) - 1);
	autojson json_t *again = event_parse(line, strlen(line), &err);
	// DBL_MAX itself rounds up to more when it is printed with 16 digits.
	if (!again) {
		assert(strstr(err.text, "overflow"));
		return 0;
	}
	assert(event_is_metric(event) == event_is_metric(again));
	return 0;
}
