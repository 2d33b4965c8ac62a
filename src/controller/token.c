#include "controller/token.h"

#include <stdio.h>

void token_for_node(const char *secret, size_t node, char token[CRYPTO_HEX])
{
	char who[32];
	snprintf(who, sizeof who, "node:%zu", node);
	crypto_token(secret, who, token);
}

void token_for_client(const char *secret, char token[CRYPTO_HEX])
{
	crypto_token(secret, "client", token);
}

bool token_is_of_node(const char *secret, size_t node, const char *token)
{
	char expected[CRYPTO_HEX];
	token_for_node(secret, node, expected);
	return crypto_equal(expected, token);
}

bool token_is_of_client(const char *secret, const char *token)
{
	char expected[CRYPTO_HEX];
	token_for_client(secret, expected);
	return crypto_equal(expected, token);
}
