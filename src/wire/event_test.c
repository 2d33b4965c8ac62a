#include "base/mem.h"
#include "wire/event.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text, struct error *err)
{
	return event_parse(text, strlen(text), err);
}

static void test_make_keeps_members_in_order(void **state)
{
	autojson json_t *last = json_pack("[s,s]", "a", "b");
	autojson json_t *event = event_make("exit", "s:i, s:n, s:s?, s:[i,s], s:{s:b}, s:O, s:s*, s:o*", "rank", 3,
		"status", "why", NULL, "list", 1, "x", "deep", "yes", 1, "last", last, "gone", NULL, "away", NULL);
	assert_true(event_is(event, "exit"));
	assert_true(json_real_value(json_object_get(event, "ts")) > 1e9);
	json_object_del(event, "ts");
	autofree char *line = event_print(event);
	assert_string_equal(line, "{\"type\":\"exit\",\"rank\":3,\"status\":null,\"why\":null,\"list\":[1,\"x\"],"
				  "\"deep\":{\"yes\":true},\"last\":["
				  "\"a\",\"b\"]}\n");
}

static void test_make_survives_bytes_and_nan(void **state)
{
	autojson json_t *event =
		event_make("warn", "s:s, s:f, s:s#", "why", "cut \xc3", "value", NAN, "part", "abcdef", 3);
	assert_string_equal(json_string_value(json_object_get(event, "why")), "cut \xef\xbf\xbd");
	assert_true(json_is_null(json_object_get(event, "value")));
	assert_string_equal(json_string_value(json_object_get(event, "part")), "abc");
}

static void test_print_is_one_line_and_round_trips(void **state)
{
	autojson json_t *event = event_make(
		"metric", "s:s, s:f, s:I", "name", "loss\nD\"", "value", 0.1, "step", (json_int_t)5000000000);
	autofree char *line = event_print(event);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_non_null(strstr(line, "\"value\":0.1,"));
	struct error err;
	autojson json_t *back = event_parse(line, strlen(line), &err);
	assert_non_null(back);
	double ts = json_number_value(json_object_get(event, "ts")),
	       ts_back = json_number_value(json_object_get(back, "ts"));
	assert_true(fabs(ts - ts_back) < 2e-6);
	json_object_del(event, "ts");
	json_object_del(back, "ts");
	assert_true(json_equal(event, back));
	assert_true(event_is_metric(back));
}

static void test_parse_refuses(void **state)
{
	static const struct {
		const char *line, *why;
	} bad[] = {
		{"", "not JSON"},
		{"{\"ts\":1,\"type\":\"run\"", "not JSON"},
		{"[1]", "not an object"},
		{"{\"type\":\"run\"}", "'ts'"},
		{"{\"ts\":\"1\",\"type\":\"run\"}", "'ts'"},
		{"{\"ts\":-1,\"type\":\"run\"}", "'ts'"},
		{"{\"ts\":1e11,\"type\":\"run\"}", "'ts'"},
		{"{\"ts\":1}", "unknown type ''"},
		{"{\"ts\":1,\"type\":\"explode\"}", "'explode'"},
		{"{\"ts\":1,\"type\":\"run\",\"ts\":2}", "duplicate"},
		{"{\"ts\":1,\"type\":\"run\"} x", "not JSON"},
		{"{\"ts\":1,\"type\":\"run\",\"x\":\"\xff\"}", "not JSON"},
	};
	for (size_t i = 0; i < countof(bad); i++) {
		struct error err = {0};
		assert_null(parse(bad[i].line, &err));
		assert_non_null(strstr(err.text, bad[i].why));
	}
}

static void test_parse_bounds_depth_and_size(void **state)
{
	struct error err = {0};
	char deep[256] = "{\"ts\":1,\"type\":\"run\",\"x\":";
	memset(deep + strlen(deep), '[', 100);
	assert_null(parse(deep, &err));
	assert_non_null(strstr(err.text, "nested"));
	// Brackets inside a text are no depth.
	char text[256] = "{\"ts\":1,\"type\":\"run\",\"x\":\"\\\"";
	memset(text + strlen(text), '[', 100);
	strcat(text, "\"}");
	autojson json_t *event = parse(text, &err);
	assert_non_null(event);

	size_t len = 5 << 20;
	autofree char *big = mem_alloc(len);
	memset(big, ' ', len);
	assert_null(event_parse(big, len, &err));
	assert_non_null(strstr(err.text, "at most"));
}

static void test_kinds(void **state)
{
	struct error err;
	autojson json_t *event = parse("{\"ts\":1,\"type\":\"end\"}\n", &err);
	assert_string_equal(event_type(event), "end");
	assert_false(event_is(event, "en"));
	assert_false(event_is_metric(event));
	autojson json_t *sample = parse("{\"ts\":1,\"type\":\"sample\"}", &err);
	assert_true(event_is_metric(sample));
	assert_false(event_is(NULL, "end"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_make_keeps_members_in_order),
		cmocka_unit_test(test_make_survives_bytes_and_nan),
		cmocka_unit_test(test_print_is_one_line_and_round_trips),
		cmocka_unit_test(test_parse_refuses),
		cmocka_unit_test(test_parse_bounds_depth_and_size),
		cmocka_unit_test(test_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
