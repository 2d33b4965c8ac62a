#include "base/mem.h"
#include "compare/compare_html.h"
#include "compare/compare_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char text[] =
	"{\"compare\": 1, \"name\": \"<i>demo</i>\", \"currency\": \"E<U>R\", \"unit\": \"samples\", \"rows\": ["
	"{\"name\": \"x=1\", \"kind\": \"measured\", \"nodes\": 1, \"cpus\": 0.5, \"runs\": [\"a\", \"b\"], "
	"\"failed\": 0, \"seconds\": [100, 98, 102], \"mean\": 99.5,"
	" \"turn\": [1, 0.98, 1.02], \"rate\": 12.5, \"init\": 0.5, \"overhead\": 2, \"speedup\": 1, \"share\": 1, "
	"\"efficiency\": 1, \"cost\": [0.000123456, 0.0001, 0.0002],"
	" \"expected\": {\"time\": 90, \"low\": 85, \"high\": 95, \"off\": 0.1111, \"held\": false, \"cost\": 3}, "
	"\"doubts\": [], \"failures\": [], \"spread\": [1, 1, 1, 1, 2],"
	" \"kind_of\": 0},"
	"{\"name\": \"x=\\\"<b>2\\\"\", \"kind\": \"predicted\", \"nodes\": 2, \"runs\": [\"c\"], \"failed\": 1, "
	"\"seconds\": [50, null, null], \"mean\": 50, \"rate\": null,"
	" \"speedup\": 2, \"share\": 2, \"efficiency\": 1, \"cost\": [12345.678, 12345.678, 12345.678], \"expected\": "
	"null, \"doubts\": [\"too few\"],"
	" \"failures\": [{\"run\": \"d\", \"outcome\": \"failed\", \"why\": \"it fell\"}, {\"run\": null, \"outcome\": "
	"\"not started\", \"why\": \"no room\"}], \"spread\": null,"
	" \"kind_of\": 0}],"
	"\"pairs\": [{\"a\": 0, \"b\": 1, \"ratio\": [2, 1.9, 2.1], \"verdict\": \"no difference\"}],"
	"\"models\": [{\"name\": \"local\", \"serial\": 10, \"parallel\": 90, \"talk\": 0, \"error\": 0.02, "
	"\"points\": 3},"
	" {\"name\": \"far\", \"serial\": 0, \"parallel\": 90, \"talk\": 2, \"error\": null, \"points\": 2}]}";

static json_t *make(void)
{
	json_error_t why;
	json_t *tree = json_loads(text, 0, &why);
	if (!tree)
		fail_msg("%s", why.text);
	return tree;
}

static void holds(const char *where, const char *what)
{
	if (!strstr(where, what))
		fail_msg("not there: %s\nin: %s", what, where);
}

static void test_text(void **state)
{
	autojson json_t *tree = make();
	autofree char *shown = compare_table_text(tree);
	holds(shown, "COST E<U>R");
	holds(shown, "1 min 40 s +-2.0 %");
	holds(shown, "0.000123 +-41 %");
	holds(shown, "12345.68\n");
	holds(shown, "+11.1 %");
	holds(shown, "\nx=1 against x=\"<b>2\": no difference\n");
	holds(shown, "model of local: 10 s + 90 s / nodes, fitted to 3 node counts, error at most 2 %\n");
	holds(shown, "model of far: 90 s / nodes + 2 s * (nodes - 1), fitted to 2 node counts, exact at these points, "
		     "its error elsewhere is unknown\n");
	holds(shown, "x=1: predicted 1 min 30 s (1 min 25 s to 1 min 35 s), took 1 min 40 s: 11.1 % more, outside the "
		     "interval; cost 0.000123, predicted 3.00\n");
	holds(shown, "x=\"<b>2\": less reliable: too few\nx=\"<b>2\": d: failed: it fell\nx=\"<b>2\": not started: no "
		     "room\n");
}

static void test_what_has_no_price(void **state)
{
	autojson json_t *tree = make();
	json_t *row = json_array_get(json_object_get(tree, "rows"), 1);
	json_object_set_new(row, "cost", json_null());
	json_object_set_new(row, "executor", json_string("ec2"));
	autofree char *without = compare_table_text(tree);
	assert_null(strstr(without, "no price"));
	json_object_set_new(tree, "prices", json_string("p.yaml"));
	autofree char *with = compare_table_text(tree);
	holds(with, "\np.yaml has no price for ec2: its cost is omitted\n");
}

static void test_numbers(void **state)
{
	autojson json_t *tree = make();
	autofree char *csv = compare_table_csv(tree), *times = compare_table_times(tree),
		      *json = compare_table_json(tree);
	assert_string_equal(times, "x=1: 99.500\nx=\"<b>2\": 50.000\n");
	holds(csv, "name,kind,runs,nodes,cpus,");
	holds(csv, "\n\"x=1\",measured,2,1,0.5,");
	holds(csv, "\n\"x=\"\"<b>2\"\"\",predicted,1,2,,");
	autojson json_t *again = json_loads(json, 0, NULL);
	assert_true(json_equal(tree, again));
}

// What a user wrote is never markup.
static void test_page(void **state)
{
	autojson json_t *tree = make();
	autofree char *page = compare_html_html(tree);
	assert_null(strstr(page, "<i>demo"));
	assert_null(strstr(page, "<b>2"));
	assert_null(strstr(page, "E<U>R"));
	holds(page, "&lt;b&gt;2");
	holds(page, "12345.68");
	holds(page, "<h2>Speed-up</h2>");
	holds(page, "d: failed: it fell");
	holds(page, "10 s + 90 s / nodes");
}

static void test_nothing(void **state)
{
	autojson json_t *tree = mem_json("{s:s, s:[], s:[], s:[]}", "name", "none", "rows", "pairs", "models");
	autofree char *shown = compare_table_text(tree), *times = compare_table_times(tree),
		      *page = compare_html_html(tree);
	assert_string_equal(shown, "");
	assert_string_equal(times, "");
	holds(page, "0 clusters compared");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_what_has_no_price),
		cmocka_unit_test(test_numbers), cmocka_unit_test(test_page), cmocka_unit_test(test_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
