#include "base/archives.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

// An entry of an archive a test makes.
struct item {
	const char *name;
	mode_t type; // AE_IFREG, ...; 0 with link: a hard link
	mode_t mode;
	const char *link;
	const char *text;
};

struct rank_container {
	char root[32]; // holds "archive", "in/" to unpack to, and "outside"
	char *archive, *in, *outside;
};

static void setup(struct rank_container *box)
{
	strcpy(box->root, "/tmp/tar-test-XXXXXX");
	assert_non_null(mkdtemp(box->root));
	box->archive = fs_join(box->root, "archive");
	box->in = fs_join(box->root, "in");
	box->outside = fs_join(box->root, "outside");
	assert_int_equal(mkdir(box->in, 0755), 0);
	assert_int_equal(fs_write(box->outside, "safe", 4, 0644, NULL), 0);
}

static void teardown(struct rank_container *box)
{
	autofree char *text = fs_read(box->outside, 100, NULL, NULL); // whatever happened, it did not happen there
	assert_string_equal(text, "safe");
	assert_int_equal(fs_remove(box->root, NULL), 0);
	free(box->archive);
	free(box->in);
	free(box->outside);
}

static void write_archive(const char *path, const char *format, const char *filter, const struct item *items, size_t n)
{
	struct archive *a = archive_write_new();
	assert_int_equal(archive_write_set_format_by_name(a, format), ARCHIVE_OK);
	if (filter)
		assert_int_equal(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *e = archive_entry_new();
		archive_entry_copy_pathname(e, items[i].name);
		archive_entry_set_perm(e, items[i].mode);
		archive_entry_set_mtime(e, 1, 0);
		if (items[i].type)
			archive_entry_set_filetype(e, items[i].type);
		if (items[i].type == AE_IFLNK)
			archive_entry_copy_symlink(e, items[i].link);
		else if (items[i].link)
			archive_entry_copy_hardlink(e, items[i].link);
		if (items[i].type == AE_IFBLK)
			archive_entry_set_rdev(e, makedev(7, 0));
		size_t len = items[i].text ? strlen(items[i].text) : 0;
		if (items[i].type == AE_IFREG)
			archive_entry_set_size(e, (la_int64_t)len);
		assert_true(archive_write_header(a, e) >= ARCHIVE_WARN);
		if (len)
			assert_int_equal(archive_write_data(a, items[i].text, len), len);
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

static void assert_file(const struct rank_container *box, const char *name, const char *want, int mode)
{
	autofree char *path = fs_join(box->in, name);
	autofree char *text = fs_read(path, 1000, NULL, NULL);
	assert_non_null(text);
	assert_string_equal(text, want);
	struct stat st;
	assert_int_equal(lstat(path, &st), 0);
	if (mode >= 0)
		assert_int_equal(st.st_mode & 07777, mode);
}

static void every_format_is_unpacked(void **state)
{
	static const struct {
		const char *format, *filter;
	} kinds[] = {
		{"ustar", NULL}, {"gnutar", "gzip"}, {"pax", "xz"}, {"pax", "zstd"}, {"ustar", "bzip2"}, {"zip", NULL}};
	static const struct item items[] = {
		{"./", AE_IFDIR, 0700, NULL, NULL},
		{"./top.txt", AE_IFREG, 0644, NULL, "top"},
		{"dir/", AE_IFDIR, 0555, NULL, NULL},
		{"dir/run.sh", AE_IFREG, 04755, NULL, "#!"},
		{"deep/er/than/told", AE_IFREG, 0600, NULL, "deep"},
		{"dir/link", AE_IFLNK, 0777, "../top.txt", NULL},
		{"empty", AE_IFREG, 0644, NULL, ""},
		{"s p\xc3\xa9", AE_IFREG, 0644, NULL, "name"},
	};
	for (size_t i = 0; i < countof(kinds); i++) {
		struct rank_container box;
		setup(&box);
		write_archive(box.archive, kinds[i].format, kinds[i].filter, items, countof(items));
		struct error err = {0};
		uint64_t bytes = 0;
		if (archives_unpack(box.archive, box.in, NULL, NULL, &bytes, &err) < 0)
			fail_msg("%s %s: %s", kinds[i].format, kinds[i].filter ? kinds[i].filter : "", err.text);
		assert_int_equal(bytes, 3 + 2 + 4 + 4);
		assert_file(&box, "top.txt", "top", 0644);
		assert_file(&box, "dir/run.sh", "#!", 0755);
		assert_file(&box, "deep/er/than/told", "deep", 0600);
		assert_file(&box, "dir/link", "top", -1);
		assert_file(&box, "empty", "", 0644);
		assert_file(&box, "s p\xc3\xa9", "name", 0644);
		teardown(&box);
	}
}

static void hard_links_and_replacements_work(void **state)
{
	struct rank_container box;
	setup(&box);
	static const struct item items[] = {
		{"a", AE_IFREG, 0644, NULL, "one"}, {"sub/b", 0, 0644, "a", NULL}, {"b", AE_IFLNK, 0777, "a", NULL},
		{"b", AE_IFREG, 0644, NULL, "two"}, // replaces the link, not what it leads to
	};
	write_archive(box.archive, "ustar", NULL, items, countof(items));
	struct error err = {0};
	if (archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	assert_file(&box, "a", "one", -1);
	assert_file(&box, "sub/b", "one", -1);
	assert_file(&box, "b", "two", -1);
	teardown(&box);
}

static void refuse(const struct item *items, size_t n, const char *entry, const char *why)
{
	static const char *const formats[] = {"gnutar", "zip"};
	for (size_t i = 0; i < countof(formats); i++) {
		bool zip = strcmp(formats[i], "zip") == 0;
		if (zip && (items[n - 1].type == 0 || items[n - 1].type == AE_IFBLK || items[n - 1].type == AE_IFIFO))
			continue; // it has no such entries
		struct rank_container box;
		setup(&box);
		write_archive(box.archive, formats[i], NULL, items, n);
		struct error err = {0};
		assert_int_equal(archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err), -1);
		autofree char *named = mem_printf("entry '%s'", entry);
		if (!strstr(err.text, named) || !strstr(err.text, why) || !strstr(err.text, box.archive))
			fail_msg("'%s' does not say '%s' or '%s'", err.text, named, why);
		teardown(&box);
	}
}

#define REFUSE(entry, why, ...)                                                                                        \
	refuse((const struct item[]){__VA_ARGS__}, countof(((const struct item[]){__VA_ARGS__})), entry, why)

static void nothing_escapes(void **state)
{
	REFUSE("../outside", "points outside", {"../outside", AE_IFREG, 0644, NULL, "bad"});
	REFUSE("/tmp/tar-test-escape", "points outside", {"/tmp/tar-test-escape", AE_IFREG, 0644, NULL, "bad"});
	REFUSE("a/../../outside", "points outside", {"a/../../outside", AE_IFREG, 0644, NULL, "bad"});
	REFUSE("l", "points outside", {"l", AE_IFLNK, 0777, "../outside", NULL});
	REFUSE("l", "points outside", {"l", AE_IFLNK, 0777, "/etc", NULL});
	REFUSE("d/l", "points outside", {"d/l", AE_IFLNK, 0777, "../../outside", NULL});
	REFUSE("d/l", "points outside", {"d/l", AE_IFLNK, 0777, "x/../../../outside", NULL});
	REFUSE("a/b/l", "points outside", {"a/b/up", AE_IFLNK, 0777, "../..", NULL},
		{"a/b/l", AE_IFLNK, 0777, "up/../outside", NULL});
	REFUSE("h", "points outside", {"h", 0, 0644, "../outside", NULL});
	REFUSE("h", "points outside", {"h", 0, 0644, "/etc/passwd", NULL});
	REFUSE("h", "no file", {"l", AE_IFLNK, 0777, "x", NULL}, {"h", 0, 0644, "l", NULL});
	REFUSE("h", "No such file", {"h", 0, 0644, "none", NULL});
	REFUSE("dev", "neither", {"dev", AE_IFBLK, 0644, NULL, NULL});
	REFUSE("pipe", "neither", {"pipe", AE_IFIFO, 0644, NULL, NULL});
	REFUSE("l/f", "", {"d/", AE_IFDIR, 0755, NULL, NULL}, {"l", AE_IFLNK, 0777, "d", NULL},
		{"l/f", AE_IFREG, 0644, NULL, "through a link"});
}

static void links_that_are_there_lead_nowhere(void **state)
{
	struct rank_container box;
	setup(&box);
	autofree char *link = fs_join(box.in, "l");
	assert_int_equal(symlink(box.root, link), 0);
	static const struct item items[] = {{"l/outside", AE_IFREG, 0644, NULL, "bad"}};
	write_archive(box.archive, "ustar", NULL, items, 1);
	struct error err = {0};
	assert_int_equal(archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err), -1);
	assert_non_null(strstr(err.text, "entry 'l/outside'"));
	teardown(&box);
}

static void what_is_no_archive_is_refused(void **state)
{
	struct rank_container box;
	setup(&box);
	struct error err = {0};
	assert_int_equal(archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err), -1); // none
	assert_non_null(strstr(err.text, box.archive));
	assert_int_equal(fs_write(box.archive, "this is no archive", 18, 0644, NULL), 0);
	assert_int_equal(archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err), -1);
	assert_int_equal(fs_write(box.archive, "", 0, 0644, NULL), 0);
	assert_int_equal(archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err), -1);
	autofree char *big = mem_alloc(1000001);
	for (uint32_t i = 0, seed = 1; i < 1000000; i++) // something that cannot be compressed to less than the header
		big[i] = (char)(' ' + (seed = seed * 1664525 + 1013904223) / 65536 % 95);
	const struct item items[] = {{"big", AE_IFREG, 0644, NULL, big}};
	write_archive(box.archive, "ustar", "gzip", items, 1);
	struct stat st;
	stat(box.archive, &st);
	assert_int_equal(truncate(box.archive, st.st_size / 2), 0);
	assert_int_equal(archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err), -1);
	if (!strstr(err.text, "entry 'big'"))
		fail_msg("%s", err.text);
	assert_int_equal(archives_unpack(box.archive, "/nonexistent", NULL, NULL, NULL, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent"));
	teardown(&box);
}

static void on_progress(uint64_t bytes, void *data)
{
	*(uint64_t *)data = bytes;
}

static void a_write_that_fails_is_said(void **state)
{
	struct rank_container box;
	setup(&box);
	autofree char *big = mem_alloc(1000001);
	memset(big, 'x', 1000000);
	const struct item items[] = {{"small", AE_IFREG, 0644, NULL, "s"}, {"big", AE_IFREG, 0644, NULL, big}};
	write_archive(box.archive, "ustar", "gzip", items, 2);
	uint64_t told = 0, bytes = 0;
	assert_int_equal(archives_unpack(box.archive, box.in, on_progress, &told, &bytes, NULL), 0);
	assert_int_equal(told, 1000001);
	assert_int_equal(bytes, 1000001);
	struct rlimit old, tight = {.rlim_cur = 500000};
	getrlimit(RLIMIT_FSIZE, &old);
	tight.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &tight);
	struct error err = {0};
	int rc = archives_unpack(box.archive, box.in, NULL, NULL, NULL, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.text, "entry 'big': cannot write: File too large"));
	teardown(&box);
}

