#include "base/mem.h"
#include "job/hosts.h"
#include "job/inventory.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What comes out can be given to ssh.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {0};
	autofree char *text = mem_strndup((const char *)data, size);
	autojson json_t *list = inventory_parse(text, size, size && *data == 'a' ? "hosts.yaml" : "hosts", NULL, &err);
	size_t i;
	json_t *host;
	json_array_foreach (list, i, host)
		assert(!hosts_check_name(json_string_value(json_object_get(host, "host")), NULL));
	assert(list || *err.text);
	return 0;
}
