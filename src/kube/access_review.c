#include "kube/access_review.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <string.h>

#define REVIEWS "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"

// Exec by WebSocket is a GET that 1.35 and later count as create too.
const struct access_right access_review_rights[] = {
	{"batch", "jobs", "create get list delete deletecollection"},
	{"", "pods", "list watch delete"},
	{"", "pods/exec", "get create"},
	{"", "events", "list watch"},
	{"", "configmaps", "create get list delete"},
	{0},
};

// May we do this? 1 or 0, -1 and err.
static int ask(struct api_server *s, const struct access_right *right, const char *verb, const atomic_bool *cancelled,
	struct error *err)
{
	const char *slash = strchr(right->resource, '/');
	autofree char *resource =
		mem_strndup(right->resource, slash ? (size_t)(slash - right->resource) : strlen(right->resource));
	autojson json_t *body = mem_json("{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s, s:s}}}", "kind",
		"SelfSubjectAccessReview", "apiVersion", "authorization.k8s.io/v1", "spec", "resourceAttributes",
		"namespace", api_server_namespace(s), "verb", verb, "group", right->group, "resource", resource,
		"subresource", slash ? slash + 1 : "");
	autojson json_t *answer = NULL;
	struct api_server_ask question = {.method = "POST", .path = REVIEWS, .body = body, .cancelled = cancelled};
	int status = api_server_ask(s, &question, &answer, err);
	if (status < 0 || status >= 400)
		return -1;
	const json_t *said = json_object_get(answer, "status");
	if (!json_is_boolean(json_object_get(said, "allowed")))
		return error_set(
			err, ERROR_SYSTEM, "the API server does not say whether we may %s %s", verb, right->resource);
	return json_flag(said, "allowed");
}

// The verbs of a row that are missing, an array owned by the caller.
static json_t *ask_row(
	struct api_server *s, const struct access_right *right, const atomic_bool *cancelled, struct error *err)
{
	autojson json_t *missing = json_array();
	for (const char *at = right->verbs; *at;) {
		size_t len = strcspn(at, " ");
		autofree char *verb = mem_strndup(at, len);
		int allowed = ask(s, right, verb, cancelled, err);
		if (allowed < 0)
			return NULL;
		if (!allowed)
			json_array_append_new(missing, json_string(verb));
		at += len + (at[len] == ' ');
	}
	return steal(missing);
}

json_t *access_review_missing(
	struct api_server *s, const char *resource, const atomic_bool *cancelled, struct error *err)
{
	autojson json_t *missing = json_array();
	for (const struct access_right *r = access_review_rights; r->resource; r++) {
		if (resource && strcmp(resource, r->resource) != 0)
			continue;
		json_t *verbs = ask_row(s, r, cancelled, err);
		if (!verbs)
			return NULL;
		if (json_array_size(verbs) > 0)
			json_array_append_new(missing, mem_json("{s:s, s:s, s:O}", "group", r->group, "resource",
							       r->resource, "verbs", verbs));
		json_decref(verbs);
	}
	return steal(missing);
}

char *access_review_print(const json_t *missing)
{
	struct str text = {0};
	size_t i, k;
	json_t *row, *verb;
	json_array_foreach (missing, i, row) {
		str_printf(&text, "%s%s (", i ? ", " : "", json_text_or(row, "resource", ""));
		json_array_foreach (json_object_get(row, "verbs"), k, verb)
			str_printf(&text, "%s%s", k ? ", " : "", json_string_value(verb));
		str_puts(&text, ")");
	}
	return str_steal(&text);
}

int access_review_require(struct api_server *s, const char *resource, const atomic_bool *cancelled, struct error *err)
{
	autojson json_t *missing = access_review_missing(s, resource, cancelled, err);
	if (!missing)
		return -1;
	if (json_array_size(missing) == 0)
		return 0;
	autofree char *text = access_review_print(missing);
	return error_set(err, ERROR_SYSTEM,
		"in the namespace '%s' we have no right to %s: examples/kubernetes/role.yaml is the role that a run "
		"needs, "
		"`muster doctor` lists what is missing",
		api_server_namespace(s), text);
}
