// A kubeconfig, or two with a line of "%%" between them.
#include "kube/kubeconfig.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *mark = memmem(text, size, "\n%%\n", 4);
	struct kubeconfig_text texts[] = {
		{"/nonexistent/one", text, mark ? (size_t)(mark + 1 - text) : size},
		{"/nonexistent/two", mark ? mark + 4 : "", mark ? size - (size_t)(mark + 4 - text) : 0},
	};
	struct kubeconfig c;
	struct error err = {0};
	int rc = kubeconfig_parse(texts, mark ? 2 : 1, NULL, NULL, &c, &err);
	assert(rc == 0 || (*err.text && err.code == ERROR_USAGE));
	if (rc == 0) {
		assert(*c.server && *c.namespace && *c.context && c.source && c.impersonation);
		assert(!(c.insecure && (c.bundle || c.bundle_text)));
		assert(!c.token || !strpbrk(c.token, "\r\n"));
		assert(!(c.cert || c.cert_text) == !(c.key || c.key_text));
		// Header lines, none of which another can be hidden in.
		for (const char *at = c.impersonation; *at; at = strchr(at, '\n') + 1)
			assert(strncmp(at, "Impersonate-", 12) == 0 && strchr(at, '\n')[-1] == '\r');
		assert(!c.plugin || (*c.plugin->command && *c.plugin->version));
	}
	kubeconfig_fini(&c);
	return 0;
}
