#include "controller/node_streams.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path_text.h"
#include "base/str.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4 << 20, FILES_OPEN_MAX = 1 << 14 };
static const uint32_t stream_events = 0, stream_ranks = 1, stream_files = 1 << 20, stream_execs = 1u << 31;

// A stream of a node: how much of it is here, how much there will be.
struct stream {
	uint32_t id;
	uint64_t have, acked;
	uint64_t total; // of a file, or when the node has left; UINT64_MAX before that
	char *path;     // of a file, and as the node wrote it
	char *text;
	unsigned mode;
	bool broken; // it could not be written: what comes is counted and thrown away
};

struct node_streams {
	struct run *run;
	size_t node, first, count;
	const struct node_streams_ops *ops;
	void *data;
	struct stream *streams; // in the order of their ids; a file's is forgotten when it and all before it are here
	size_t nstreams;
	uint32_t next_file,
		acked_file; // the streams of all announced files are below it, and those of files that are here
	size_t missing;     // streams whose end is known and not here
	bool left;
	struct str line; // an event that is still coming in
	int fd;          // of the file that is being written, or -1: one at a time, a node may have a hundred thousand
	uint32_t fd_stream;
};

struct node_streams *node_streams_new(
	struct run *run, size_t node, size_t first, size_t count, const struct node_streams_ops *ops, void *data)
{
	struct node_streams *in = mem_alloc(sizeof *in);
	*in = (struct node_streams){.run = run,
		.node = node,
		.first = first,
		.count = count,
		.ops = ops,
		.data = data,
		.next_file = stream_files,
		.acked_file = stream_files,
		.fd = -1};
	return in;
}

static void free_stream(struct stream *s)
{
	free(s->path);
	free(s->text);
}

void node_streams_free(struct node_streams *ns)
{
	if (!ns)
		return;
	for (size_t i = 0; i < ns->nstreams; i++)
		free_stream(&ns->streams[i]);
	free(ns->streams);
	str_fini(&ns->line);
	mem_cleanup_fd(&ns->fd);
	free(ns);
}

// --- streams ------------------------------------------------------------------

