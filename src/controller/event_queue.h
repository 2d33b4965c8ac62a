// A queue of events that any thread puts in and the loop's thread takes out.
// It reads none of them.
#ifndef CONTROLLER_EVENT_QUEUE_H
#define CONTROLLER_EVENT_QUEUE_H

#include "base/error.h"
#include "base/loop.h"

#include <jansson.h>

struct event_queue;

// on_event is called in the loop, in the order they were put in; it takes the event. NULL and err when there is no
// room.
struct event_queue *event_queue_new(
	struct loop *loop, void (*on_event)(json_t *event, void *data), void *data, struct error *err);
void event_queue_put(struct event_queue *m, json_t *event); // takes the event
void event_queue_free(struct event_queue *m); // nobody puts anything in any more; takes NULL; before loop_free

#endif
