// Tokens: how a node or a client proves to the controller that it may speak.
// It neither hands them out (executors and control.json do) nor answers those without one (server does).
//
// A token is an HMAC of who it is for, made with the controller's secret; so none is stored, and each node has its own.
#ifndef CONTROLLER_TOKEN_H
#define CONTROLLER_TOKEN_H

#include "base/crypto.h"

#include <stdbool.h>
#include <stddef.h>

// Made for a node, or for clients: those who can read control.json.
void token_for_node(const char *secret, size_t node, char token[CRYPTO_HEX]);
void token_for_client(const char *secret, char token[CRYPTO_HEX]);

// Is what came the right one? NULL is not. In constant time.
bool token_is_of_node(const char *secret, size_t node, const char *token);
bool token_is_of_client(const char *secret, const char *token);

#endif
