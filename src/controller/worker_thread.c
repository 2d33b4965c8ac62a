#include "controller/worker_thread.h"

#include "base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker_thread {
	struct loop_watch *watch;
	int signal; // an eventfd the thread writes to when it is through
	pthread_t thread;
	bool busy, threadless; // threadless: no thread could be had for what is going on
	worker_thread_work *work;
	int result;
	struct error err;
	worker_thread_done *on_done;
	void *data;
};

static void *run(void *data)
{
	struct worker_thread *w = data;
	w->result = w->work(w->data, &w->err);
	eventfd_write(w->signal, 1);
	return NULL;
}

static void on_through(enum loop_event event, void *data)
{
	struct worker_thread *w = data;
	eventfd_t count;
	if (!w->busy || eventfd_read(w->signal, &count) < 0)
		return;
	if (w->threadless)
		w->result = w->work(w->data, &w->err);
	else
		pthread_join(w->thread, NULL);
	w->busy = false;
	w->on_done(w->result, &w->err, w->data);
}

struct worker_thread *worker_thread_new(struct loop *loop, struct error *err)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0) {
		error_errno(err, "cannot make an event descriptor");
		return NULL;
	}
	struct worker_thread *w = mem_alloc(sizeof *w);
	w->signal = fd;
	w->watch = loop_watch(loop, fd, on_through, w);
	return w;
}

void worker_thread_free(struct worker_thread *worker)
{
	if (!worker)
		return;
	if (worker->busy && !worker->threadless)
		pthread_join(worker->thread, NULL);
	loop_unwatch(worker->watch);
	free(worker);
}

// Without a thread the work is done all the same: what an executor has made must be removed.
void worker_thread_start(
	struct worker_thread *worker, worker_thread_work *work, worker_thread_done *on_done, void *data)
{
	worker->busy = true;
	worker->work = work;
	worker->err = (struct error){0};
	worker->on_done = on_done;
	worker->data = data;
	worker->threadless = pthread_create(&worker->thread, NULL, run, worker) != 0;
	if (worker->threadless)
		eventfd_write(worker->signal, 1);
}

bool worker_thread_is_busy(const struct worker_thread *worker)
{
	return worker->busy;
}

void worker_thread_then(struct worker_thread *worker, worker_thread_done *on_done)
{
	worker->on_done = on_done;
}
