#include "tui/follow.h"

#include "base/mem.h"
#include "base/str.h"
#include "wire/event.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BLOCK = 256 << 10,
	ROUND = 1 << 20,      // of one rank, before the next one's turn
	LINE_MOST = 4 << 20,  // of a log; longer lines are no events
	RANKS_MOST = 1 << 20, // a sane bound on a number in a file name
	PARTIAL_MOST = 512,
};

// The file itself is the buffer: an unfinished line is not kept but read again once its newline is there, however long
// it has become.
struct tail {
	uint64_t start;   // the first byte not handed out: a line begins there
	uint64_t scanned; // no newline from start up to here
	bool dirty;       // written to since it was read
	bool known;
};

// A log's lines, put together from the pieces of its tail.
struct log {
	struct tail tail;
	struct str line;
	const char *name;
};

struct follow {
	const struct run *run;
	const struct follow_calls *calls;
	int inotify;
	int watch_dir, watch_ranks;
	struct log events, metrics;
	struct tail *ranks;
	size_t nranks;
	size_t bytes;
	size_t scanned_last;     // bytes that the last reading without a newline left in its block
	char *block, *log_block; // an output may be read in the middle of reading a log
	struct error *err;
};

typedef int hand_fn(struct follow *f, size_t rank, const char *bytes, size_t len);

// --- one file ---------------------------------------------------------------

static ssize_t read_at(int fd, char *block, size_t len, uint64_t at)
{
	ssize_t n;
	do
		n = pread(fd, block, len, (off_t)at);
	while (n < 0 && errno == EINTR);
	return n;
}

// Hands out what lies between start and end, whatever it is.
static int hand_range(
	struct follow *f, struct tail *tail, int fd, char *block, uint64_t end, size_t rank, hand_fn *hand)
{
	while (tail->start < end) {
		uint64_t left = end - tail->start;
		ssize_t n = read_at(fd, block, left < BLOCK ? (size_t)left : BLOCK, tail->start);
		if (n <= 0)
			return n < 0 ? error_errno(f->err, "cannot read the output") : FOLLOW_DONE;
		tail->start += (uint64_t)n;
		int rc = hand(f, rank, block, (size_t)n);
		if (rc)
			return rc;
	}
	if (tail->scanned < tail->start)
		tail->scanned = tail->start;
	return FOLLOW_DONE;
}

// Reads at most `most` bytes; last: an unfinished line is handed out too.
static int read_open(
	struct follow *f, struct tail *tail, int fd, char *block, uint64_t most, bool last, size_t rank, hand_fn *hand)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_errno(f->err, "cannot read the output");
	uint64_t size = (uint64_t)st.st_size, begin = tail->start;
	while (tail->scanned < size) {
		if (tail->start - begin >= most)
			return FOLLOW_MORE;
		ssize_t n = read_at(fd, block, size - tail->scanned < BLOCK ? (size_t)(size - tail->scanned) : BLOCK,
			tail->scanned);
		if (n <= 0)
			return n < 0 ? error_errno(f->err, "cannot read the output") : FOLLOW_DONE;
		const char *newline = memrchr(block, '\n', (size_t)n);
		if (!newline) {
			tail->scanned += (uint64_t)n;
			f->scanned_last = (size_t)n;
			continue;
		}
		size_t whole = (size_t)(newline + 1 - block);
		int rc = FOLLOW_DONE;
		if (tail->start < tail->scanned) {
			rc = hand_range(f, tail, fd, block, tail->scanned + whole, rank, hand);
		} else {
			tail->start = tail->scanned = tail->start + whole;
			rc = hand(f, rank, block, whole);
		}
		if (rc)
			return rc;
	}
	return last ? hand_range(f, tail, fd, block, size, rank, hand) : FOLLOW_DONE;
}

static int read_tail(struct follow *f, struct tail *tail, const char *name, char *block, uint64_t most, bool last,
	size_t rank, hand_fn *hand)
{
	tail->dirty = false;
	autofree char *path = run_path(f->run, name);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? FOLLOW_DONE : error_errno(f->err, "cannot open %s", path);
	int rc = read_open(f, tail, fd, block, most, last, rank, hand);
	if (rc == FOLLOW_MORE)
		tail->dirty = true;
	return rc;
}

// --- outputs ----------------------------------------------------------------

static int hand_output(struct follow *f, size_t rank, const char *bytes, size_t len)
{
	f->bytes += len;
	return f->calls->on_output(rank, bytes, len, f->calls->data) ? FOLLOW_STOPPED : FOLLOW_DONE;
}

