// Bytes of two ranks: each chunk is led by a byte whose lowest bit names the rank and whose rest is the chunk's length.
#include "base/mem.h"
#include "node/pmi.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pmi *server;

static void on_reply(size_t local, const char *lines, size_t len, void *data)
{
	assert(len > 0 && len <= 1024 && lines[len - 1] == '\n' && !memchr(lines, '\n', len - 1));
}

static void on_fence(const json_t *puts, void *data)
{
	autojson json_t *all = mem_json("[O, {s:s}]", puts, "other", "1");
	pmi_fence_done(server, all);
}

static void on_abort(size_t local, int code, void *data)
{
	assert(code >= -255 && code <= 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	server = pmi_new(&(struct pmi_options){.name = "r",
		.size = 2,
		.nlocal = 2,
		.hosts = (size_t[]){0, 0},
		.reply = on_reply,
		.fence = on_fence,
		.abort = on_abort});
	while (size > 0) {
		size_t local = data[0] & 1, len = data[0] >> 1;
		data++;
		size--;
		if (len > size)
			len = size;
		pmi_input(server, local, (const char *)data, len);
		data += len;
		size -= len;
	}
	pmi_free(server);
	return 0;
}
