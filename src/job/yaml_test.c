#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct yaml_origin origin = {"f.yaml", 1, 1};

static struct yaml *parse(const char *text)
{
	struct error err;
	struct yaml *node = yaml_parse(text, strlen(text), &origin, &err);
	if (!node)
		fail_msg("%s", err.text);
	return node;
}

static void refuse_bytes(const char *text, size_t len, const char *want)
{
	struct error err = {0};
	assert_null(yaml_parse(text, len, &origin, &err));
	assert_int_equal(err.code, ERROR_USAGE);
	if (!strstr(err.text, want))
		fail_msg("'%s' is not in '%s'", want, err.text);
}

static void refuse(const char *text, const char *want)
{
	refuse_bytes(text, strlen(text), want);
}

static void test_places(void **state)
{
	struct yaml *node = parse("a: 1\nb:\n  - x\n  - {c: 'ä y', d: }\n");
	assert_int_equal(node->kind, YAML_MAP);
	assert_int_equal(node->count, 2);
	assert_string_equal(node->entries[1].key, "b");
	assert_int_equal(node->entries[1].line, 2);
	assert_int_equal(node->entries[1].column, 1);
	const struct yaml *list = yaml_find(node, "b");
	assert_int_equal(list->kind, YAML_LIST);
	const struct yaml *map = list->entries[1].value;
	assert_int_equal(map->line, 4);
	assert_int_equal(map->column, 5);
	assert_int_equal(map->entries[1].column, 16); // in characters
	assert_string_equal(yaml_find(map, "c")->text, "ä y");
	assert_false(yaml_find(map, "c")->plain);
	assert_true(yaml_is_null(yaml_find(map, "d")));
	assert_null(yaml_find(map, "e"));
	assert_null(yaml_find(list, "c"));
	yaml_discard(node);
}

static void test_origin_of_an_option(void **state)
{
	struct error err = {0};
	assert_null(yaml_parse("{a: 1, a: 2}", 12, &(struct yaml_origin){"--set x", 0, 11}, &err));
	assert_string_equal(err.text, "--set x: column 18: found the key 'a' a second time, expected each key once");
}

static void test_put_and_wrap(void **state)
{
	struct yaml *map = yaml_new(NULL, "f", 1, 1);
	char key[8];
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof key, "k%d", i % 50);
		yaml_put(map, key, 1, i, yaml_new(key, "f", 1, 1));
	}
	assert_int_equal(map->count, 50);
	assert_int_equal(map->entries[49].column, 99);
	struct yaml *word = yaml_find(map, "k7");
	yaml_wrap(word, "inner");
	assert_int_equal(word->kind, YAML_MAP);
	assert_string_equal(yaml_find(word, "inner")->text, "k7");
	yaml_discard(map);
}

static void test_aliases(void **state)
{
	struct yaml *node = parse("a: &x [1, {b: 2}]\nc: *x\nd: &x other\ne: *x\n");
	const struct yaml *copy = yaml_find(node, "c");
	assert_ptr_not_equal(copy, yaml_find(node, "a"));
	assert_string_equal(yaml_find(copy->entries[1].value, "b")->text, "2");
	assert_int_equal(copy->line, 1); // where it was written
	assert_string_equal(yaml_find(node, "e")->text, "other");
	yaml_discard(node);
}

