#include "base/archives.h"

#include "base/fs.h"
#include "base/mem.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_SIZE = 128 * 1024, NAME_SHOWN = 300 };

struct unpacking {
	struct archive *archive;
	int dir;
	bool any_link; // symbolic links may lead out
	uint64_t bytes;
	void (*on_progress)(uint64_t bytes, void *data);
	void *data;
};

static int archive_failed(struct archive *a, struct error *err)
{
	const char *text = archive_error_string(a);
	return error_set(err, ERROR_SYSTEM, "%s", text ? text : "damaged archive");
}

// The name as bytes. The UTF-8 form is asked first: the other one needs a locale, which a static program has none of.
static const char *entry_name(struct archive_entry *e)
{
	const char *name = archive_entry_pathname_utf8(e);
	return name ? name : archive_entry_pathname(e);
}

static const char *strip(const char *name)
{
	while (name[0] == '.' && name[1] == '/') {
		name += 2;
		while (*name == '/')
			name++;
	}
	return strcmp(name, ".") == 0 ? "" : name;
}

static int write_at(int fd, const char *bytes, size_t len, int64_t offset, struct error *err)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "cannot write");
		bytes += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

static int unpack_data(struct unpacking *u, int fd, struct error *err)
{
	int64_t end = 0;
	for (;;) {
		const void *bytes;
		size_t len;
		int64_t offset;
		int rc = archive_read_data_block(u->archive, &bytes, &len, &offset);
		if (rc == ARCHIVE_EOF) // what a sparse file ends with is not there
			return end < offset && ftruncate(fd, offset) < 0 ? error_errno(err, "cannot write") : 0;
		if (rc == ARCHIVE_RETRY)
			continue;
		if (rc < ARCHIVE_WARN)
			return archive_failed(u->archive, err);
		if (write_at(fd, bytes, len, offset, err) < 0)
			return -1;
		end = offset + (int64_t)len;
		u->bytes += len;
		if (u->on_progress)
			u->on_progress(u->bytes, u->data);
	}
}

static int unpack_file(struct unpacking *u, const char *name, mode_t mode, struct error *err)
{
	const char *last;
	autoclose int parent = fs_open_parent(u->dir, name, &last, err);
	if (parent < 0)
		return -1;
	if (unlinkat(parent, last, 0) < 0 && errno != ENOENT)
		return error_errno(err, "cannot replace it");
	autoclose int fd = openat(parent, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "cannot create it");
	if (unpack_data(u, fd, err) < 0)
		return -1;
	return fchmod(fd, (mode & 0777) | 0600) < 0 ? error_errno(err, "cannot set its mode") : 0;
}

