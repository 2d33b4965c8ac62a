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
	bool busy;
	int (*work)(struct cluster *c, struct error *err);
	struct cluster *cluster;
	int result;
	struct error err;
	worker_thread_done *on_done;
	void *data;
};

static void *run(void *data)
{
	struct worker_thread *w = data;
	w->result = w->work(w->cluster, &w->err);
	eventfd_write(w->signal, 1);
	return NULL;
}

static void on_through(enum loop_event event, void *data)
{
	struct worker_thread *w = data;
	eventfd_t count;
	if (!w->busy || eventfd_read(w->signal, &count) < 0)
		return;
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
	if (worker->busy)
		pthread_join(worker->thread, NULL);
	loop_unwatch(worker->watch);
	free(worker);
}

void worker_thread_start(struct worker_thread *worker, int (*work)(struct cluster *c, struct error *err),
	struct cluster *cluster, worker_thread_done *on_done, void *data)
{
	worker->busy = true;
	worker->work = work;
	worker->cluster = cluster;
	worker->err = (struct error){0};
	worker->on_done = on_done;
	worker->data = data;
	int failed = pthread_create(&worker->thread, NULL, run, worker);
	if (failed == 0)
		return;
	worker->busy = false; // no thread to be had: do it here
	worker->result = work(cluster, &worker->err);
	on_done(worker->result, &worker->err, data);
}

bool worker_thread_is_busy(const struct worker_thread *worker)
{
	return worker->busy;
}

void worker_thread_then(struct worker_thread *worker, worker_thread_done *on_done)
{
	worker->on_done = on_done;
}
