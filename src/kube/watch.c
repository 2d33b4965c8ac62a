#include "kube/watch.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const double pause_first = 0.25, pause_max = 10;
static const double quick = 1; // seconds; a watch that ended earlier may end as early again
// The server sends a bookmark every minute or so: one that is silent for longer has been forgotten on the way.
static const double silence_max = 100;
enum { LASTS_LEAST = 240, LASTS_MORE = 60, PAGE = 500, GONE = 410 };

struct watch {
	struct watch_options options;
	char *path, *version; // version NULL: it must be listed
	json_t *known;        // by uid: the last of each object
	size_t lines;         // of the watch that goes on
	double pause;
	unsigned seed;
	pthread_t thread;
	atomic_bool stopping;
	pthread_mutex_t lock; // of the waiting
	pthread_cond_t changed;
};

// --- objects --------------------------------------------------------------------

static void set_version(struct watch *w, const json_t *object)
{
	const char *version = json_text(json_object_get(object, "metadata"), "resourceVersion");
	if (!version || !*version)
		return;
	free(w->version);
	w->version = mem_strdup(version);
}

static const char *uid_of(const json_t *object)
{
	return json_text(json_object_get(object, "metadata"), "uid");
}

static void tell(struct watch *w, enum watch_change change, json_t *object)
{
	const char *uid = uid_of(object);
	if (!uid)
		return;
	json_t *mine = json_incref(object);
	json_object_del(json_object_get(mine, "metadata"), "managedFields"); // half of its bytes, and of no use
	if (!w->options.news_only && change == WATCH_SEEN)
		json_object_set(w->known, uid, mine);
	w->options.ops->on_object(change, mine, w->options.data);
	if (change == WATCH_GONE)
		json_object_del(w->known, uid_of(mine));
	json_decref(mine);
}

// --- list -----------------------------------------------------------------------

static int ask_page(struct watch *w, const char *from, const atomic_bool *cancelled, json_t **list, struct error *err)
{
	autofree char *path = mem_printf("%s%climit=%d%s%s", w->path, strchr(w->path, '?') ? '&' : '?',
		w->options.news_only ? 1 : PAGE, from ? "&continue=" : "", from ? from : "");
	struct api_server_ask ask = {.method = "GET", .path = path, .cancelled = cancelled};
	int status = api_server_ask(w->options.server, &ask, list, err);
	if (status >= 0 && status < 400 && !json_is_object(*list)) {
		json_decref(steal(*list));
		return error_set(err, ERROR_SYSTEM, "the API server gave no list of '%s'", w->path);
	}
	return status;
}

// Those that are known and not in the list were deleted while nobody looked.
static void tell_missing(struct watch *w, const json_t *seen)
{
	autojson json_t *before = json_copy(w->known);
	const char *uid;
	json_t *object;
	json_object_foreach (before, uid, object)
		if (!json_object_get(seen, uid))
			tell(w, WATCH_GONE, object);
}

static void tell_page(struct watch *w, const json_t *list, json_t *seen)
{
	size_t i;
	json_t *object;
	json_array_foreach (json_object_get(list, "items"), i, object) {
		if (!uid_of(object))
			continue;
		json_object_set_new(seen, uid_of(object), json_true());
		tell(w, WATCH_SEEN, object);
	}
}

// The status of the answer that decided. The token of a page comes in a form that a query takes as it is. Only a whole
// list is a place to watch from.
static int list(struct watch *w, const atomic_bool *cancelled, struct error *err)
{
	autojson json_t *seen = json_object(), *page = NULL;
	autofree char *from = NULL;
	do {
		json_decref(steal(page));
		int status = ask_page(w, from, cancelled, &page, err);
		if (status < 0 || status >= 400)
			return status;
		const char *next = json_text(json_object_get(page, "metadata"), "continue");
		free(from);
		from = next && *next && !w->options.news_only ? mem_strdup(next) : NULL;
		if (!w->options.news_only)
			tell_page(w, page, seen);
	} while (from);
	set_version(w, page);
	if (!w->options.news_only)
		tell_missing(w, seen);
	if (!w->version)
		return error_set(err, ERROR_SYSTEM, "the list of '%s' has no resourceVersion", w->path);
	return 200;
}