static int unpack_dir(struct unpacking *u, const char *name, mode_t mode, struct error *err)
{
	autofree char *slashed = mem_printf("%s/", name);
	if (fs_mkdirs_beneath(u->dir, slashed, err) < 0)
		return -1;
	autoclose int fd = fs_open_beneath(u->dir, name, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	return fchmod(fd, (mode & 0777) | 0700) < 0 ? error_errno(err, "cannot set its mode") : 0;
}

static int unpack_symlink(struct unpacking *u, const char *name, const char *target, struct error *err)
{
	if (!target || !*target || (!u->any_link && !fs_link_is_inside(name, target)))
		return error_set(err, ERROR_SYSTEM, "a symbolic link to '%.*s', which points outside the directory",
			NAME_SHOWN, target ? target : "");
	const char *last;
	autoclose int parent = fs_open_parent(u->dir, name, &last, err);
	if (parent < 0)
		return -1;
	if (unlinkat(parent, last, 0) < 0 && errno != ENOENT)
		return error_errno(err, "cannot replace it");
	return symlinkat(target, parent, last) < 0 ? error_errno(err, "cannot create it") : 0;
}

static int unpack_hardlink(struct unpacking *u, const char *name, const char *target, struct error *err)
{
	target = strip(target);
	if (!fs_is_inside(target))
		return error_set(
			err, ERROR_SYSTEM, "a link to '%.*s', which points outside the directory", NAME_SHOWN, target);
	const char *last, *from_last;
	autoclose int parent = fs_open_parent(u->dir, name, &last, err);
	autoclose int from = parent < 0 ? -1 : fs_open_parent(u->dir, target, &from_last, err);
	if (from < 0)
		return -1;
	struct stat st;
	if (fstatat(from, from_last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_errno(err, "a link to '%.*s'", NAME_SHOWN, target);
	if (!S_ISREG(st.st_mode)) // a symbolic link would point elsewhere from its new place
		return error_set(err, ERROR_SYSTEM, "a link to '%.*s', which is no file", NAME_SHOWN, target);
	struct stat there;
	if (fstatat(parent, last, &there, AT_SYMLINK_NOFOLLOW) == 0) {
		if (there.st_dev == st.st_dev && there.st_ino == st.st_ino)
			return 0;
		if (unlinkat(parent, last, 0) < 0)
			return error_errno(err, "cannot replace it");
	}
	return linkat(from, from_last, parent, last, 0) < 0 ? error_errno(err, "cannot create it") : 0;
}

static int unpack_entry(struct unpacking *u, struct archive_entry *e, const char *full, struct error *err)
{
	if (!fs_is_inside(full))
		return error_set(err, ERROR_SYSTEM, "its name points outside the directory");
	autofree char *name = mem_strdup(full);
	for (size_t len = strlen(name); len > 0 && name[len - 1] == '/'; len--)
		name[len - 1] = '\0';
	if (fs_mkdirs_beneath(u->dir, name, err) < 0)
		return -1;
	const char *hard = archive_entry_hardlink_utf8(e);
	if (!hard)
		hard = archive_entry_hardlink(e);
	const char *soft = archive_entry_symlink_utf8(e);
	if (hard)
		return unpack_hardlink(u, name, hard, err);
	switch (archive_entry_filetype(e)) {
	case AE_IFREG:
		return unpack_file(u, name, archive_entry_mode(e), err);
	case AE_IFDIR:
		return unpack_dir(u, name, archive_entry_mode(e), err);
	case AE_IFLNK:
		return unpack_symlink(u, name, soft ? soft : archive_entry_symlink(e), err);
	default:
		return error_set(err, ERROR_SYSTEM, "it is neither a file, a directory nor a link");
	}
}

static int unpack_all(struct unpacking *u, struct error *err)
{
	for (;;) {
		struct archive_entry *e;
		int rc = archive_read_next_header(u->archive, &e);
		if (rc == ARCHIVE_EOF)
			return 0;
		if (rc == ARCHIVE_RETRY)
			continue;
		if (rc < ARCHIVE_WARN)
			return archive_failed(u->archive, err);
		const char *raw = entry_name(e);
		const char *name = raw ? strip(raw) : NULL;
		if (!name)
			return error_set(err, ERROR_SYSTEM, "an entry without a name");
		if (*name && unpack_entry(u, e, name, err) < 0)
			return error_wrap(err, "entry '%.*s'", NAME_SHOWN, name);
	}
}

int archives_unpack(const char *path, const char *dir, void (*on_progress)(uint64_t bytes, void *data), void *data,
	uint64_t *bytes, struct error *err)
{
	struct unpacking u = {.on_progress = on_progress, .data = data};
	autoclose int root = u.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, "cannot open the directory '%s'", dir);
	u.archive = archive_read_new();
	// One by one and not "all": what else libarchive can read needs libraries that a static program would have to
	// carry.
	archive_read_support_format_tar(u.archive);
	archive_read_support_format_zip(u.archive);
	archive_read_support_filter_gzip(u.archive);
	archive_read_support_filter_xz(u.archive);
	archive_read_support_filter_zstd(u.archive);
	archive_read_support_filter_bzip2(u.archive);
	int rc = archive_read_open_filename(u.archive, path, READ_SIZE) == ARCHIVE_OK ? unpack_all(&u, err)
										      : archive_failed(u.archive, err);
	archive_read_free(u.archive);
	if (bytes)
		*bytes = u.bytes;
	return rc < 0 ? error_wrap(err, "cannot unpack '%s'", path) : 0;
}

// --- writing ----------------------------------------------------------------

struct archives_writer {
	struct archive *archive;
};

struct archives_writer *archives_writer_new(int fd, struct error *err)
{
	struct archives_writer *w = mem_alloc(sizeof *w);
	w->archive = archive_write_new();
	// The old format, with extended headers only where a name or a size needs them.
	if (archive_write_set_format_pax_restricted(w->archive) == ARCHIVE_OK &&
		archive_write_open_fd(w->archive, fd) == ARCHIVE_OK)
		return w;
	archive_failed(w->archive, err);
	archives_writer_free(w);
	return NULL;
}

void archives_writer_free(struct archives_writer *w)
{
	if (!w)
		return;
	archive_write_free(w->archive);
	free(w);
}

int archives_writer_end(struct archives_writer *w, struct error *err)
{
	int rc = archive_write_close(w->archive) == ARCHIVE_OK ? 0 : archive_failed(w->archive, err);
	archives_writer_free(w);
	return rc;
}

// The header has promised size bytes: a file that shrinks meanwhile is filled up by the archive's end, one that grows
// is cut.
static int add_content(struct archives_writer *w, int fd, int64_t size, struct error *err)
{
	autofree char *bytes = mem_alloc(READ_SIZE);
	for (int64_t left = size; left > 0;) {
		ssize_t n = read(fd, bytes, left < READ_SIZE ? (size_t)left : READ_SIZE);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "cannot read it");
		if (n == 0)
			return error_set(err, ERROR_SYSTEM, "it became shorter while it was read");
		if (archive_write_data(w->archive, bytes, (size_t)n) < 0)
			return archive_failed(w->archive, err);
		left -= n;
	}
	return 0;
}

static int add_entry(struct archives_writer *w, struct archive_entry *e, const char *path, struct error *err)
{
	struct stat st;
	if (lstat(path, &st))
		return error_errno(err, "cannot look at it");
	bool file = S_ISREG(st.st_mode);
	if (!file && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return error_set(err, ERROR_SYSTEM, "it is neither a file, a directory nor a link");
	autoclose int fd = file ? open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (file && (fd < 0 || fstat(fd, &st)))
		return error_errno(err, "cannot read it");
	char target[4096] = "";
	if (S_ISLNK(st.st_mode) && readlink(path, target, sizeof target - 1) < 0)
		return error_errno(err, "cannot read it");
	archive_entry_set_mode(e, st.st_mode);
	archive_entry_set_mtime(e, st.st_mtim.tv_sec, 0);
	archive_entry_set_size(e, file ? st.st_size : 0);
	if (*target)
		archive_entry_set_symlink(e, target);
	if (archive_write_header(w->archive, e) < ARCHIVE_WARN)
		return archive_failed(w->archive, err);
	return file ? add_content(w, fd, st.st_size, err) : 0;
}

int archives_add(struct archives_writer *w, const char *path, const char *name, struct error *err)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, name);
	int rc = add_entry(w, e, path, err);
	archive_entry_free(e);
	return rc < 0 ? error_wrap(err, "'%s'", path) : 0;
}

