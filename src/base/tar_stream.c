#include "base/tar_stream.h"

#include "base/archives.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// One file, directory or link: its head begins at offset, its bytes follow, then zeros until the next.
struct entry {
	char *name, *link; // the name below the root
	mode_t mode;
	dev_t dev;
	ino_t ino;
	struct timespec changed;
	uint64_t size, offset;
	size_t head;
};

struct tar_stream {
	char *path;
	int root; // the directory; AT_FDCWD when it is a file, whose name is its whole path then
	bool archive;
	struct entry *entries;
	size_t count;
	uint64_t size;
};

struct tar_stream_reader {
	const struct tar_stream *tar;
	const struct entry *entry; // the one that was read last; NULL: none
	struct str head;           // its head, once it was asked for
	int fd;                    // its file, or -1
};

// --- looking ------------------------------------------------------------------

static char *full_name(const struct tar_stream *p, const char *name)
{
	return fs_join(p->path, name);
}

static int refuse(const struct tar_stream *p, const char *name, const char *why, struct error *err)
{
	autofree char *full = full_name(p, name);
	return why ? error_set(err, ERROR_SYSTEM, "'%s' %s", full, why) : error_errno(err, "cannot read '%s'", full);
}

// Where the next entry would begin.
static uint64_t end_of(const struct tar_stream *p)
{
	if (p->count == 0)
		return 0;
	const struct entry *e = &p->entries[p->count - 1];
	return p->archive ? e->offset + e->head + (e->size + ARCHIVES_BLOCK - 1) / ARCHIVES_BLOCK * ARCHIVES_BLOCK
			  : e->size;
}

static int head_of(const struct entry *e, struct str *to, struct error *err)
{
	struct archives_entry entry = {.name = e->name, .link = e->link, .mode = e->mode, .size = e->size};
	return archives_head(&entry, to, err);
}

// Adds what stat tells of an entry; takes name.
static int add(struct tar_stream *p, char *name, const struct stat *st, struct error *err)
{
	uint64_t offset = end_of(p);
	if ((p->count & (p->count - 1)) == 0)
		p->entries = mem_resize(p->entries, (p->count ? p->count * 2 : 1) * sizeof *p->entries);
	struct entry *e = &p->entries[p->count];
	*e = (struct entry){.name = name,
		.mode = S_ISDIR(st->st_mode) ? S_IFDIR | 0755 : st->st_mode & (S_IFMT | 0777),
		.dev = st->st_dev,
		.ino = st->st_ino,
		.changed = st->st_mtim,
		.size = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0,
		.offset = offset};
	p->count++;
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode) && !S_ISLNK(st->st_mode))
		return refuse(p, name, "is neither a file, a directory nor a symbolic link", err);
	if (S_ISREG(st->st_mode) && faccessat(p->root, name, R_OK, AT_EACCESS) < 0)
		return refuse(p, name, NULL, err);
	if (S_ISLNK(st->st_mode)) {
		char target[4096];
		ssize_t n = readlinkat(p->root, name, target, sizeof target - 1);
		if (n < 0)
			return refuse(p, name, NULL, err);
		e->link = mem_strndup(target, (size_t)n);
	}
	autostr struct str head = {0};
	if (p->archive && head_of(e, &head, err) < 0)
		return error_wrap(err, "'%s'", name);
	e->head = head.len;
	return 0;
}

static int add_children(struct tar_stream *p, const char *dir, const struct stat *skip, struct error *err)
{
	int fd = openat(p->root, *dir ? dir : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return refuse(p, dir, NULL, err);
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		char *name = *dir ? fs_join(dir, e->d_name) : mem_strdup(e->d_name);
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			rc = errno == ENOENT ? 0 : refuse(p, name, NULL, err);
			free(name);
		} else if (skip->st_ino && st.st_ino == skip->st_ino && st.st_dev == skip->st_dev)
			free(name);
		else
			rc = add(p, name, &st, err);
	}
	closedir(d);
	return rc;
}

// The list is its own queue: the children of each directory in it are added at its end.
static int look(struct tar_stream *p, const struct stat *skip, const atomic_bool *cancelled, struct error *err)
{
	if (add_children(p, "", skip, err) < 0)
		return -1;
	for (size_t i = 0; i < p->count; i++) {
		if (cancelled && *cancelled)
			return error_set(err, ERROR_CANCELLED, "cancelled");
		if (S_ISDIR(p->entries[i].mode) && add_children(p, p->entries[i].name, skip, err) < 0)
			return -1;
	}
	p->size = end_of(p) + ARCHIVES_END;
	return 0;
}

struct tar_stream *tar_stream_new(const char *path, const char *skip, const atomic_bool *cancelled, struct error *err)
{
	struct stat st, skipped = {0};
	struct tar_stream *p = mem_alloc(sizeof *p);
	// A link that the user names means what it leads to; those inside of a directory stay links.
	p->path = realpath(path, NULL);
	p->root = AT_FDCWD;
	if (skip && stat(skip, &skipped) < 0)
		skipped.st_ino = 0;
	int rc = p->path && stat(p->path, &st) == 0 ? 0 : error_errno(err, "cannot read '%s'", path);
	if (rc == 0 && S_ISDIR(st.st_mode)) {
		p->archive = true;
		p->root = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		rc = p->root < 0 ? error_errno(err, "cannot read '%s'", path) : look(p, &skipped, cancelled, err);
	} else if (rc == 0) {
		rc = add(p, mem_strdup(p->path), &st, err);
		p->size = end_of(p);
	}
	if (rc == 0)
		return p;
	tar_stream_free(p);
	return NULL;
}

