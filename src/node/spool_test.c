#include "base/fs.h"
#include "base/mem.h"
#include "node/spool.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char dir[64];
};

static int set_up(void **state)
{
	struct place *p = mem_alloc(sizeof *p);
	strcpy(p->dir, "spool-test-XXXXXX");
	*state = p;
	return mkdtemp(p->dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	assert_int_equal(rmdir(p->dir), 0); // a spool has no name: nothing is left in the directory
	free(p);
	return 0;
}

static size_t next(struct spool *s, uint64_t *offset, char *buf, size_t size)
{
	memset(buf, 0, size);
	return spool_next(s, offset, buf, size);
}

static void test_goes_on_from_the_acknowledged_byte(void **state)
{
	struct place *p = *state;
	struct error err;
	struct spool *s = spool_new(p->dir, &err);
	char buf[64];
	uint64_t offset;
	assert_int_equal(next(s, &offset, buf, sizeof buf), 0);
	assert_int_equal(spool_add(s, "0123456789", 10), 0);
	assert_int_equal(next(s, &offset, buf, 4), 4);
	assert_int_equal(next(s, &offset, buf, sizeof buf), 6);
	assert_int_equal(offset, 4);
	assert_string_equal(buf, "456789");
	assert_false(spool_is_done(s));
	spool_rewind(s, 7); // the line broke; the other side has seven bytes
	assert_true(spool_pending(s));
	assert_int_equal(next(s, &offset, buf, sizeof buf), 3);
	assert_int_equal(offset, 7);
	assert_string_equal(buf, "789");
	spool_ack(s, 10);
	assert_true(spool_is_done(s));
	assert_false(spool_pending(s));
	spool_free(s);
}

static void test_does_not_believe_in_the_future(void **state)
{
	struct place *p = *state;
	struct spool *s = spool_new(p->dir, NULL);
	spool_add(s, "abc", 3);
	spool_ack(s, 1000);
	assert_int_equal(spool_acked(s), 0);
	spool_rewind(s, 1000);
	assert_int_equal(spool_acked(s), 3);
	spool_free(s);
}

static void test_holes_do_not_hurt_what_is_not_acknowledged(void **state)
{
	struct place *p = *state;
	struct spool *s = spool_new(p->dir, NULL);
	enum { PIECE = 1 << 20, PIECES = 40 };
	autofree char *piece = mem_alloc(PIECE), *buf = mem_alloc(PIECE);
	uint64_t offset = 0;
	for (int i = 0; i < PIECES; i++) {
		memset(piece, 'a' + i % 26, PIECE);
		assert_int_equal(spool_add(s, piece, PIECE), 0);
	}
	for (int i = 0; i < PIECES; i++) {
		assert_int_equal(spool_next(s, &offset, buf, PIECE), PIECE);
		memset(piece, 'a' + i % 26, PIECE);
		assert_memory_equal(buf, piece, PIECE);
		spool_ack(s, offset + PIECE);
	}
	assert_true(spool_is_done(s));
	spool_free(s);
}

// A full disk: here, a file that may not grow beyond 100,000 bytes. Nothing is lost, and it goes on when there is room.
static void test_full_disk(void **state)
{
	struct place *p = *state;
	struct spool *s = spool_new(p->dir, NULL);
	struct rlimit before, small;
	getrlimit(RLIMIT_FSIZE, &before);
	small = before;
	small.rlim_cur = 100 * 1000;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &small);
	static char text[150 * 1000], buf[200 * 1000];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('A' + i % 26);
	assert_int_equal(spool_add(s, text, sizeof text), -1);
	assert_int_equal(spool_end(s), sizeof text);
	assert_int_equal(spool_flush(s), -1);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(spool_flush(s), 0);
	uint64_t offset;
	assert_int_equal(spool_next(s, &offset, buf, sizeof buf), sizeof text);
	assert_memory_equal(buf, text, sizeof text);
	spool_free(s);
}