// What gzip makes is read again, ends where the stream ends, and is the same each time.
static void test_gzip(void **state)
{
	struct str text = {0}, once = {0}, again = {0};
	for (int i = 0; i < 50000; i++)
		str_printf(&text, "%d\n", i * 37 % 9973);
	assert_int_equal(archives_gzip(text.text, text.len, &once, NULL), 0);
	assert_int_equal(archives_gzip(text.text, text.len, &again, NULL), 0);
	assert_int_equal(once.len, again.len);
	assert_memory_equal(once.text, again.text, once.len);
	unsigned char *end = (unsigned char *)once.text + once.len - 4;
	assert_int_equal(end[0] | end[1] << 8 | end[2] << 16 | end[3] << 24, text.len); // RFC 1952: ISIZE is last
	struct archive *a = archive_read_new();
	archive_read_support_filter_gzip(a);
	archive_read_support_format_raw(a);
	assert_int_equal(archive_read_open_memory(a, once.text, once.len), ARCHIVE_OK);
	struct archive_entry *e;
	assert_int_equal(archive_read_next_header(a, &e), ARCHIVE_OK);
	autofree char *back = mem_alloc(text.len + 1);
	assert_int_equal(archive_read_data(a, back, text.len + 1), text.len);
	assert_memory_equal(back, text.text, text.len);
	archive_read_free(a);
	str_fini(&text);
	str_fini(&once);
	str_fini(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_is_unpacked),
		cmocka_unit_test(hard_links_and_replacements_work),
		cmocka_unit_test(nothing_escapes),
		cmocka_unit_test(links_that_are_there_lead_nowhere),
		cmocka_unit_test(what_is_no_archive_is_refused),
		cmocka_unit_test(a_write_that_fails_is_said),
		cmocka_unit_test(test_gzip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
