// Connections to one service that are kept for its next request.
// It opens none and sends nothing: base/http.h does.
#ifndef BASE_HTTP_POOL_H
#define BASE_HTTP_POOL_H

#include "base/http_stream.h"

struct http_pool;

struct http_pool *http_pool_new(void);
void http_pool_free(struct http_pool *pool); // takes NULL

// One that has been kept and that the server has not closed since, as far as can be seen; NULL: there is none. Owned by
// the caller.
struct http_stream *http_pool_take(struct http_pool *pool);

// Takes the stream, keeps it or closes it.
void http_pool_put(struct http_pool *pool, struct http_stream *stream);

// Of a connection that is about to be made: it belongs to the stream.
unsigned http_pool_generation(struct http_pool *pool);

// Closes what is kept, and what is in use when it comes back: who we are has changed.
void http_pool_clear(struct http_pool *pool);

#endif