// From memory into a file in the middle of a conversation, with bytes of all kinds: acknowledged, sent, not sent.
static void test_grows_out_of_memory(void **state)
{
	struct place *p = *state;
	struct spool *s = spool_new(p->dir, NULL);
	enum { PIECE = 10 * 1000, PIECES = 30 };
	char piece[PIECE], buf[PIECE];
	uint64_t offset, read = 0;
	for (int i = 0; i < PIECES; i++) {
		memset(piece, 'a' + i % 26, PIECE);
		assert_int_equal(spool_add(s, piece, PIECE), 0);
		if (i % 3 != 0)
			continue;
		size_t n = spool_next(s, &offset, buf, PIECE / 2);
		assert_int_equal(offset, read);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(buf[k], 'a' + (char)((offset + k) / PIECE % 26));
		read += n;
		spool_ack(s, read - PIECE / 4);
	}
	spool_rewind(s, spool_acked(s));
	for (read = spool_acked(s); read < spool_end(s);) {
		size_t n = spool_next(s, &offset, buf, PIECE / 3);
		assert_true(n > 0);
		assert_int_equal(offset, read);
		for (size_t k = 0; k < n; k++)
			assert_int_equal(buf[k], 'a' + (char)((offset + k) / PIECE % 26));
		read += n;
	}
	assert_int_equal(read, PIECE * PIECES);
	spool_ack(s, read);
	assert_true(spool_is_done(s));
	spool_free(s);
}

static void test_full_disk_with_bytes_in_memory(void **state)
{
	struct place *p = *state;
	struct spool *s = spool_new(p->dir, NULL);
	struct rlimit before, none;
	enum { MEMORY = 64 << 10 }; // as much as is kept there
	static char text[60 * 1000], buf[120 * 1000];
	memset(text, 'x', sizeof text);
	assert_int_equal(spool_add(s, text, sizeof text), 0);
	getrlimit(RLIMIT_FSIZE, &before);
	none = before;
	none.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &none);
	assert_int_equal(spool_add(s, text, sizeof text), -1);
	uint64_t offset;
	assert_int_equal(spool_next(s, &offset, buf, sizeof buf), MEMORY);
	setrlimit(RLIMIT_FSIZE, &before);
	assert_int_equal(spool_flush(s), 0);
	assert_int_equal(spool_end(s), 2 * sizeof text);
	assert_int_equal(spool_next(s, &offset, buf, sizeof buf), 2 * sizeof text - MEMORY);
	assert_int_equal(offset, MEMORY);
	assert_memory_equal(buf, text, 2 * sizeof text - MEMORY);
	spool_free(s);
}

// A disk that stays full ends nothing: what is acknowledged makes room in memory for what waits.
static void test_full_disk_for_good(void **state)
{
	struct place *p = *state;
	struct rlimit before, small;
	static char text[500 * 1000], got[sizeof text];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('A' + i % 26);
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	for (size_t limit = 0; limit < sizeof text; limit += sizeof text / 4) {
		struct spool *s = spool_new(p->dir, NULL);
		small = (struct rlimit){.rlim_cur = limit, .rlim_max = before.rlim_max};
		setrlimit(RLIMIT_FSIZE, &small);
		int rc = spool_add(s, text, sizeof text);
		size_t read = 0;
		for (int round = 0; round < 1000 && read < sizeof text; round++) {
			uint64_t offset = 0;
			size_t n = spool_next(s, &offset, got + read, sizeof got - read);
			if (n)
				spool_ack(s, offset + n);
			read += n;
			spool_flush(s);
		}
		setrlimit(RLIMIT_FSIZE, &before);
		assert_int_equal(rc, -1);
		assert_int_equal(read, sizeof text);
		assert_memory_equal(got, text, sizeof text);
		assert_true(spool_is_done(s));
		spool_free(s);
	}
}

static void test_file(void **state)
{
	struct place *p = *state;
	autofree char *path = fs_join(p->dir, "file");
	char buf[64];
	uint64_t offset;
	assert_int_equal(fs_write(path, "hello", 5, 0600, NULL), 0);
	struct spool *s = spool_of_file(AT_FDCWD, path, 5);
	assert_int_equal(next(s, &offset, buf, sizeof buf), 5);
	assert_string_equal(buf, "hello");
	spool_rewind(s, 2);
	assert_int_equal(next(s, &offset, buf, sizeof buf), 3);
	assert_string_equal(buf, "llo");
	spool_free(s);
	struct spool *longer = spool_of_file(AT_FDCWD, path, 9); // it has become shorter since it was listed
	assert_int_equal(next(longer, &offset, buf, sizeof buf), 5);
	assert_int_equal(next(longer, &offset, buf, sizeof buf), 0);
	assert_non_null(spool_failed(longer));
	assert_true(spool_is_done(longer));
	spool_free(longer);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_on_from_the_acknowledged_byte, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_does_not_believe_in_the_future, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_holes_do_not_hurt_what_is_not_acknowledged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk_with_bytes_in_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full_disk_for_good, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_grows_out_of_memory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_file, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