void tar_stream_free(struct tar_stream *tar)
{
	if (!tar)
		return;
	for (size_t i = 0; i < tar->count; i++) {
		free(tar->entries[i].name);
		free(tar->entries[i].link);
	}
	free(tar->entries);
	free(tar->path);
	if (tar->root >= 0)
		close(tar->root);
	free(tar);
}

uint64_t tar_stream_size(const struct tar_stream *tar)
{
	return tar->size;
}

bool tar_stream_is_archive(const struct tar_stream *tar)
{
	return tar->archive;
}

mode_t tar_stream_mode(const struct tar_stream *tar)
{
	return tar->archive ? 0755 : tar->entries[0].mode & 0777;
}

// --- reading ------------------------------------------------------------------

struct tar_stream_reader *tar_stream_open(const struct tar_stream *tar)
{
	struct tar_stream_reader *r = mem_alloc(sizeof *r);
	r->tar = tar;
	r->fd = -1;
	return r;
}

void tar_stream_close(struct tar_stream_reader *reader)
{
	if (!reader)
		return;
	mem_cleanup_fd(&reader->fd);
	str_fini(&reader->head);
	free(reader);
}

// The last entry that begins at offset or before; NULL behind them all.
static const struct entry *entry_at(const struct tar_stream *p, uint64_t offset)
{
	if (offset >= end_of(p))
		return NULL;
	size_t low = 0, high = p->count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (p->entries[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &p->entries[low];
}

static void turn_to(struct tar_stream_reader *r, const struct entry *e)
{
	if (r->entry == e)
		return;
	r->entry = e;
	r->head.len = 0;
	mem_cleanup_fd(&r->fd);
	r->fd = -1;
}

// Is the open file what it was when it was looked at?
static int check_same(const struct tar_stream_reader *r, struct error *err)
{
	struct stat st;
	const struct entry *e = r->entry;
	if (fstat(r->fd, &st) < 0)
		return refuse(r->tar, e->name, NULL, err);
	if (S_ISREG(st.st_mode) && st.st_dev == e->dev && st.st_ino == e->ino && (uint64_t)st.st_size == e->size &&
		st.st_mtim.tv_sec == e->changed.tv_sec && st.st_mtim.tv_nsec == e->changed.tv_nsec)
		return 0;
	return refuse(r->tar, e->name, "has changed while it was sent", err);
}

static int open_file(struct tar_stream_reader *r, struct error *err)
{
	if (r->fd >= 0)
		return 0;
	r->fd = openat(r->tar->root, r->entry->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (r->fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return refuse(r->tar, r->entry->name, "has disappeared", err);
	if (r->fd < 0)
		return refuse(r->tar, r->entry->name, NULL, err);
	posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return check_same(r, err);
}

// Bytes of the file from at on. It is looked at again each time: who sends much of it had better know soon.
static ssize_t read_file(struct tar_stream_reader *r, uint64_t at, char *buf, size_t size, struct error *err)
{
	if (open_file(r, err) < 0)
		return -1;
	uint64_t rest = r->entry->size - at;
	ssize_t n = pread(r->fd, buf, size < rest ? size : (size_t)rest, (off_t)at);
	if (n < 0)
		return refuse(r->tar, r->entry->name, NULL, err);
	if (n == 0)
		return refuse(r->tar, r->entry->name, "was truncated while it was sent", err);
	return check_same(r, err) < 0 ? -1 : n;
}

static ssize_t read_head(struct tar_stream_reader *r, uint64_t at, char *buf, size_t size, struct error *err)
{
	if (r->head.len == 0 && head_of(r->entry, &r->head, err) < 0)
		return -1;
	size_t n = r->head.len - (size_t)at < size ? r->head.len - (size_t)at : size;
	memcpy(buf, r->head.text + at, n);
	return (ssize_t)n;
}

static ssize_t read_piece(struct tar_stream_reader *r, uint64_t offset, char *buf, size_t size, struct error *err)
{
	const struct tar_stream *p = r->tar;
	const struct entry *e =
		r->entry && r->entry->offset <= offset && offset < r->entry->offset + r->entry->head + r->entry->size
			? r->entry
			: entry_at(p, offset);
	uint64_t end = p->size; // of the zeros, when it is they
	if (e) {
		turn_to(r, e);
		uint64_t at = offset - e->offset;
		if (at < e->head)
			return read_head(r, at, buf, size, err);
		if (at < e->head + e->size)
			return read_file(r, at - e->head, buf, size, err);
		end = e + 1 < p->entries + p->count ? e[1].offset : end_of(p);
	}
	size_t n = end - offset < size ? (size_t)(end - offset) : size;
	memset(buf, 0, n);
	return (ssize_t)n;
}

ssize_t tar_stream_read(struct tar_stream_reader *reader, uint64_t offset, void *buf, size_t size, struct error *err)
{
	size_t done = 0;
	while (done < size && offset < reader->tar->size) {
		ssize_t n = read_piece(reader, offset, (char *)buf + done, size - done, err);
		if (n < 0)
			return -1;
		done += (size_t)n;
		offset += (uint64_t)n;
	}
	return (ssize_t)done;
}