// --- an archive in pieces -----------------------------------------------------

struct pieces {
	const struct archives_source *source;
	char buf[READ_SIZE];
};

static la_ssize_t read_piece(struct archive *a, void *data, const void **bytes)
{
	struct pieces *p = data;
	*bytes = p->buf;
	ssize_t n = p->source->read(p->buf, sizeof p->buf, p->source->data);
	if (n < 0)
		archive_set_error(a, errno, "it does not come: %s", strerror(errno));
	return n;
}

int archives_unpack_from(const struct archives_source *source, const char *dir, struct error *err)
{
	struct unpacking u = {.on_progress = source->on_progress, .data = source->data, .any_link = true};
	autoclose int root = u.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return error_errno(err, "cannot open the directory '%s'", dir);
	autofree struct pieces *pieces = mem_alloc(sizeof *pieces);
	pieces->source = source;
	u.archive = archive_read_new();
	archive_read_support_format_tar(u.archive);
	int rc = archive_read_open(u.archive, pieces, NULL, read_piece, NULL) == ARCHIVE_OK
			 ? unpack_all(&u, err)
			 : archive_failed(u.archive, err);
	archive_read_free(u.archive);
	return rc < 0 ? error_wrap(err, "cannot unpack '%s'", source->name) : 0;
}