static void test_billion_laughs(void **state)
{
	autostr struct str s = {0};
	str_puts(&s, "a0: &a0 lol\n");
	for (int i = 1; i < 30; i++) {
		str_printf(&s, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			str_printf(&s, "%s*a%d", k ? "," : "", i - 1);
		str_puts(&s, "]\n");
	}
	double start = clock_cpu();
	refuse(s.text, "found more than 20000 values");
	assert_true(clock_cpu() - start < 1);
}

static void test_deep(void **state)
{
	enum { DEEP = 100000 };
	static const char *const openers[] = {"[", "{a: ", "- ", "? "};
	for (size_t i = 0; i < countof(openers); i++) {
		autostr struct str s = {0};
		for (int k = 0; k < DEEP / 4; k++)
			str_puts(&s, openers[i]);
		double start = clock_cpu();
		refuse(s.text, i < 3 ? "expected at most 32 levels" : "found");
		assert_true(clock_cpu() - start < 1);
	}
	// Aliases nest, too.
	autostr struct str s = {0};
	str_puts(&s, "a0: &a0 [x]\n");
	for (int i = 1; i < 40; i++)
		str_printf(&s, "a%d: &a%d [*a%d]\n", i, i, i - 1);
	refuse(s.text, "expected at most 32 levels");
}

static void test_large(void **state)
{
	enum { GARBAGE = 10 << 20 };
	autofree char *text = mem_alloc(GARBAGE);
	unsigned seed = 1;
	for (size_t i = 0; i < GARBAGE; i++)
		text[i] = (char)((seed = seed * 1103515245 + 12345) >> 16);
	refuse_bytes(text, GARBAGE, "f.yaml: found 10485760 bytes, expected at most 1 MiB");
	refuse_bytes(text, YAML_MAX_BYTES, "found");
	memset(text, 'x', YAML_MAX_BYTES);
	struct yaml *node = yaml_parse(text, YAML_MAX_BYTES, &origin, NULL);
	assert_int_equal(strlen(node->text), YAML_MAX_BYTES);
	yaml_discard(node);
	autostr struct str many = {0};
	for (int i = 0; i < 20001; i++)
		str_puts(&many, "- a\n");
	refuse(many.text, "f.yaml:20000:3: found more than 20000 values");
}

// Of so many keys, anchors and aliases each is found without a look at all others: else this takes minutes.
static void test_large_maps(void **state)
{
	enum { MANY = 100000 };
	struct yaml_limits limits = {64 << 20, 3 * MANY};
	autostr struct str s = {0};
	for (int i = 0; i < MANY; i++)
		str_printf(&s, "k%d: &a%d v%d\n", i, i, i);
	size_t once = s.len;
	for (int i = 0; i < MANY; i++)
		str_printf(&s, "c%d: *a%d\n", i, i);
	struct yaml *node = yaml_parse_large(s.text, s.len, &origin, limits, NULL);
	assert_int_equal(node->count, 2 * MANY);
	for (size_t i = 0; i < MANY; i++)
		assert_string_equal(node->entries[MANY + i].value->text, node->entries[i].value->text);
	yaml_discard(node);
	struct error err = {0};
	s.len = once;
	str_puts(&s, "k7: again\n");
	assert_null(yaml_parse_large(s.text, s.len, &origin, limits, &err));
	assert_string_equal(err.text,
		"f.yaml:100001:1: found the key 'k7' a second time (first on line 8), expected each key once");
}

static void test_bad_bytes(void **state)
{
	refuse_bytes("a: \0b", 5, "f.yaml:1:4: found a NUL byte");
	refuse("a: ä\nb: \xff", "f.yaml:2:4: found the byte 0xff, expected text in UTF-8");
	refuse_bytes("\xff\xfe"
		     "a\0:\0",
		6, "f.yaml:1:1: found the byte 0xff");
	refuse("a: \x01", "f.yaml:1:4: found a control character (0x01)");
	refuse("a: \"\\0\"", "found a NUL character");
	refuse("a:\n\t- b", "f.yaml:2:1: found a tab");
	refuse("ä: [ä,\n\tb: {", "f.yaml:");
	struct yaml *node = parse("\xef\xbb\xbf"
				  "a: b");
	assert_string_equal(yaml_find(node, "a")->text, "b");
	yaml_discard(node);
}

static void test_documents(void **state)
{
	refuse("", "f.yaml:1:1: found nothing");
	refuse("# only a comment\n", "found nothing");
	refuse("--- a\n--- b\n", "found a second document");
	refuse("a: b\n...\n---\nc", "found a second document");
	refuse("%YAML 2.0\n--- a\n", "found no valid YAML");
	refuse("a: 1\na: 2\n", "f.yaml:2:1: found the key 'a' a second time (first on line 1)");
	refuse("? [a]\n: b", "found a key that is no text");
	refuse("*a", "found the alias '*a', expected '&a' before it");
	refuse("&a [*a]", "expected no loops");
	refuse("!!int 1", "found the tag");
	struct yaml *node = parse("--- !!str 1\n...\n");
	assert_false(node->plain);
	yaml_discard(node);
}

static void test_describe(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {{"[a]", "a list"}, {"{a: b}", "a map"}, {"~", "nothing"}, {"null", "nothing"},
		{"'null'", "'null'"}, {"\"a\\nb\\x07\"", "'a\\nb\\x07'"},
		{"{rank}", "the map {rank}, which is a text only in quotes,"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaää",
			"'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"}};
	for (size_t i = 0; i < countof(cases); i++) {
		struct yaml *node = parse(cases[i].text);
		autofree char *got = yaml_describe(node);
		assert_string_equal(got, cases[i].want);
		yaml_discard(node);
	}
	autofree char *bytes = yaml_quote("a\xff");
	assert_string_equal(bytes, "'a\xef\xbf\xbd'");
}

static void test_json(void **state)
{
	struct yaml *node =
		parse("{a: [1, -2, 0644, 0o17, 0x1F, 1.5, 1e3, .5, 09], b: [true, FALSE, yes, ~, '', '1', 0o9],\n"
		      "c: [99999999999999999999, 1e999, 1.2.3, -, ., 12a, .nan, 'true', 0x, e1], d: {}, e: []}");
	autojson json_t *json = yaml_json(node);
	autofree char *text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"a\":[1,-2,420,15,31,1.5,1000.0,0.5,9.0],\"b\":[true,false,\"yes\",null,\"\","
				  "\"1\",\"0o9\"],\"c\":[1e20,\"1e999\",\"1.2.3\",\"-\",\".\",\"12a\",\".nan\","
				  "\"true\",\"0x\",\"e1\"],\"d\":{},\"e\":[]}");
	yaml_discard(node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_origin_of_an_option),
		cmocka_unit_test(test_put_and_wrap),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_billion_laughs),
		cmocka_unit_test(test_deep),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_large_maps),
		cmocka_unit_test(test_bad_bytes),
		cmocka_unit_test(test_documents),
		cmocka_unit_test(test_describe),
		cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
