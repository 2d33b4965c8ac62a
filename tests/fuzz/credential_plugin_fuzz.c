// What a credential plugin writes.
#include "kube/credential_plugin.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct credential c;
	struct error err = {0};
	if (credential_plugin_read((const char *)data, size, CREDENTIAL_PLUGIN_API "v1", &c, &err) < 0) {
		assert(*err.text && !c.token && !c.cert && !c.key);
		return 0;
	}
	assert(c.token || c.cert);
	assert(!c.cert == !c.key);
	assert(!c.token || (*c.token && !strpbrk(c.token, " \t\r\n")));
	credential_plugin_forget(&c);
	return 0;
}
