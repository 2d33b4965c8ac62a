#include "controller/event_queue.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct event_queue {
	struct loop_watch *watch;
	int signal; // an eventfd; the watch's
	pthread_mutex_t lock;
	json_t *events;
	void (*on_event)(json_t *event, void *data);
	void *data;
};

static void on_signal(enum loop_event event, void *data)
{
	struct event_queue *m = data;
	eventfd_t count;
	if (eventfd_read(m->signal, &count) < 0)
		return;
	pthread_mutex_lock(&m->lock);
	autojson json_t *events = m->events;
	m->events = json_array();
	pthread_mutex_unlock(&m->lock);
	size_t i;
	json_t *one;
	json_array_foreach (events, i, one)
		m->on_event(json_incref(one), m->data);
}

struct event_queue *event_queue_new(
	struct loop *loop, void (*on_event)(json_t *event, void *data), void *data, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		error_errno(err, "cannot make an event descriptor");
		return NULL;
	}
	struct event_queue *m = mem_alloc(sizeof *m);
	m->signal = fd;
	m->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
	m->events = json_array();
	m->on_event = on_event;
	m->data = data;
	m->watch = loop_watch(loop, fd, on_signal, m);
	return m;
}

void event_queue_put(struct event_queue *m, json_t *event)
{
	pthread_mutex_lock(&m->lock);
	json_array_append_new(m->events, event);
	pthread_mutex_unlock(&m->lock);
	eventfd_write(m->signal, 1);
}

void event_queue_free(struct event_queue *m)
{
	if (!m)
		return;
	loop_unwatch(m->watch);
	json_decref(m->events);
	free(m);
}
