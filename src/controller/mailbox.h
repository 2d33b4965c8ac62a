// A mailbox: events from any thread, taken out in the loop's.
// It reads none of them.
#ifndef CONTROLLER_MAILBOX_H
#define CONTROLLER_MAILBOX_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>

struct mailbox;

// on_event is called in the loop, in the order they were put in; it takes the event. NULL and err when there is no
// room.
struct mailbox *mailbox_new(
	struct loop *loop, void (*on_event)(json_t *event, void *data), void *data, struct error *err);
void mailbox_put(struct mailbox *m, json_t *event); // takes the event
void mailbox_free(struct mailbox *m);               // nobody puts anything in any more; takes NULL; before loop_free

#endif
