#define OPENSSL_SUPPRESS_DEPRECATED // what comes after these would bring 5 MB
#include "loader/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
	GZIP_ONLY = 16 + MAX_WBITS, // for inflateInit2
	HEAP = 64 * 1024,           // zlib takes 40 KiB: its state and a window of 32 KiB
};

// The process lives for one agent: all memory is here, and there is no malloc to link.
static struct {
	z_stream zlib;
	SHA256_CTX hash;
	int to;
	bool complete; // the end of the gzip stream has come
	size_t used;   // of the heap
	_Alignas(16) unsigned char heap[HEAP];
	unsigned char in[64 * 1024], out[256 * 1024];
} u;

static void *take(void *data, unsigned count, unsigned size)
{
	(void)data;
	size_t len = ((size_t)count * size + 15) & ~(size_t)15;
	if (len > HEAP - u.used)
		return NULL;
	u.used += len;
	return u.heap + u.used - len;
}

static void give(void *data, void *memory)
{
	(void)data;
	(void)memory;
}

static int fail(struct unpack_error *err, const char *what, const char *name, int number)
{
	snprintf(err->text, sizeof err->text, "%s%s%s%s%s%s", what, name ? " '" : "", name ? name : "", name ? "'" : "",
		number ? ": " : "", number ? strerror(number) : "");
	return -1;
}

// Somebody or something has changed the ConfigMaps.
static int refuse(struct unpack_error *err, const char *what)
{
	snprintf(err->text, sizeof err->text, "the agent's parts %s: `muster reap` removes them", what);
	return -1;
}

void unpack_begin(int to)
{
	u.used = 0;
	u.complete = false;
	u.to = to;
	u.zlib = (z_stream){.zalloc = take, .zfree = give};
	inflateInit2(&u.zlib, GZIP_ONLY); // it cannot fail: the heap is large enough
	SHA256_Init(&u.hash);
}

static int write_all(const unsigned char *bytes, size_t len, struct unpack_error *err)
{
	SHA256_Update(&u.hash, bytes, len);
	while (len && u.to >= 0) {
		ssize_t n = write(u.to, bytes, len);
		if (n < 0 && errno != EINTR)
			return fail(err, "cannot write the agent", NULL, errno);
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int unpack_add(const void *bytes, size_t len, struct unpack_error *err)
{
	u.zlib.next_in = (unsigned char *)bytes;
	u.zlib.avail_in = (unsigned)len;
	do {
		if (u.complete)
			return len ? refuse(err, "go on after the end of the agent") : 0;
		u.zlib.next_out = u.out;
		u.zlib.avail_out = sizeof u.out;
		int rc = inflate(&u.zlib, Z_NO_FLUSH);
		u.complete = rc == Z_STREAM_END;
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return refuse(err, "are damaged");
		if (write_all(u.out, sizeof u.out - u.zlib.avail_out, err))
			return -1;
	} while (u.zlib.avail_in || u.zlib.avail_out == 0);
	return 0;
}

int unpack_end(const char *sha256, struct unpack_error *err)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	char hex[2 * sizeof sum + 1];
	if (!u.complete)
		return refuse(err, "end before the end of the agent");
	SHA256_Final(sum, &u.hash);
	for (size_t i = 0; i < 2 * sizeof sum; i++)
		hex[i] = "0123456789abcdef"[sum[i / 2] >> (i % 2 ? 0 : 4) & 15];
	hex[sizeof hex - 1] = 0;
	if (strcmp(hex, sha256) == 0)
		return 0;
	char what[256];
	snprintf(what, sizeof what, "are not those of the agent (SHA-256 %s, expected %.64s)", hex, sha256);
	return refuse(err, what);
}

static int add_file(const char *path, struct unpack_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : fail(err, "cannot read", path, errno);
	int rc = 0;
	for (ssize_t n = 1; rc == 0 && n != 0;) {
		n = read(fd, u.in, sizeof u.in);
		if (n < 0 && errno != EINTR)
			rc = fail(err, "cannot read", path, errno);
		else if (n > 0)
			rc = unpack_add(u.in, (size_t)n, err);
	}
	close(fd);
	return rc;
}

int unpack_parts(const char *dir, const char *sha256, int to, struct unpack_error *err)
{
	char path[256];
	int rc = 0;
	unpack_begin(to);
	for (int i = 0; rc == 0; i++) {
		snprintf(path, sizeof path, "%s/%d", dir, i);
		rc = add_file(path, err);
		if (rc > 0 && i == 0)
			return fail(err, "cannot find the agent's first part", path, 0);
	}
	return rc < 0 ? -1 : unpack_end(sha256, err);
}
