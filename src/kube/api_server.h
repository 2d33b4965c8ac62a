// The Kubernetes API server: its connection, its requests, its errors. Everybody who asks a cluster for something asks
// here. It knows no runs and no nodes: the executor does.
#ifndef KUBE_API_SERVER_H
#define KUBE_API_SERVER_H

#include "base/error.h"
#include "base/http.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct api_server;

// Reads the configuration as kubectl does (kube/kubeconfig.h) and touches no network. context and namespace NULL: those
// of the configuration. NULL and err (ERROR_USAGE for a configuration that is not right or not there). One API server
// may be used by many threads.
struct api_server *api_server_open(const char *context, const char *namespace, struct error *err);
void api_server_free(struct api_server *s); // takes NULL

// Is there a configuration at all: a kubeconfig file, or the service account of a pod?
bool api_server_is_configured(void);

const char *api_server_namespace(const struct api_server *s);
const char *api_server_context(const struct api_server *s); // "" inside a pod
const char *api_server_url(const struct api_server *s);     // "https://10.0.0.1:6443"
const char *api_server_source(const struct api_server *s);  // where that stands: "FILE:LINE:COLUMN"
bool api_server_in_cluster(const struct api_server *s);     // this process is in a pod and uses its service account
size_t api_server_requests(const struct api_server *s);     // sent so far, repeated ones counted each time
size_t api_server_all_requests(void);                       // of this process, to all API servers

struct api_server_ask {
	const char *method; // "GET", "POST", "PATCH", "DELETE", "PUT"
	const char
		*path; // "/api/v1/namespaces/x/pods?labelSelector=..." : what is not plain in it goes through url_quote
	const json_t *body; // NULL: none
	const char *type;   // of the body; NULL: "application/json"
	const char *accept; // NULL: "application/json"
	double idle;        // seconds without a byte after which it fails; 0: as long as a quick answer may take
	bool once;          // no retries: what it asks for is asked again by the caller (a watch)
	bool first;         // nothing has been heard of the server so far: a refused connection is tried for 5 s only
	const atomic_bool *cancelled; // may be NULL
	json_t *warnings;             // an array: the texts of the answer's Warning headers are appended; may be NULL
	int (*on_line)(const json_t *line, void *data,
		struct error *err);                    // for a watch; -1 and err ends it
	void (*on_retry)(const char *why, void *data); // before it is tried again; may be NULL
	void *data;
};

// Asks. Returns the HTTP status of the answer, -1 when there was none. err is set for -1 and from 400 on: the text of
// the server's Status ("the API server says: ..."). No answer, 429 and 5xx are tried again with back-off and
// Retry-After for 30 s; 401 renews the credentials once. *answer (may be NULL) is the body of a good one, NULL when it
// has none, owned by the caller; of one from 400 on it is the Status where there is one.
int api_server_ask(struct api_server *s, const struct api_server_ask *ask, json_t **answer, struct error *err);

// The same for what has no extras; 0 or -1, where any status from 400 on is -1.
int api_server_do(struct api_server *s, const char *method, const char *path, const json_t *body, json_t **answer,
	struct error *err);

// POSTs an object whose name is ours alone: 1 when it is there already (a try before has made it, whose answer was
// lost), else as api_server_do.
int api_server_create(struct api_server *s, const char *path, const json_t *body, json_t **answer, struct error *err);

// Opens a WebSocket: GET path with an Upgrade to one of the subprotocols (comma-separated, best first). *protocol
// (owned by the caller) is the one the server chose. The stream (owned by the caller) carries WebSocket frames
// (kube/websocket.h). NULL and err when it is refused; an answer that is no 101 is named as what it is, also a proxy
// that drops the upgrade. *cancelled (may be NULL) non-zero: it is given up soon with ERROR_CANCELLED.
struct http_stream *api_server_websocket(struct api_server *s, const char *path, const char *protocols,
	const atomic_bool *cancelled, char **protocol, struct error *err);

#endif
