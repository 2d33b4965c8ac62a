// Inputs that the controller sends: asks for what the stager wants and hands it on as it comes, over broken lines and
// never too much at once. It stores nothing: the stager does, in a child of its own.
#ifndef AGENT_INPUT_CLIENT_H
#define AGENT_INPUT_CLIENT_H

#include "agent/node.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct input_client;

// *theirs is the stager's end (see stage.h), owned by the caller. on_fail: the controller cannot send that input; said
// once, nothing comes
// after it. NULL and err on failure.
struct input_client *input_client_new(struct node *node,
	void (*on_fail)(struct node *node, size_t input, const char *why), int *theirs, struct error *err);
void input_client_free(struct input_client *in); // takes NULL

void input_client_want(struct input_client *in,
	size_t input); // the stager wants the input of that number in the plan, from its beginning on
void input_client_again(struct input_client *in);                      // the line is new
void input_client_message(struct input_client *in, const json_t *msg); // an `input` message
void input_client_bytes(struct input_client *in, uint32_t stream, uint64_t offset, const void *bytes, size_t len);

#endif