// Where the stream is, or where it belongs.
static size_t place_of(const struct node_streams *in, uint32_t id)
{
	size_t low = 0, high = in->nstreams;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (in->streams[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct stream *find_stream(const struct node_streams *in, uint32_t id)
{
	size_t at = place_of(in, id);
	return at < in->nstreams && in->streams[at].id == id ? &in->streams[at] : NULL;
}

static struct stream *add_stream(struct node_streams *in, uint32_t id)
{
	size_t at = place_of(in, id);
	if ((in->nstreams & (in->nstreams - 1)) == 0)
		in->streams = mem_resize(in->streams, (in->nstreams ? in->nstreams * 2 : 1) * sizeof *in->streams);
	memmove(in->streams + at + 1, in->streams + at, (in->nstreams++ - at) * sizeof *in->streams);
	in->streams[at] = (struct stream){.id = id, .total = UINT64_MAX};
	return &in->streams[at];
}

static bool is_rank(const struct node_streams *in, uint32_t id)
{
	return id >= stream_ranks && id - stream_ranks < in->count;
}

static bool is_short(const struct stream *s)
{
	return s->total != UINT64_MAX && s->have < s->total;
}

static void set_total(struct node_streams *in, struct stream *s, uint64_t total)
{
	in->missing -= is_short(s);
	s->total = total;
	in->missing += is_short(s);
}

static void advance(struct node_streams *in, struct stream *s, size_t len)
{
	in->missing -= is_short(s);
	s->have += len;
	in->missing += is_short(s);
}

// The streams of all files below this one are here to the end.
static uint32_t files_here(const struct node_streams *in)
{
	size_t first = place_of(in, stream_files);
	return first < in->nstreams ? in->streams[first].id : in->next_file;
}

// Files that are here, with all before them: the node is told once and for all, and their streams need no memory.
static void forget_files(struct node_streams *in)
{
	size_t first = place_of(in, stream_files), end = first;
	while (end < in->nstreams && !is_short(&in->streams[end]))
		free_stream(&in->streams[end++]);
	if (end > first)
		memmove(in->streams + first, in->streams + end, (in->nstreams - end) * sizeof *in->streams);
	in->nstreams -= end - first;
}

json_t *node_streams_acks(struct node_streams *ns, bool all)
{
	json_t *streams = json_object();
	forget_files(ns);
	for (size_t i = 0; i < ns->nstreams; i++) {
		struct stream *s = &ns->streams[i];
		if (s->have == s->acked && !all)
			continue;
		s->acked = s->have;
		char name[16];
		snprintf(name, sizeof name, "%u", s->id);
		json_object_set_new(streams, name, json_integer((json_int_t)s->have));
	}
	uint32_t files = files_here(ns);
	json_t *acks = mem_json("{s:o}", "streams", streams);
	if (all || files != ns->acked_file)
		json_object_set_new(acks, "files", json_integer((json_int_t)files));
	ns->acked_file = files;
	return acks;
}

bool node_streams_is_complete(const struct node_streams *ns)
{
	return ns->left && ns->missing == 0;
}

// --- files that come back -------------------------------------------------------

static void close_file(struct node_streams *in)
{
	mem_cleanup_fd(&in->fd);
	in->fd = -1;
}

// The directory of the node's outputs, with the directories that path needs in it.
static int open_outputs(const struct node_streams *in, const char *path, struct error *err)
{
	autofree char *outputs = run_path(in->run, "outputs");
	autofree char *dir = mem_printf("%s/node-%zu", outputs, in->node);
	if (mkdir(dir, 0755) < 0 && errno != EEXIST && fs_mkdirs(dir, 0755, err) < 0)
		return -1;
	autoclose int at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return error_errno(err, "cannot open '%s'", dir);
	return fs_mkdirs_beneath(at, path, err) < 0 ? -1 : steal_fd(&at);
}

// Begun anew, or gone on with where it was left for another one. What is there already is not overwritten: two files
// have the same name.
static int open_file(struct node_streams *in, struct stream *s, struct error *err)
{
	close_file(in);
	autoclose int at = open_outputs(in, s->path, err);
	if (at < 0)
		return -1;
	int how = s->have ? O_APPEND : O_CREAT | O_EXCL;
	in->fd = fs_open_beneath(at, s->path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | how, (s->mode & 0777) | 0200, err);
	in->fd_stream = s->id;
	return in->fd < 0 ? -1 : 0;
}

static int write_file(struct node_streams *in, struct stream *s, const void *bytes, size_t len, struct error *err)
{
	if ((in->fd < 0 || in->fd_stream != s->id) && open_file(in, s, err) < 0)
		return -1;
	if (fs_write_fd(in->fd, bytes, len, err) < 0)
		return -1;
	bool whole = s->have + len == s->total;
	if (whole && close(steal_fd(&in->fd)) < 0) // some file systems tell only now
		return error_errno(err, "cannot write");
	return 0;
}

// The rest of what comes is thrown away, so that the node can leave; it keeps the file.
static void break_stream(struct node_streams *in, struct stream *s, const struct error *err)
{
	s->broken = true;
	if (in->fd_stream == s->id)
		close_file(in);
	if (s->path)
		in->ops->on_lost(s->text, err->text, in->data);
	else
		in->ops->on_trouble(err->text, in->data);
}

static bool natural(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

// The path that an event names. NULL when it is none inside of the node's outputs. Owned by the caller.
static char *path_of(const json_t *event)
{
	const char *text = json_text(event, "path");
	autofree char *path = text ? path_text_decode(text) : NULL;
	return path && fs_is_inside(path) ? steal(path) : NULL;
}

static const char *announce_link(struct node_streams *in, const json_t *event)
{
	const char *text = json_text(event, "link");
	autofree char *path = path_of(event), *target = text ? path_text_decode(text) : NULL;
	const char *last;
	if (!path || !target || !fs_link_is_inside(path, target))
		return "an output that is a link without a path inside its node, or leads out";
	struct error err = {0};
	autoclose int at = open_outputs(in, path, &err);
	autoclose int parent = at < 0 ? -1 : fs_open_parent(at, path, &last, &err);
	if (parent >= 0 && symlinkat(target, parent, last) < 0)
		error_errno(&err, "cannot make a symbolic link");
	if (err.code)
		in->ops->on_lost(json_text(event, "path"), err.text, in->data);
	return NULL;
}

// What the node cannot read, or (with its stream) not any further.
static const char *give_up(struct node_streams *in, const json_t *event)
{
	const json_t *number = json_object_get(event, "stream");
	if (!number)
		return json_text(event, "path") ? NULL : "a lost output without a path";
	struct stream *s = natural(number) && json_integer_value(number) < stream_execs
				   ? find_stream(in, (uint32_t)json_integer_value(number))
				   : NULL;
	if (!s || !s->path)
		return "an output that was not announced";
	set_total(in, s, s->have);
	return NULL;
}

static const char *announce_file(struct node_streams *in, const json_t *event)
{
	const json_t *number = json_object_get(event, "stream"), *bytes = json_object_get(event, "bytes");
	if (!natural(number) || json_integer_value(number) < stream_files || json_integer_value(number) >= stream_execs)
		return "an output on a stream that is not one of files";
	if (json_integer_value(number) < in->next_file)
		return "an output that was announced before";
	autofree char *path = path_of(event);
	if (!path || !natural(bytes))
		return "an output without a path inside its node and a size";
	forget_files(in);
	if (in->nstreams > FILES_OPEN_MAX)
		return "more outputs at once than a node announces";
	struct stream *s = add_stream(in, (uint32_t)json_integer_value(number));
	in->next_file = s->id + 1;
	s->path = steal(path);
	s->text = mem_strdup(json_text(event, "path"));
	s->mode = (unsigned)json_integer_value(json_object_get(event, "mode"));
	set_total(in, s, (uint64_t)json_integer_value(bytes));
	struct error err = {0};
	if (s->total == 0) { // it is all there already
		if (open_file(in, s, &err) < 0)
			break_stream(in, s, &err);
		close_file(in);
	}
	return NULL;
}

static const char *take_output(struct node_streams *in, const json_t *event)
{
	if (json_is_false(json_object_get(event, "ok")))
		return give_up(in, event);
	return json_has(event, "link") ? announce_link(in, event) : announce_file(in, event);
}

// --- events ---------------------------------------------------------------------

// The stream of a rank by its number in digits, or 0.
static uint32_t rank_stream(const struct node_streams *in, const char *name)
{
	char *end;
	unsigned long id = strtoul(name, &end, 10);
	return *end == '\0' && id <= UINT32_MAX && is_rank(in, (uint32_t)id) ? (uint32_t)id : 0;
}

// The last event: how long the streams of its ranks are.
static const char *set_totals(struct node_streams *in, const json_t *event)
{
	const char *name;
	json_t *value;
	if (in->left)
		return "a second farewell";
	json_object_foreach (json_object_get(event, "streams"), name, value)
		if (!rank_stream(in, name) || !natural(value))
			return "a farewell for a stream that is none of its ranks'";
	json_object_foreach (json_object_get(event, "streams"), name, value) {
		uint32_t id = rank_stream(in, name);
		struct stream *s = find_stream(in, id);
		set_total(in, s ? s : add_stream(in, id), (uint64_t)json_integer_value(value));
	}
	in->left = true;
	return NULL;
}

static bool own_rank(const struct node_streams *in, const json_t *event)
{
	const json_t *rank = json_object_get(event, "rank");
	return !rank || (natural(rank) && (size_t)json_integer_value(rank) >= in->first &&
				(size_t)json_integer_value(rank) - in->first < in->count);
}

static bool own_ranks(const struct node_streams *in, const json_t *event)
{
	size_t i;
	json_t *item;
	json_array_foreach (json_object_get(event, "ranks"), i, item)
		if (!own_rank(in, item))
			return false;
	return own_rank(in, event);
}

// Why the node may not say this, or NULL. What it says of streams is noted.
static const char *judge(struct node_streams *in, const json_t *event)
{
	const json_t *node = json_object_get(event, "node");
	if (!natural(node) || (size_t)json_integer_value(node) != in->node)
		return "an event of another node";
	if (!event_is_from_node(event))
		return "an event of a type that only the controller has";
	if (!own_ranks(in, event))
		return "an event of another node's rank";
	if (event_is(event, "output"))
		return take_output(in, event);
	return event_is(event, "left") ? set_totals(in, event) : NULL;
}

static void on_line(struct node_streams *in, const char *line, size_t len)
{
	struct error err = {0};
	autojson json_t *event = event_parse(line, len, &err);
	const char *bad = event ? judge(in, event) : err.text;
	if (!bad) {
		in->ops->on_event(event, line, len, in->data);
		return;
	}
	autofree char *why = mem_printf("node %zu sent what is no event of its own: %s", in->node, bad);
	in->ops->on_bad(why, in->data);
}

static int split_events(struct node_streams *in, const char *bytes, size_t len, struct error *err)
{
	const char *end;
	while (len && (end = memchr(bytes, '\n', len))) {
		size_t n = (size_t)(end - bytes);
		if (in->line.len) {
			str_add(&in->line, bytes, n);
			on_line(in, in->line.text, in->line.len);
			in->line.len = 0;
		} else
			on_line(in, bytes, n);
		bytes = end + 1;
		len -= n + 1;
	}
	str_add(&in->line, bytes, len);
	if (in->line.len <= LINE_MAX_BYTES)
		return 0;
	in->line.len = 0;
	return error_set(err, ERROR_SYSTEM, "an event is too long");
}

// --- bytes ----------------------------------------------------------------------

static int store(struct node_streams *in, struct stream *s, const void *bytes, size_t len, struct error *err)
{
	return s->path ? write_file(in, s, bytes, len, err)
		       : run_output(in->run, in->first + s->id - stream_ranks, bytes, len, err);
}

int node_streams_take(struct node_streams *ns, uint32_t stream, uint64_t offset, const void *bytes, size_t len,
	size_t *fresh, struct error *err)
{
	*fresh = 0;
	struct stream *s = find_stream(ns, stream);
	if (!s && (stream == stream_events || is_rank(ns, stream)))
		s = add_stream(ns, stream);
	if (!s && stream >= stream_files && stream < files_here(ns))
		return 0; // sent again: it does not know yet that the file is here
	if (!s || offset > s->have)
		return error_set(err, ERROR_SYSTEM, "bytes for a stream or an offset nobody announced");
	uint64_t known = s->have - offset; // sent again after a broken line
	if (known >= len)
		return 0;
	bytes = (const char *)bytes + known;
	*fresh = len - (size_t)known;
	if (s->total != UINT64_MAX && *fresh > s->total - s->have)
		return error_set(err, ERROR_SYSTEM, "more bytes than were announced");
	if (stream == stream_events) {
		int rc = split_events(ns, bytes, *fresh, err);
		advance(ns, find_stream(ns, stream), *fresh); // an event may have added streams, and moved them
		return rc;
	}
	struct error why = {0};
	if (!s->broken && store(ns, s, bytes, *fresh, &why) < 0)
		break_stream(ns, s, &why);
	advance(ns, s, *fresh);
	return 0;
}
