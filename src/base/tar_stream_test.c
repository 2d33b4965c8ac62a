#include "base/archives.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tar_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[] = "/tmp/tar-test-XXXXXX";

static char *at(const char *name)
{
	return fs_join(root, name);
}

static void put(const char *name, const char *text, size_t len)
{
	autofree char *path = at(name);
	assert_int_equal(fs_write(path, text, len, 0640, NULL), 0);
}

static int make(void **state)
{
	static char big[100000];
	strcpy(root, "/tmp/tar-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	autofree char *tree = at("tree"), *deep = at("tree/sub"), *skip = at("tree/skip"), *link = at("tree/sub/link");
	assert_int_equal(mkdir(tree, 0700) | mkdir(deep, 0755) | mkdir(skip, 0755) | symlink("../../away", link), 0);
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(i * 7);
	put("tree/one", "1", 1);
	put("tree/empty", "", 0);
	put("tree/sub/big", big, sizeof big);
	put("tree/block", big, ARCHIVES_BLOCK);
	put("tree/skip/inside", "x", 1);
	return 0;
}

static int unmake(void **state)
{
	return fs_remove(root, NULL);
}

struct source {
	const char *bytes;
	size_t len;
};

static ssize_t next(void *buf, size_t size, void *data)
{
	struct source *s = data;
	size_t n = s->len < size ? s->len : size;
	memcpy(buf, s->bytes, n);
	s->bytes += n;
	s->len -= n;
	return (ssize_t)n;
}

// All of it, read in pieces of that size; owned by the caller.
static char *whole(const struct tar_stream *p, size_t piece)
{
	size_t size = tar_stream_size(p);
	char *bytes = mem_alloc(size + 1);
	struct tar_stream_reader *r = tar_stream_open(p);
	for (size_t have = 0; have < size;) {
		ssize_t n = tar_stream_read(r, have, bytes + have, size - have < piece ? size - have : piece, NULL);
		assert_true(n > 0);
		have += (size_t)n;
	}
	char more;
	assert_int_equal(tar_stream_read(r, size, &more, 1, NULL), 0);
	tar_stream_close(r);
	return bytes;
}

static void a_directory_can_be_unpacked(void **state)
{
	autofree char *tree = at("tree"), *skip = at("tree/skip"), *to = at("to");
	struct tar_stream *p = tar_stream_new(tree, skip, NULL, NULL);
	assert_non_null(p);
	assert_true(tar_stream_is_archive(p));
	autofree char *bytes = whole(p, 60000);
	struct source source = {bytes, tar_stream_size(p)};
	assert_int_equal(mkdir(to, 0755), 0);
	assert_int_equal(
		archives_unpack_from(&(struct archives_source){.name = "it", .read = next, .data = &source}, to, NULL),
		0);
	autofree char *command =
		mem_printf("rm -r %s/tree/skip && diff -r --no-dereference %s/tree %s/to", root, root, root);
	assert_int_equal(system(command), 0);
	struct stat st;
	autofree char *one = at("to/one");
	assert_int_equal(stat(one, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	tar_stream_free(p);
}

static void every_offset_gives_the_same_bytes(void **state)
{
	autofree char *tree = at("tree");
	struct tar_stream *p = tar_stream_new(tree, NULL, NULL, NULL);
	autofree char *bytes = whole(p, 1 << 20), *again = whole(p, 333);
	assert_memory_equal(bytes, again, tar_stream_size(p));
	struct tar_stream_reader *r = tar_stream_open(p);
	for (size_t offset = tar_stream_size(p); offset-- > 0; offset -= offset < 97 ? offset : 97) {
		char piece[700];
		ssize_t n = tar_stream_read(r, offset, piece, sizeof piece, NULL);
		assert_true(n > 0);
		assert_memory_equal(piece, bytes + offset, n);
	}
	tar_stream_close(r);
	tar_stream_free(p);
}

static void what_changes_is_named(void **state)
{
	static const struct {
		const char *command, *why;
	} cases[] = {
		{"echo more >>%s/tree/sub/big", "big' has changed"},
		{"touch -d 2001-01-01 %s/tree/sub/big", "big' has changed"},
		{"rm %s/tree/sub/big", "big' has disappeared"},
		{"cd %s/tree/sub && rm big && ln -s ../one big", "big' has disappeared"},
		{"cd %s/tree/sub && cp -p big other && mv other big", "big' has changed"},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		unmake(NULL);
		make(NULL);
		autofree char *tree = at("tree"), *command = mem_printf(cases[i].command, root);
		struct tar_stream *p = tar_stream_new(tree, NULL, NULL, NULL);
		struct tar_stream_reader *r = tar_stream_open(p);
		assert_int_equal(system(command), 0);
		struct error err = {0};
		char piece[4096];
		ssize_t n;
		for (uint64_t offset = 0; (n = tar_stream_read(r, offset, piece, sizeof piece, &err)) > 0;
			offset += (uint64_t)n)
			;
		assert_int_equal(n, -1);
		assert_non_null(strstr(err.text, cases[i].why));
		tar_stream_close(r);
		tar_stream_free(p);
	}
}

static void what_cannot_be_sent_is_refused(void **state)
{
	struct error err = {0};
	autofree char *none = at("none"), *pipe = at("tree/pipe"), *tree = at("tree"), *link = at("tree/sub/link");
	assert_null(tar_stream_new(none, NULL, NULL, &err));
	assert_non_null(strstr(err.text, "none': No such file"));
	assert_null(tar_stream_new(link, NULL, NULL, &err));
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_null(tar_stream_new(tree, NULL, NULL, &err));
	assert_non_null(strstr(err.text, "pipe' is neither"));
	assert_null(tar_stream_new(pipe, NULL, NULL, &err));
	atomic_bool cancelled = true;
	assert_null(tar_stream_new(tree, NULL, &cancelled, &err));
}

static void a_head_holds_any_size(void **state)
{
	static const uint64_t sizes[] = {0, 1, ((uint64_t)1 << 33) - 1, (uint64_t)1 << 33, (uint64_t)5 << 40};
	for (size_t i = 0; i < countof(sizes); i++) {
		autostr struct str head = {0};
		autofree char *file = at("head.tar"),
			      *command = mem_printf("tar -tvf %s/head.tar 2>/dev/null | grep -qw %llu", root,
				      (unsigned long long)sizes[i]);
		assert_int_equal(
			archives_head(&(struct archives_entry){.name = "x", .mode = S_IFREG | 0644, .size = sizes[i]},
				&head, NULL),
			0);
		assert_int_equal(head.len, ARCHIVES_BLOCK);
		assert_int_equal(fs_write(file, head.text, head.len, 0600, NULL), 0);
		assert_int_equal(system(command), 0);
	}
}

static void a_file_is_its_bytes(void **state)
{
	autofree char *big = at("tree/sub/big"), *empty = at("tree/empty");
	struct tar_stream *p = tar_stream_new(big, NULL, NULL, NULL);
	assert_false(tar_stream_is_archive(p));
	assert_int_equal(tar_stream_size(p), 100000);
	assert_int_equal(tar_stream_mode(p), 0640);
	autofree char *bytes = whole(p, 4097), *want = fs_read(big, 1 << 20, NULL, NULL);
	assert_memory_equal(bytes, want, 100000);
	tar_stream_free(p);
	p = tar_stream_new(empty, NULL, NULL, NULL);
	assert_int_equal(tar_stream_size(p), 0);
	free(whole(p, 10));
	tar_stream_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_directory_can_be_unpacked, make, unmake),
		cmocka_unit_test_setup_teardown(every_offset_gives_the_same_bytes, make, unmake),
		cmocka_unit_test_setup_teardown(what_changes_is_named, make, unmake),
		cmocka_unit_test_setup_teardown(what_cannot_be_sent_is_refused, make, unmake),
		cmocka_unit_test_setup_teardown(a_head_holds_any_size, make, unmake),
		cmocka_unit_test_setup_teardown(a_file_is_its_bytes, make, unmake),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