// What is kept of what libarchive writes: the head, not the end of an archive that follows it.
struct keeping {
	struct str *to;
	bool enough;
};

static la_ssize_t keep_head(struct archive *a, void *data, const void *bytes, size_t len)
{
	struct keeping *k = data;
	if (!k->enough)
		str_add(k->to, bytes, len);
	return (la_ssize_t)len;
}

// libarchive would want the bytes, too, and fill up those it does not get: it is told that there are none, and the size
// is put in here. From 8 GiB on it is binary, as GNU has it. The checksum is that of the block with blanks in its
// place.
static void put_size(char *block, uint64_t size)
{
	enum { SIZE_AT = 124, SIZE_LEN = 12, SUM_AT = 148, SUM_LEN = 8 };
	char text[32];
	unsigned sum = 0;
	memset(block + SIZE_AT, 0, SIZE_LEN);
	if (size < (uint64_t)1 << 33) {
		snprintf(text, sizeof text, "%011llo", (unsigned long long)size);
		memcpy(block + SIZE_AT, text, SIZE_LEN);
	} else {
		block[SIZE_AT] = (char)0x80;
		for (int i = SIZE_LEN; --i > 3; size >>= 8)
			block[SIZE_AT + i] = (char)(size & 0xff);
	}
	memset(block + SUM_AT, ' ', SUM_LEN);
	for (size_t i = 0; i < ARCHIVES_BLOCK; i++)
		sum += (unsigned char)block[i];
	snprintf(text, sizeof text, "%06o", sum);
	memcpy(block + SUM_AT, text, SUM_LEN - 1);
}

// GNU's form, because it takes names as the bytes they are: the other has them in UTF-8, and a program without a locale
// has no other.
int archives_head(const struct archives_entry *entry, struct str *to, struct error *err)
{
	struct keeping keeping = {.to = to};
	struct archive *a = archive_write_new();
	archive_write_set_format_gnutar(a);
	archive_write_set_bytes_per_block(a, 0);
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_pathname(e, entry->name);
	archive_entry_set_mode(e, entry->mode);
	archive_entry_set_size(e, 0);
	if (S_ISLNK(entry->mode))
		archive_entry_set_symlink(e, entry->link);
	int rc = 0;
	if (archive_write_open(a, &keeping, NULL, keep_head, NULL) != ARCHIVE_OK ||
		archive_write_header(a, e) < ARCHIVE_WARN)
		rc = archive_failed(a, err);
	else if (to->len < ARCHIVES_BLOCK)
		rc = error_set(err, ERROR_SYSTEM, "an entry without a head");
	else
		put_size(to->text + to->len - ARCHIVES_BLOCK, entry->size);
	keeping.enough = true;
	archive_entry_free(e);
	archive_write_free(a);
	return rc;
}

// --- gzip ---------------------------------------------------------------------

static la_ssize_t keep_piece(struct archive *a, void *data, const void *bytes, size_t len)
{
	str_add(data, bytes, len);
	return (la_ssize_t)len;
}

int archives_gzip(const void *bytes, size_t len, struct str *to, struct error *err)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	archive_entry_set_filetype(e, AE_IFREG);
	archive_write_set_bytes_in_last_block(a, 1); // nothing follows the stream
	bool ok = archive_write_set_format_raw(a) == ARCHIVE_OK && archive_write_add_filter_gzip(a) == ARCHIVE_OK &&
		  archive_write_set_options(a, "gzip:compression-level=9,gzip:!timestamp") == ARCHIVE_OK &&
		  archive_write_open(a, to, NULL, keep_piece, NULL) == ARCHIVE_OK &&
		  archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, bytes, len) == (la_ssize_t)len &&
		  archive_write_close(a) == ARCHIVE_OK;
	int rc = ok ? 0 : archive_failed(a, err);
	archive_entry_free(e);
	archive_write_free(a);
	return rc;
}
