#include "node/spool.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Disk behind the acknowledged offset is given back in steps of this.
static const uint64_t punch_step = 16 << 20;
// A stream that never says more than this before it is acknowledged needs no file: making one costs more than all else
// that a short rank does.
static const size_t memory_max = 64 << 10;

struct spool {
	int fd; // -1 while all is in memory
	int dirfd;
	char *path; // of a file that was there already, below dirfd
	char *dir;  // where the file will be
	uint64_t end, sent, acked, punched;
	struct str memory;  // the bytes before end, while there is no file
	struct str pending; // what the full disk did not take
	char *failed;
};

static int open_nameless(const char *dir)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	autofree char *name = mem_printf("%s/spool-XXXXXX", dir);
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0)
		unlink(name);
	return fd;
}

struct spool *spool_new(const char *dir, struct error *err)
{
	if (access(dir, W_OK | X_OK) < 0) {
		error_errno(err, "cannot make a spool in '%s'", dir);
		return NULL;
	}
	struct spool *s = mem_alloc(sizeof *s);
	s->fd = -1;
	s->dir = mem_strdup(dir);
	return s;
}

struct spool *spool_of_file(int dirfd, const char *path, uint64_t size)
{
	struct spool *s = mem_alloc(sizeof *s);
	s->fd = -1;
	s->dirfd = dirfd;
	s->path = mem_strdup(path);
	s->end = size;
	return s;
}

void spool_free(struct spool *spool)
{
	if (!spool)
		return;
	if (spool->fd >= 0)
		close(spool->fd);
	free(spool->path);
	free(spool->dir);
	free(spool->failed);
	str_fini(&spool->memory);
	str_fini(&spool->pending);
	free(spool);
}

static size_t write_at(int fd, const char *bytes, size_t len, uint64_t offset)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return done;
}

// What is in memory goes into a file, all of it or nothing.
static bool leave_memory(struct spool *s)
{
	autoclose int fd = open_nameless(s->dir);
	if (fd < 0 || write_at(fd, s->memory.text, s->memory.len, s->end - s->memory.len) < s->memory.len)
		return false;
	str_fini(&s->memory);
	s->fd = steal_fd(&fd);
	return true;
}

static size_t put_in_memory(struct spool *s, const char *bytes, size_t len)
{
	size_t room = memory_max > s->memory.len ? memory_max - s->memory.len : 0;
	len = len < room ? len : room;
	str_add(&s->memory, bytes, len);
	return len;
}

// Takes what it can; returns how much. A full disk must not end everything: what fits into memory goes on as it is
// acknowledged, and a file whose bytes are all acknowledged is given up for it.
static size_t put(struct spool *s, const char *bytes, size_t len)
{
	size_t done = 0;
	if (s->fd < 0 && (s->memory.len + len <= memory_max || !leave_memory(s)))
		done = put_in_memory(s, bytes, len);
	else
		done = write_at(s->fd, bytes, len, s->end);
	if (done == 0 && s->fd >= 0 && !s->path && s->acked == s->end) {
		close(steal_fd(&s->fd));
		s->punched = 0;
		done = put_in_memory(s, bytes, len);
	}
	s->end += done;
	return done;
}

int spool_add(struct spool *spool, const void *bytes, size_t len)
{
	size_t done = spool->pending.len ? 0 : put(spool, bytes, len);
	if (done == len)
		return 0;
	str_add(&spool->pending, (const char *)bytes + done, len - done);
	return spool_flush(spool);
}

int spool_flush(struct spool *spool)
{
	struct str *p = &spool->pending;
	size_t done = put(spool, p->text, p->len);
	if (done < p->len) {
		memmove(p->text, p->text + done, p->len - done);
		p->len -= done;
		return -1;
	}
	str_fini(p);
	return 0;
}

uint64_t spool_end(const struct spool *spool)
{
	return spool->end + spool->pending.len;
}

uint64_t spool_acked(const struct spool *spool)
{
	return spool->acked;
}

bool spool_is_done(const struct spool *spool)
{
	return spool->failed || spool->acked == spool_end(spool);
}

static size_t fail(struct spool *s, const char *why)
{
	if (!s->failed)
		s->failed = mem_strdup(why);
	return 0;
}

size_t spool_next(struct spool *spool, uint64_t *offset, void *buf, size_t size)
{
	if (!spool_pending(spool))
		return 0;
	if (size > spool->end - spool->sent)
		size = (size_t)(spool->end - spool->sent);
	if (spool->fd < 0 && !spool->path) {
		memcpy(buf, spool->memory.text + spool->memory.len - (spool->end - spool->sent), size);
		*offset = spool->sent;
		spool->sent += size;
		return size;
	}
	if (spool->fd < 0)
		spool->fd = fs_open_at(spool->dirfd, spool->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (spool->fd < 0)
		return fail(spool, strerror(errno));
	ssize_t n = pread(spool->fd, buf, size, (off_t)spool->sent);
	if (n <= 0)
		return fail(spool, n < 0 ? strerror(errno) : "it was truncated while being read");
	*offset = spool->sent;
	spool->sent += (uint64_t)n;
	if (spool->path && spool->sent == spool->end) // many files, few descriptors
		close(steal_fd(&spool->fd));
	return (size_t)n;
}

bool spool_pending(const struct spool *spool)
{
	return !spool->failed && spool->sent < spool->end;
}

const char *spool_failed(const struct spool *spool)
{
	return spool->failed;
}

void spool_rewind(struct spool *spool, uint64_t offset)
{
	if (offset > spool->end)
		offset = spool->end;
	spool_ack(spool, offset);
	spool->sent = spool->acked;
}

// Memory behind the acknowledged offset.
static void forget(struct spool *s)
{
	size_t keep = (size_t)(s->end - s->acked);
	if (keep == 0)
		str_fini(&s->memory);
	else if (keep < s->memory.len) {
		memmove(s->memory.text, s->memory.text + s->memory.len - keep, keep);
		s->memory.len = keep;
	}
}

void spool_ack(struct spool *spool, uint64_t offset)
{
	if (offset > spool->sent && offset > spool->end)
		return; // more than was ever sent: not to be believed
	if (offset > spool->acked)
		spool->acked = offset;
	if (spool->sent < spool->acked)
		spool->sent = spool->acked;
	if (spool->fd < 0)
		forget(spool);
	else if (!spool->path && spool->acked - spool->punched >= punch_step) {
		fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)spool->punched,
			(off_t)(spool->acked - spool->punched));
		spool->punched = spool->acked;
	}
}
