#include "docker/label.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/process_mark.h"
#include "base/str.h"
#include "base/url.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double patience = 20.0; // seconds for what is being removed to be gone

enum { AT_ONCE = 8 };

json_t *label_make(const char *run, const char *run_dir)
{
	autofree char *machine = process_mark_machine(), *controller = process_mark_own();
	autofree char *clean = run_dir ? str_utf8_clean(run_dir, strlen(run_dir)) : NULL;
	return mem_json("{s:s, s:s, s:s, s:s*}", "muster.run", run, "muster.machine", machine, "muster.controller",
		controller, "muster.run_dir", clean);
}

// *controller is {"pid", "started"} where it can be looked at, else NULL.
static bool is_live(const json_t *labels, json_t **controller)
{
	return process_mark_is_live(
		json_text_or(labels, "muster.machine", ""), json_text_or(labels, "muster.controller", ""), controller);
}

json_t *label_find(struct engine *e, const char *what, const char *label, struct error *err)
{
	autofree char *word = label ? mem_printf("muster.run=%s", label) : mem_strdup("muster.run");
	autojson json_t *filters = mem_json("{s:[s]}", "label", word);
	autofree char *text = json_dumps(filters, JSON_COMPACT);
	autofree char *quoted = url_quote(text);
	autofree char *path = strcmp(what, "containers") == 0 ? mem_printf("/containers/json?all=1&filters=%s", quoted)
							      : mem_printf("/%s?filters=%s", what, quoted);
	json_t *list = NULL;
	if (engine_do(e, "GET", path, NULL, &list, err))
		return NULL;
	if (json_is_array(list))
		return list;
	json_decref(list);
	return json_array();
}

int label_remove(struct engine *e, const char *what, const char *id, struct error *err)
{
	autofree char *path = mem_printf("/%s/%s%s", what, id, strcmp(what, "containers") == 0 ? "?force=1&v=1" : "");
	// 409: somebody else removes it just now. 403: a network whose last container is on its way out.
	for (double end = clock_mono() + patience;; poll(NULL, 0, 20)) {
		int status = engine_ask(
			e, &(struct engine_ask){.method = "DELETE", .path = path, .idle = patience}, NULL, err);
		if (status == 404 || (status >= 0 && status < 400))
			return 0;
		if ((status != 409 && status != 403) || clock_mono() > end)
			return error_wrap(err, "cannot remove the %.*s %.12s", (int)strlen(what) - 1, what, id);
	}
}

struct removal {
	struct engine *engine;
	const char *what;
	json_t *list;
};

static int remove_item(size_t i, void *data, struct error *err)
{
	struct removal *r = data;
	return label_remove(r->engine, r->what, json_text_or(json_array_get(r->list, i), "Id", ""), err);
}

int label_remove_all(struct engine *e, const char *what, const char *label, struct error *err)
{
	autojson json_t *found = label_find(e, what, label, err);
	if (!found)
		return -1;
	struct removal r = {.engine = e, .what = what, .list = json_array()};
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item) {
		json_t *controller = NULL;
		bool live = is_live(json_object_get(item, "Labels"), &controller);
		json_decref(controller);
		if (label || !live)
			json_array_append(r.list, item);
	}
	int rc = parallel_run(json_array_size(r.list), AT_ONCE, remove_item, &r, err);
	json_decref(r.list);
	return rc;
}

int label_list(struct engine *e, const char *what, const char *label, json_t *found, struct error *err)
{
	autojson json_t *list = label_find(e, what, label, err);
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item) {
		const json_t *labels = json_object_get(item, "Labels");
		const char *name = json_string_value(json_array_get(json_object_get(item, "Names"), 0));
		json_t *controller = NULL;
		bool live = is_live(labels, &controller);
		autofree char *id = mem_printf("%.12s (%s)", json_text_or(item, "Id", ""),
			name ? name + (*name == '/') : json_text_or(item, "Name", ""));
		autofree char *kind = mem_strndup(what, strlen(what) - 1);
		json_t *one = mem_json("{s:s, s:s, s:s, s:b, s:o*}", "run", json_text_or(labels, "muster.run", ""),
			"what", kind, "id", id, "live", live, "controller", controller);
		if (*json_text_or(labels, "muster.run_dir", ""))
			json_object_set(one, "run_dir", json_object_get(labels, "muster.run_dir"));
		json_array_append_new(found, one);
	}
	return list ? 0 : -1;
}
