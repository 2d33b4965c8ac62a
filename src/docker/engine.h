// The Docker Engine's API: its connection, its requests, its errors. Everybody who asks an engine for something asks
// here. It knows no runs and no nodes: the executor does.
#ifndef DOCKER_ENGINE_H
#define DOCKER_ENGINE_H

#include "base/error.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

struct engine;

// Finds the engine as Docker's own client does: DOCKER_HOST (unix://PATH or tcp://HOST:PORT; none:
// unix:///var/run/docker.sock), and for tcp with DOCKER_TLS_VERIFY ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH
// (~/.docker); and asks what it is. NULL and err when it does not answer. One engine may be used by many threads.
struct engine *engine_open(struct error *err);
void engine_free(struct engine *e); // takes NULL

// Was the engine named by the user? One that is not, and does not answer, is just not there.
bool engine_is_named(void);

// Does it see the files of this machine? It does when it is reached through a unix socket.
bool engine_is_local(const struct engine *e);
const char *engine_place(const struct engine *e);   // "unix:///var/run/docker.sock"
const char *engine_version(const struct engine *e); // "20.10.24"

struct engine_ask {
	const char *method,
		*path;      // "POST", "/containers/create?name=x": what is not plain in it goes through url_quote
	const json_t *body; // NULL: none
	int file;           // a descriptor of a tar archive to send instead; 0: none
	double idle;        // seconds without a byte after which it fails; 0: as long as a quick answer may take
	const atomic_bool *cancelled; // may be NULL
	int (*on_line)(const json_t *line, void *data,
		struct error *err); // for answers that tell how far they are; -1 and err ends it
	void *data;
};

// Asks. Returns the status of the answer, -1 when there was none; err is set for -1 and from 400 on ("the engine says:
// ..."). *answer (may be NULL) is the body of a good one, NULL when it has none, owned by the caller.
int engine_ask(struct engine *e, const struct engine_ask *ask, json_t **answer, struct error *err);

// The same for what has no extras; 0 or -1, where any status from 400 on is -1.
int engine_do(
	struct engine *e, const char *method, const char *path, const json_t *body, json_t **answer, struct error *err);

// Runs argv in a container and gives its standard input and output as one descriptor (a socket), owned by the caller.
// It ends when the program or the connection does; what the program said on its standard error is then in the log of
// nobody: say it before.
int engine_exec(struct engine *e, const char *container, const json_t *argv, struct error *err);

#endif
