#include "controller/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_who_proves_what(void **state)
{
	char node[CRYPTO_HEX], client[CRYPTO_HEX];
	token_for_node("secret", 3, node);
	token_for_client("secret", client);
	assert_true(token_is_of_node("secret", 3, node));
	assert_true(token_is_of_client("secret", client));
	assert_false(token_is_of_node("secret", 4, node));
	assert_false(token_is_of_node("other", 3, node));
	assert_false(token_is_of_client("secret", node));
	assert_false(token_is_of_node("secret", 3, client));
	assert_false(token_is_of_client("secret", ""));
	assert_false(token_is_of_client("secret", NULL));
	node[0] = node[0] == 'a' ? 'b' : 'a';
	assert_false(token_is_of_node("secret", 3, node));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_who_proves_what)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
