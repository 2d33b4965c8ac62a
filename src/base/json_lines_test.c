#include "base/json.h"
#include "base/json_lines.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct heard {
	struct str names;
	size_t most;
	size_t count;
};

static int hear(const json_t *line, void *data, struct error *err)
{
	struct heard *h = data;
	str_printf(&h->names, "%s ", json_text_or(line, "n", "?"));
	return ++h->count == h->most ? error_set(err, ERROR_SYSTEM, "enough") : 0;
}

static const char text[] = "{\"n\": \"a\"}\n\n{\"n\": \"b\"}\r\nno json\n[1]\n{\"n\": \"c\"}";

static void lines_are_put_together(void **state)
{
	for (size_t piece = 1; piece <= sizeof text; piece++) {
		struct heard h = {0};
		struct json_lines l = {.on_line = hear, .data = &h};
		size_t end = strlen(text);
		for (size_t at = 0; at < end; at += piece)
			assert_int_equal(json_lines_add(&l, text + at, at + piece < end ? piece : end - at, NULL), 0);
		assert_string_equal(h.names.text, "a b ");
		assert_int_equal(json_lines_end(&l, NULL), 0);
		assert_string_equal(h.names.text, "a b c ");
		json_lines_fini(&l);
		str_fini(&h.names);
	}
}

static void a_line_may_be_refused(void **state)
{
	struct heard h = {.most = 2};
	struct json_lines l = {.on_line = hear, .data = &h};
	struct error err = {0};
	assert_int_equal(json_lines_add(&l, text, strlen(text), &err), -1);
	assert_true(l.refused);
	assert_string_equal(err.text, "enough");
	json_lines_fini(&l);
	str_fini(&h.names);
}

static void an_endless_line_is_refused(void **state)
{
	struct heard h = {0};
	struct json_lines l = {.on_line = hear, .data = &h};
	struct error err = {0};
	autofree char *much = mem_alloc(1 << 20);
	memset(much, 'x', 1 << 20);
	int rc = 0, pieces = 0;
	while (rc == 0 && pieces++ < 100)
		rc = json_lines_add(&l, much, 1 << 20, &err);
	assert_int_equal(pieces, 9);
	assert_false(l.refused);
	assert_non_null(strstr(err.text, "longer than"));
	json_lines_fini(&l);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(lines_are_put_together),
		cmocka_unit_test(a_line_may_be_refused),
		cmocka_unit_test(an_endless_line_is_refused),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