// --- watch ----------------------------------------------------------------------

static void expire(struct watch *w)
{
	free(steal(w->version));
}

static int on_line(const json_t *line, void *data, struct error *err)
{
	struct watch *w = data;
	json_t *object = json_object_get(line, "object");
	w->lines++;
	if (json_is(line, "type", "ERROR")) {
		expire(w); // whatever it is, the list knows better
		return error_set(err, ERROR_SYSTEM, "the API server ended a watch: %s",
			json_text_or(object, "message", "no reason is given"));
	}
	set_version(w, object);
	if (json_is(line, "type", "ADDED") || json_is(line, "type", "MODIFIED"))
		tell(w, WATCH_SEEN, object);
	else if (json_is(line, "type", "DELETED"))
		tell(w, WATCH_GONE, object);
	return 0;
}

static int watch(struct watch *w, struct error *err)
{
	int seconds = LASTS_LEAST + rand_r(&w->seed) % LASTS_MORE;
	autofree char *path = mem_printf("%s%cwatch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=%s",
		w->path, strchr(w->path, '?') ? '&' : '?', seconds, w->version);
	struct api_server_ask ask = {.method = "GET",
		.path = path,
		.idle = silence_max,
		.once = true,
		.cancelled = &w->stopping,
		.on_line = on_line,
		.data = w};
	w->lines = 0;
	int status = api_server_ask(w->options.server, &ask, NULL, err);
	if (status == GONE || (status >= 0 && status < 400 && w->lines == 0))
		expire(w);
	return status;
}

// --- the thread -----------------------------------------------------------------

static void pause_a_little(struct watch *w)
{
	double jitter = 0.5 + (double)rand_r(&w->seed) / RAND_MAX, end = clock_mono() + w->pause * jitter;
	pthread_mutex_lock(&w->lock);
	while (!w->stopping && thread_cond_wait(&w->changed, &w->lock, end - clock_mono()))
		;
	pthread_mutex_unlock(&w->lock);
	w->pause = w->pause * 2 < pause_max ? w->pause * 2 : pause_max;
}

static double first_pause(const struct watch *w)
{
	return w->options.pause > 0 ? w->options.pause : pause_first;
}

static void *watch_main(void *data)
{
	struct watch *w = data;
	while (!w->stopping) {
		struct error err = {0};
		double begun = clock_mono();
		bool listing = !w->version;
		int status = listing ? list(w, &w->stopping, &err) : watch(w, &err);
		if (w->stopping)
			break;
		bool ok = status >= 0 && status<400, lasted = w->lines> 0 || clock_mono() - begun > quick;
		if (!listing && lasted)
			w->pause = first_pause(w);
		// One that has told something, or has lasted, is begun again at once; a list is no proof of that.
		if (ok && (listing || lasted))
			continue;
		// An end is nothing to tell of: a server may end a watch at any time.
		if (!ok && (listing || status >= 400) && status != GONE)
			w->options.ops->on_trouble(status, &err, w->options.data);
		pause_a_little(w);
	}
	return NULL;
}

static void dispose(struct watch *w)
{
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	json_decref(w->known);
	free(w->path);
	free(w->version);
	free(w);
}

static struct watch *watch_new(const struct watch_options *options)
{
	struct watch *w = mem_alloc(sizeof *w);
	w->options = *options;
	w->path = mem_strdup(options->path);
	w->known = json_object();
	w->pause = first_pause(w);
	w->seed = (unsigned)(clock_wall() * 1e6);
	pthread_mutex_init(&w->lock, NULL);
	thread_cond_init(&w->changed);
	return w;
}

struct watch *watch_start(const struct watch_options *options, const atomic_bool *cancelled, struct error *err)
{
	struct watch *w = watch_new(options);
	int status = list(w, cancelled, err);
	int failed = status < 0 || status >= 400 ? -1 : thread_start(&w->thread, NULL, watch_main, w);
	if (!failed)
		return w;
	if (failed > 0)
		error_set(err, ERROR_SYSTEM, "cannot start a thread: %s", strerror(failed));
	dispose(w);
	return NULL;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	dispose(w);
}
