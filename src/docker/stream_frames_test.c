#include "base/mem.h"
#include "base/str.h"
#include "docker/stream_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const unsigned char wire[] = "\1\0\0\0\0\0\0\5hello\2\0\0\0\0\0\0\3bad\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\1!";

// Feeds wire in pieces of size bytes and gathers both kinds.
static void feed(size_t size, struct str *output, struct str *errors)
{
	struct stream_frames f = {0};
	for (size_t at = 0; at < sizeof wire - 1;) {
		size_t len = sizeof wire - 1 - at < size ? sizeof wire - 1 - at : size, used, done = 0;
		const unsigned char *payload;
		int kind;
		for (long n; (n = stream_frames_next(&f, wire + at + done, len - done, &kind, &payload, &used)) > 0;
			done += used)
			str_add(kind == STREAM_FRAMES_OUTPUT ? output : errors, payload, (size_t)n);
		assert_int_equal(done + used, len);
		at += len;
	}
}

static void pieces_of_any_size(void **state)
{
	for (size_t size = 1; size < sizeof wire; size++) {
		autostr struct str output = {0}, errors = {0};
		feed(size, &output, &errors);
		assert_string_equal(output.text, "hello!");
		assert_string_equal(errors.text, "bad");
	}
}

static void what_is_no_frame_is_refused(void **state)
{
	static const char *const wrong[] = {"HTTP/1.1", "\3\0\0\0\0\0\0\1", "\1\1\0\0\0\0\0\1", "\1\0\0\1\0\0\0\1"};
	for (size_t i = 0; i < countof(wrong); i++) {
		struct stream_frames f = {0};
		const unsigned char *payload;
		size_t used;
		int kind;
		assert_int_equal(
			stream_frames_next(&f, (const unsigned char *)wrong[i], 8, &kind, &payload, &used), -1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_of_any_size), cmocka_unit_test(what_is_no_frame_is_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