static int read_rank(struct follow *f, size_t rank, uint64_t most, bool last)
{
	if (rank >= f->nranks || !f->ranks[rank].known)
		return FOLLOW_DONE;
	char name[64];
	snprintf(name, sizeof name, "ranks/output-%zu.txt", rank);
	struct tail *tail = &f->ranks[rank];
	int rc = read_tail(f, tail, name, f->block, most, last, rank, hand_output);
	if (rc == FOLLOW_DONE && f->calls->on_partial && tail->start < tail->scanned) {
		size_t len = f->scanned_last < PARTIAL_MOST ? f->scanned_last : PARTIAL_MOST;
		const char *bytes = f->block + f->scanned_last - len;
		rc = f->calls->on_partial(rank, bytes, len, f->calls->data) ? FOLLOW_STOPPED : FOLLOW_DONE;
	}
	return rc;
}

static int read_ranks(struct follow *f, uint64_t most, bool last)
{
	bool more = false;
	for (size_t rank = 0; rank < f->nranks; rank++) {
		if (!last && !f->ranks[rank].dirty)
			continue;
		int rc = read_rank(f, rank, most, last);
		if (rc < 0 || rc == FOLLOW_STOPPED)
			return rc;
		more |= rc == FOLLOW_MORE;
	}
	return more ? FOLLOW_MORE : FOLLOW_DONE;
}

static void make_room(struct follow *f, size_t rank)
{
	if (rank < f->nranks)
		return;
	f->ranks = mem_resize(f->ranks, (rank + 1) * sizeof *f->ranks);
	memset(f->ranks + f->nranks, 0, (rank + 1 - f->nranks) * sizeof *f->ranks);
	f->nranks = rank + 1;
}

static void touch_rank(struct follow *f, const char *name)
{
	char *end;
	if (!f->calls->on_output || !str_starts(name, "output-"))
		return;
	unsigned long rank = strtoul(name + strlen("output-"), &end, 10);
	if (strcmp(end, ".txt") != 0 || rank >= RANKS_MOST)
		return;
	make_room(f, rank);
	f->ranks[rank].known = f->ranks[rank].dirty = true;
}

static void touch_all(struct follow *f)
{
	f->events.tail.dirty = f->metrics.tail.dirty = true;
	autofree char *path = run_path(f->run, "ranks");
	DIR *dir = opendir(path);
	if (!dir)
		return;
	for (struct dirent *entry; (entry = readdir(dir));)
		touch_rank(f, entry->d_name);
	closedir(dir);
}

// --- logs -------------------------------------------------------------------

static int hand_line(struct follow *f, const struct log *log, const char *line, size_t len)
{
	const struct follow_calls *calls = f->calls;
	autojson json_t *event = event_parse(line, len, NULL);
	if (!event)
		return 0;
	if (log == &f->metrics)
		return calls->on_metric(event, calls->data) ? FOLLOW_STOPPED : FOLLOW_DONE;
	int rc = FOLLOW_DONE;
	if (calls->on_output && event_is(event, "exit"))
		rc = read_rank(f, (size_t)json_integer_value(json_object_get(event, "rank")), UINT64_MAX, true);
	else if (calls->on_output && event_is(event, "end")) {
		touch_all(f);
		rc = read_ranks(f, UINT64_MAX, true);
	}
	if (rc != FOLLOW_DONE)
		return rc;
	return calls->on_event(event, line, len, calls->data) ? FOLLOW_STOPPED : FOLLOW_DONE;
}

static int hand_log(struct follow *f, struct log *log, const char *bytes, size_t len)
{
	while (len) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline + 1 - bytes) : len;
		int rc = 0;
		if (newline && log->line.len == 0) {
			rc = hand_line(f, log, bytes, n);
		} else if (log->line.len <= LINE_MOST) {
			str_add(&log->line, bytes, n);
			if (newline)
				rc = hand_line(f, log, log->line.text, log->line.len);
		}
		if (newline)
			str_fini(&log->line);
		if (rc)
			return rc;
		bytes += n;
		len -= n;
	}
	return 0;
}

static int hand_events(struct follow *f, size_t rank, const char *bytes, size_t len)
{
	return hand_log(f, &f->events, bytes, len);
}

static int hand_metrics(struct follow *f, size_t rank, const char *bytes, size_t len)
{
	return hand_log(f, &f->metrics, bytes, len);
}

