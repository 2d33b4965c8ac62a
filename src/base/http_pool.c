#include "base/http_pool.h"

#include "base/clock.h"
#include "base/mem.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	KEPT_MAX = 8,
	KEPT_SECONDS = 20, // less than the time after which load balancers forget a connection without a word
};

struct http_pool {
	pthread_mutex_t lock;
	struct http_stream *kept[KEPT_MAX];
	size_t count;
	unsigned generation;
};

struct http_pool *http_pool_new(void)
{
	struct http_pool *pool = mem_alloc(sizeof *pool);
	pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

void http_pool_free(struct http_pool *pool)
{
	if (!pool)
		return;
	http_pool_clear(pool);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

void http_pool_clear(struct http_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	while (pool->count > 0)
		http_stream_close(pool->kept[--pool->count]);
	pool->generation++;
	pthread_mutex_unlock(&pool->lock);
}

// A server that has nothing to say says nothing: what can be read is its end.
static bool is_fresh(const struct http_stream *s)
{
	struct pollfd poller = {.fd = s->fd, .events = POLLIN};
	return clock_mono() - s->since < KEPT_SECONDS && !http_stream_pending(s) && poll(&poller, 1, 0) == 0;
}

struct http_stream *http_pool_take(struct http_pool *pool)
{
	struct http_stream *found = NULL;
	pthread_mutex_lock(&pool->lock);
	while (!found && pool->count > 0) {
		struct http_stream *s = pool->kept[--pool->count];
		if (is_fresh(s))
			found = s;
		else
			http_stream_close(s);
	}
	pthread_mutex_unlock(&pool->lock);
	return found;
}

void http_pool_put(struct http_pool *pool, struct http_stream *s)
{
	s->kept = true;
	s->at = s->end = 0;
	s->since = clock_mono();
	pthread_mutex_lock(&pool->lock);
	if (s->generation == pool->generation && pool->count < KEPT_MAX) {
		pool->kept[pool->count++] = s;
		s = NULL;
	}
	pthread_mutex_unlock(&pool->lock);
	http_stream_close(s);
}

unsigned http_pool_generation(struct http_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	unsigned generation = pool->generation;
	pthread_mutex_unlock(&pool->lock);
	return generation;
}
