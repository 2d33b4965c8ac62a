// Inputs that the controller sends: asks for what the stager wants and hands it on as it comes, over broken lines and
// never too much at once. It stores nothing: the stager does, in a child of its own.
#ifndef AGENT_INTAKE_H
#define AGENT_INTAKE_H

#include "agent/node.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct intake;

// *theirs is the stager's end (see stage.h), owned by the caller. on_fail: the controller cannot send that input; said
// once, nothing comes
// after it. NULL and err on failure.
struct intake *intake_new(struct node *node, void (*on_fail)(struct node *node, size_t input, const char *why),
	int *theirs, struct error *err);
void intake_free(struct intake *in); // takes NULL

void intake_want(struct intake *in,
	size_t input);                // the stager wants the input of that number in the plan, from its beginning on
void intake_again(struct intake *in); // the line is new
void intake_message(struct intake *in, const json_t *msg); // an `input` message
void intake_bytes(struct intake *in, uint32_t stream, uint64_t offset, const void *bytes, size_t len);

#endif