static int read_logs(struct follow *f)
{
	int rc = FOLLOW_DONE;
	if (f->calls->on_metric && f->metrics.tail.dirty)
		rc = read_tail(f, &f->metrics.tail, f->metrics.name, f->log_block, UINT64_MAX, false, 0, hand_metrics);
	if (rc == FOLLOW_DONE && f->calls->on_event && f->events.tail.dirty)
		rc = read_tail(f, &f->events.tail, f->events.name, f->log_block, UINT64_MAX, false, 0, hand_events);
	return rc;
}

// --- all of them ------------------------------------------------------------

// A file system or a limit may refuse the watch; reading now and then does as well, only later.
static int open_watch(struct follow *f)
{
	autoclose int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd < 0)
		return -1;
	autofree char *ranks = run_path(f->run, "ranks");
	f->watch_dir = inotify_add_watch(fd, f->run->dir, IN_MODIFY | IN_CREATE);
	f->watch_ranks = f->calls->on_output ? inotify_add_watch(fd, ranks, IN_MODIFY | IN_CREATE) : -1;
	if (f->watch_dir < 0 || (f->calls->on_output && f->watch_ranks < 0))
		return -1;
	return steal_fd(&fd);
}

struct follow *follow_open(const struct run *run, const struct follow_calls *calls, struct error *err)
{
	autofree char *path = run_path(run, "events.jsonl");
	if (access(path, R_OK) < 0) {
		error_errno(err, "cannot follow the run %s: %s", run->id, path);
		return NULL;
	}
	struct follow *f = mem_alloc(sizeof *f);
	f->run = run;
	f->calls = calls;
	f->events.name = "events.jsonl";
	f->metrics.name = "metrics.jsonl";
	f->block = mem_alloc(BLOCK);
	f->log_block = mem_alloc(BLOCK);
	f->inotify = open_watch(f);
	touch_all(f);
	return f;
}

void follow_close(struct follow *f)
{
	if (!f)
		return;
	if (f->inotify >= 0)
		close(f->inotify);
	str_fini(&f->events.line);
	str_fini(&f->metrics.line);
	free(f->ranks);
	free(f->block);
	free(f->log_block);
	free(f);
}

bool follow_skip(struct follow *f, size_t bytes)
{
	bool any = false;
	bytes = bytes < BLOCK ? bytes : BLOCK;
	for (size_t rank = 0; rank < f->nranks; rank++) {
		char name[64];
		snprintf(name, sizeof name, "ranks/output-%zu.txt", rank);
		autofree char *path = run_path(f->run, name);
		autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct stat st;
		if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size <= bytes)
			continue;
		uint64_t from = (uint64_t)st.st_size - bytes;
		ssize_t n = read_at(fd, f->block, bytes, from);
		const char *newline = n > 0 ? memchr(f->block, '\n', (size_t)n) : NULL;
		f->ranks[rank].start = f->ranks[rank].scanned =
			from + (newline ? (uint64_t)(newline + 1 - f->block) : bytes);
		any = true;
	}
	return any;
}

void follow_begin(struct follow *f, size_t rank, uint64_t offset)
{
	make_room(f, rank);
	f->ranks[rank].start = f->ranks[rank].scanned = offset;
}

int follow_fd(const struct follow *f)
{
	return f->inotify;
}

// Which files were written to?
static void read_watch(struct follow *f)
{
	if (f->inotify < 0) {
		touch_all(f);
		return;
	}
	char buffer[16 << 10] __attribute__((aligned(__alignof__(struct inotify_event))));
	for (ssize_t n; (n = read(f->inotify, buffer, sizeof buffer)) > 0;) {
		const struct inotify_event *e;
		for (char *at = buffer; at < buffer + n; at += sizeof *e + e->len) {
			e = (const struct inotify_event *)at;
			if (e->mask & IN_Q_OVERFLOW)
				touch_all(f);
			else if (e->len && e->wd == f->watch_ranks)
				touch_rank(f, e->name);
			else if (e->len && strcmp(e->name, f->events.name) == 0)
				f->events.tail.dirty = true;
			else if (e->len && strcmp(e->name, f->metrics.name) == 0)
				f->metrics.tail.dirty = true;
		}
	}
}

int follow_read(struct follow *f, size_t *bytes, struct error *err)
{
	f->err = err;
	f->bytes = 0;
	read_watch(f);
	int rc = read_logs(f);
	if (rc == FOLLOW_DONE)
		rc = read_ranks(f, ROUND, false);
	if (bytes)
		*bytes = f->bytes;
	return rc;
}

int follow_finish(struct follow *f, struct error *err)
{
	f->err = err;
	touch_all(f);
	int rc = read_logs(f);
	return rc == FOLLOW_DONE ? read_ranks(f, UINT64_MAX, true) : rc;
}
