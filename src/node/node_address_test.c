#include "base/mem.h"
#include "node/node_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void loopback_has_nothing_else(void **state)
{
	autojson json_t *four = node_address_offer("127.0.0.5"), *six = node_address_offer("::1");
	assert_int_equal(json_array_size(four), 1);
	assert_string_equal(json_string_value(json_array_get(four, 0)), "127.0.0.5");
	assert_int_equal(json_array_size(six), 1);
}

static void the_first_leads_and_none_comes_twice(void **state)
{
	autojson json_t *list = node_address_offer("192.0.2.1");
	assert_string_equal(json_string_value(json_array_get(list, 0)), "192.0.2.1");
	assert_in_range(json_array_size(list), 1, NODE_ADDRESS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *one = json_string_value(json_array_get(list, i));
		assert_true(strncmp(one, "127.", 4) != 0 && strncmp(one, "169.254.", 8) != 0 &&
			    strncmp(one, "fe80:", 5) != 0);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(one, json_string_value(json_array_get(list, k)));
	}
}

static void ports_are_held_for_both_families(void **state)
{
	struct error err;
	for (int six = 0; six < 2; six++) {
		int port = 0, again = 0;
		int fd = node_address_bind(six, &port, &err), other = node_address_bind(six, &again, &err);
		assert_true(fd >= 0 && other >= 0 && port > 0 && again > 0 && port != again);
		close(fd);
		close(other);
	}
}

static const char offered[] = "[\"10.1.0.2\", \"10.2.0.2\", \"fd00::2\"]";

// What node 1 is spoken to at; the entries are what nodes 0, 1 and 2 have found.
static const char *choose(const char *tried_text, const char **why, size_t *who, struct error *err)
{
	static char found[64];
	autojson json_t *list = json_loads(offered, 0, NULL), *tried = json_loads(tried_text, 0, NULL);
	static char reason[256];
	assert_non_null(tried);
	const char *address = node_address_choose(list, 1, tried, why, who, err);
	snprintf(found, sizeof found, "%s", address ? address : "");
	snprintf(reason, sizeof reason, "%s", *why ? *why : "");
	*why = reason;
	return address ? found : NULL;
}

static void the_first_that_all_reach(void **state)
{
	struct error err = {0};
	const char *why;
	size_t who;
	assert_string_equal(choose("[{\"reached\": {\"1\": [\"10.1.0.2\", \"10.2.0.2\"]}}, null, {\"reached\": {\"1\": "
				   "[\"10.1.0.2\"]}}]",
				    &why, &who, &err),
		"10.1.0.2");
	assert_string_equal(why, "");
	assert_string_equal(
		choose("[{\"reached\": {\"1\": [\"10.1.0.2\", \"fd00::2\"]}}, {\"reached\": {}},"
		       " {\"reached\": {\"1\": [\"10.2.0.2\", \"fd00::2\"]}, \"why\": {\"1\": \"no route\"}}]",
			&why, &who, &err),
		"fd00::2");
	assert_string_equal(why, "no route");
}

static void none_for_all(void **state)
{
	struct error err = {0};
	const char *why;
	size_t who = 9;
	assert_null(choose("[{\"reached\": {\"1\": [\"10.1.0.2\"]}}, null, {\"reached\": {\"1\": [\"10.2.0.2\"]}}]",
		&why, &who, &err));
	assert_string_equal(err.text, "node 1 has no address that all others reach: node 0 reaches it at 10.1.0.2, "
				      "node 2 reaches it at 10.2.0.2");
	assert_int_equal(who, 1);
	assert_null(choose("[{\"reached\": {\"1\": [\"10.1.0.2\"]}}, null, {\"reached\": {\"1\": []}, \"why\": {\"1\": "
			   "\"no route\"}}]",
		&why, &who, &err));
	assert_string_equal(err.text, "node 2 cannot reach node 1 at any of its 3 addresses: no route");
	assert_int_equal(who, 2);
	// A node that says nothing, or something else, reaches nobody.
	assert_null(choose(
		"[{\"reached\": {\"1\": [\"10.1.0.2\"]}}, null, {\"reached\": 7, \"why\": []}]", &why, &who, &err));
	assert_int_equal(who, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loopback_has_nothing_else),
		cmocka_unit_test(the_first_leads_and_none_comes_twice),
		cmocka_unit_test(ports_are_held_for_both_families),
		cmocka_unit_test(the_first_that_all_reach),
		cmocka_unit_test(none_for_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
