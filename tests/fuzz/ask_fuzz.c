// What a node asks of the inputs: JSON messages, one a line, each followed by a look at what would be sent.
#include "base/fs.h"
#include "base/mem.h"
#include "controller/input_server.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char root[] = "/tmp/ask-fuzz-XXXXXX";
static struct loop *loop;
static struct input_server *supply;
static json_t *plan;
static size_t answers;

static void on_send(size_t node, json_t *msg, void *data)
{
	assert(json_integer_value(json_object_get(msg, "input")) <= 2);
	json_decref(msg);
	answers++;
	loop_stop(loop);
}

static void on_wake(size_t node, void *data)
{
}

static void on_bad(size_t node, const char *why, void *data)
{
	assert(*why);
}

static void on_fetched(json_t *event, void *data)
{
	json_decref(event);
}

static const struct input_server_ops ops = {on_send, on_wake, on_bad, on_fetched};

static void clean_up(void)
{
	input_server_stop(supply);
	loop_free(loop);
	input_server_free(supply);
	json_decref(plan);
	fs_remove(root, NULL);
}

// Both inputs have been looked at before anything is asked: nothing waits for a thread then.
static void set_up(void)
{
	if (!mkdtemp(root))
		abort();
	autofree char *file = fs_join(root, "file");
	assert(fs_write(file, "0123456789", 10, 0600, NULL) == 0);
	plan = mem_json("{s:[{}], s:[{s:s,s:s,s:s},{s:s,s:s,s:s},{s:s,s:s,s:s}]}", "nodes", "inputs", "kind", "http",
		"from", "http://x/y", "name", "y", "kind", "path", "from", file, "name", "file", "kind", "path", "from",
		root, "name", "root");
	loop = loop_new(0, NULL);
	supply = input_server_new(loop, plan, root, NULL, &ops, NULL, NULL);
	atexit(clean_up);
	for (int i = 1; i <= 2; i++) {
		autojson json_t *msg = mem_json("{s:i, s:i, s:i}", "input", i, "from", 0, "until", 0);
		input_server_ask(supply, 0, msg);
		while (answers < (size_t)i)
			loop_run(loop);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!supply)
		set_up();
	for (const uint8_t *end = data + size; data < end;) {
		const uint8_t *line = memchr(data, '\n', (size_t)(end - data));
		line = line ? line : end;
		autojson json_t *msg = json_loadb((const char *)data, (size_t)(line - data), 0, NULL);
		if (json_is_object(msg))
			input_server_ask(supply, 0, msg);
		char buf[100];
		uint32_t stream;
		uint64_t offset;
		size_t n = input_server_fill(supply, 0, &stream, &offset, buf, sizeof buf);
		assert(n <= sizeof buf &&
			(n == 0 || stream == INPUT_SERVER_STREAMS + 1 || stream == INPUT_SERVER_STREAMS + 2));
		assert(n == 0 || stream != INPUT_SERVER_STREAMS + 1 ||
			(offset + n <= 10 && memcmp(buf, "0123456789" + offset, n) == 0));
		data = line + 1;
	}
	return 0;
}
