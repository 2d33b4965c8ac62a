#include "base/parallel.h"

#include "base/mem.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdbool.h>

struct fan {
	size_t count, next;
	int (*work)(size_t i, void *data, struct error *err);
	void *data;
	pthread_mutex_t lock;
	bool failed;
	struct error err;
};

static bool take(struct fan *f, size_t *i)
{
	pthread_mutex_lock(&f->lock);
	bool some = !f->failed && f->next < f->count;
	*i = some ? f->next++ : 0;
	pthread_mutex_unlock(&f->lock);
	return some;
}

static void *fan_main(void *data)
{
	struct fan *f = data;
	for (size_t i; take(f, &i);) {
		struct error err = {0};
		if (!f->work(i, f->data, &err))
			continue;
		pthread_mutex_lock(&f->lock);
		if (!f->failed)
			f->err = err;
		f->failed = true;
		pthread_mutex_unlock(&f->lock);
	}
	return NULL;
}

int parallel_run(size_t count, size_t at_once, int (*work)(size_t i, void *data, struct error *err), void *data,
	struct error *err)
{
	struct fan f = {.count = count, .work = work, .data = data, .lock = PTHREAD_MUTEX_INITIALIZER};
	size_t helpers = (at_once < count ? at_once : count), started = 0;
	autofree pthread_t *threads = mem_alloc((helpers + 1) * sizeof *threads);
	while (started + 1 < helpers && !thread_start(&threads[started], NULL, fan_main, &f))
		started++;
	fan_main(&f); // the caller is one of them, so it works without any other
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	if (f.failed && err)
		*err = f.err;
	return f.failed ? -1 : 0;
}
