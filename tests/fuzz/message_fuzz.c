// What a node sends: frames of a byte that says which stream (events, a rank, a file, or 12 bytes of header as on the
// wire), two bytes of length, then that many bytes.
#include "base/fs.h"
#include "base/mem.h"
#include "controller/node_streams.h"

#include <assert.h>
#include <dirent.h>
#include <fts.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NODE = 1, FIRST = 2, COUNT = 2, FILES = 1 << 20, HEADER = 12 };

static char top[] = "/tmp/message-fuzz-XXXXXX";
static struct run *run;

static void on_event(json_t *event, const char *line, size_t len, void *data)
{
	const json_t *rank = json_object_get(event, "rank");
	assert(json_integer_value(json_object_get(event, "node")) == NODE);
	assert(!rank || (json_integer_value(rank) >= FIRST && json_integer_value(rank) < FIRST + COUNT));
	assert(!memchr(line, '\n', len));
}

static void on_text(const char *why, void *data)
{
	assert(*why);
}

static void on_lost(const char *path, const char *why, void *data)
{
	assert(*why);
}

static const struct node_streams_ops ops = {on_event, on_text, on_text, on_lost};

static void clean_up(void)
{
	run_free(run);
	fs_remove(top, NULL);
}

static void set_up(void)
{
	autojson json_t *plan = json_object();
	if (!mkdtemp(top))
		abort();
	run = run_create(top, "fuzz", NULL, 0, plan, NULL);
	assert(run);
	atexit(clean_up);
}

// No link in it leads out: where it leads is there, or not, but always below it.
static void check_links(const char *dir)
{
	char *const paths[] = {(char *)dir, NULL};
	autofree char *root = realpath(dir, NULL);
	FTS *fts = root ? fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL) : NULL;
	if (!fts)
		return;
	for (FTSENT *e; (e = fts_read(fts));) {
		autofree char *real =
			e->fts_info == FTS_SL || e->fts_info == FTS_SLNONE ? realpath(e->fts_path, NULL) : NULL;
		assert(!real || strncmp(real, root, strlen(root)) == 0);
	}
	fts_close(fts);
}

// Nothing but outputs/node-1 may have appeared.
static void check_outputs(void)
{
	autofree char *path = run_path(run, "outputs");
	DIR *dir = opendir(path);
	assert(dir);
	for (struct dirent *e; (e = readdir(dir));)
		assert(e->d_name[0] == '.' || strcmp(e->d_name, "node-1") == 0);
	closedir(dir);
	autofree char *mine = fs_join(path, "node-1");
	check_links(mine);
	assert(fs_remove(mine, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!run)
		set_up();
	struct node_streams *inbox = node_streams_new(run, NODE, FIRST, COUNT, &ops, NULL);
	uint64_t have[256] = {0};
	while (size >= 3) {
		uint8_t kind = data[0];
		size_t len = (size_t)(data[1] << 8 | data[2]), fresh = 0;
		data += 3;
		size -= 3;
		if (len > size)
			len = size;
		uint32_t stream = kind <= COUNT ? kind : FILES + kind - COUNT - 1;
		uint64_t offset = have[kind];
		const uint8_t *bytes = data;
		size_t n = len;
		if (kind == 255 && len >= HEADER) {
			memcpy(&stream, data, sizeof stream);
			memcpy(&offset, data + sizeof stream, sizeof offset);
			bytes += HEADER;
			n -= HEADER;
		}
		struct error err = {0};
		if (node_streams_take(inbox, stream, offset, bytes, n, &fresh, &err) < 0)
			assert(err.text[0]);
		assert(fresh <= n);
		have[kind] += fresh;
		data += len;
		size -= len;
	}
	autojson json_t *acks = node_streams_acks(inbox, true);
	node_streams_is_complete(inbox);
	node_streams_free(inbox);
	check_outputs();
	return 0;
}
