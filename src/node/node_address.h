// The addresses by which a node can be reached: those it offers, and the one of them that all others reach.
// It tries none: the preflight does (node/preflight.h), and agent/rendezvous starts it.
#ifndef NODE_NODE_ADDRESS_H
#define NODE_NODE_ADDRESS_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { NODE_ADDRESS_MAX = 8 }; // that a node offers

// What a node offers, best first, owned by the caller: an array of texts. first, which is what the executor says,
// leads; then those of this machine that others may reach, bridges last (docker0 has the same address everywhere). Of a
// loopback address there is nothing else to offer.
json_t *node_address_offer(const char *first);

// The first IPv4 address of this machine that is no loopback, else 127.0.0.1. Owned by the caller.
char *node_address_own(void);

// A TCP socket bound to a port of its own on every address of this machine, of both families where six; -1 and err when
// there is none.
int node_address_bind(bool six, int *port, struct error *err);

// Which address of node is everybody's. offered: its own list. tried: an array by node, of each what it has found,
// {"reached": {"K": [address,
// ...]}, "why": {"K": why it does not reach the first of those that it does not}}; node's own entry is passed over.
// Borrowed from offered; *why is then what is wrong with those before it. NULL and err, which names the pair and the
// reason, when there is none; *who is then the node that should say so.
const char *node_address_choose(
	const json_t *offered, size_t node, const json_t *tried, const char **why, size_t *who, struct error *err);

#endif
