#include "base/copy_stream.h"

#include "base/archives.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, HEAD_MAX = 8192 };

// --- sending ------------------------------------------------------------------

// The last part of a path; of "." and the like that of what they mean.
static char *name_of(const char *path)
{
	autofree char *real = realpath(path, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	autofree char *bare = mem_strndup(path, len);
	const char *last = strrchr(bare, '/') ? strrchr(bare, '/') + 1 : bare;
	const char *name =
		!*last || strcmp(last, ".") == 0 || strcmp(last, "..") == 0 ? (slash ? slash + 1 : "") : last;
	return str_utf8_clean(name, strlen(name));
}

char *copy_stream_head(const struct tar_stream *tar, const char *path)
{
	autofree char *name = name_of(path);
	autojson json_t *head = mem_json("{s:s, s:i, s:I, s:b}", "name", name, "mode", (int)tar_stream_mode(tar),
		"size", (json_int_t)tar_stream_size(tar), "archive", tar_stream_is_archive(tar));
	autofree char *text = json_dumps(head, JSON_COMPACT);
	return mem_printf("%s\n", text);
}

int copy_stream_send(const char *path, int fd, struct error *err)
{
	struct tar_stream *tar = tar_stream_new(path, NULL, NULL, err);
	if (!tar)
		return -1;
	autofree char *head = copy_stream_head(tar, path);
	autofree char *bytes = mem_alloc(CHUNK);
	struct tar_stream_reader *reader = tar_stream_open(tar);
	int rc = fs_write_fd(fd, head, strlen(head), err);
	for (uint64_t at = 0; rc == 0 && at < tar_stream_size(tar);) {
		ssize_t n = tar_stream_read(reader, at, bytes, CHUNK, err);
		rc = n < 0 ? -1 : fs_write_fd(fd, bytes, (size_t)n, err);
		at += n > 0 ? (uint64_t)n : 0;
	}
	tar_stream_close(reader);
	tar_stream_free(tar);
	return rc;
}

// --- receiving ----------------------------------------------------------------

struct incoming {
	int fd;
	uint64_t left; // bytes that are to come
	struct error why;
};

static ssize_t read_some(void *buf, size_t size, void *data)
{
	struct incoming *in = data;
	if (in->left == 0)
		return 0;
	ssize_t n;
	do
		n = read(in->fd, buf, size < in->left ? size : (size_t)in->left);
	while (n < 0 && errno == EINTR);
	if (n == 0) {
		error_set(&in->why, ERROR_SYSTEM, "the other side ended %llu bytes too early",
			(unsigned long long)in->left);
		errno = EPIPE;
		return -1;
	}
	in->left -= n > 0 ? (uint64_t)n : 0;
	return n;
}

// Byte by byte: what follows the line is another's.
static json_t *read_head(int fd, struct error *err)
{
	char line[HEAD_MAX];
	size_t len = 0;
	while (len < sizeof line && (len == 0 || line[len - 1] != '\n')) {
		ssize_t n = read(fd, line + len, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			error_set(err, ERROR_SYSTEM, "the other side sent nothing");
			return NULL;
		}
		len++;
	}
	json_t *head = json_loadb(line, len, JSON_DISABLE_EOF_CHECK, NULL);
	const char *name = json_string_value(json_object_get(head, "name"));
	json_int_t size = json_integer_value(json_object_get(head, "size"));
	if (name && *name && !strchr(name, '/') && fs_is_inside(name) && size >= 0 &&
		json_is_integer(json_object_get(head, "mode")))
		return head;
	json_decref(head);
	error_set(err, ERROR_SYSTEM, "the other side did not send a header");
	return NULL;
}

static char *place_of(const char *to, const char *name, struct error *err)
{
	struct stat st;
	size_t len = strlen(to);
	if (len && to[len - 1] == '/' && fs_mkdirs(to, 0755, err) < 0)
		return NULL;
	if (stat(*to ? to : ".", &st) == 0 && S_ISDIR(st.st_mode))
		return fs_join(*to ? to : ".", name);
	return mem_strdup(to);
}

static int write_all(struct incoming *in, int fd, struct error *err)
{
	autofree char *bytes = mem_alloc(CHUNK);
	ssize_t n;
	while ((n = read_some(bytes, CHUNK, in)) > 0)
		if (fs_write_fd(fd, bytes, (size_t)n, err) < 0)
			return -1;
	return n < 0 ? error_set(err, ERROR_SYSTEM, "%s", *in->why.text ? in->why.text : "cannot read what is sent")
		     : 0;
}

static int receive_file(struct incoming *in, const char *path, mode_t mode, struct error *err)
{
	struct stat st;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return error_set(err, ERROR_SYSTEM, "'%s' is a directory, and a file is to go there", path);
	autofree char *part = mem_printf("%s.part-%d", path, (int)getpid());
	autoclose int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "cannot create '%s'", part);
	int rc = write_all(in, fd, err);
	if (rc == 0 && (fchmod(fd, mode & 0777) < 0 || rename(part, path) < 0))
		rc = error_errno(err, "cannot move '%s' into place", path);
	if (rc < 0)
		unlink(part);
	return rc;
}

static int receive_dir(struct incoming *in, const char *path, struct error *err)
{
	struct archives_source source = {.name = path, .read = read_some, .data = in};
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_errno(err, "cannot make the directory '%s'", path);
	if (archives_unpack_from(&source, path, err) < 0)
		return *in->why.text ? error_set(err, ERROR_SYSTEM, "%s", in->why.text) : -1;
	char rest[4096]; // behind the archive's end
	ssize_t n;
	while ((n = read_some(rest, sizeof rest, in)) > 0)
		;
	return n < 0 ? error_set(err, ERROR_SYSTEM, "%s", in->why.text) : 0;
}

int copy_stream_receive(int fd, const char *to, struct error *err)
{
	autojson json_t *head = read_head(fd, err);
	if (!head)
		return -1;
	struct incoming in = {.fd = fd, .left = (uint64_t)json_integer_value(json_object_get(head, "size"))};
	autofree char *path = place_of(to, json_string_value(json_object_get(head, "name")), err);
	if (!path)
		return -1;
	if (json_is_true(json_object_get(head, "archive")))
		return receive_dir(&in, path, err);
	return receive_file(&in, path, (mode_t)json_integer_value(json_object_get(head, "mode")), err);
}
