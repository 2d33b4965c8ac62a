#include "docker/rank_container.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "docker/label.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGENT "/.muster/agent"
#define SHM (1 << 30) // of /dev/shm; the engine's 64 MiB are too little for MPI and data loaders
#define SOCKET "/var/run/docker.sock"

// --- the engine -----------------------------------------------------------------

// Where its unix socket would be; NULL: it is named otherwise.
static const char *socket_path(void)
{
	const char *named = getenv("DOCKER_HOST");
	if (!engine_is_named())
		return SOCKET;
	return str_starts(named, "unix://") ? named + strlen("unix://") : NULL;
}

static int advise(struct error *err)
{
	const char *path = socket_path();
	if (path && access(path, F_OK))
		return error_wrap(
			err, "there is no Docker Engine ('packages: [docker.io]' among the setup steps installs one)");
	if (path && access(path, W_OK))
		return error_wrap(err, "this user may not ask the Docker Engine (the group 'docker' may)");
	return -1;
}

struct engine *rank_container_engine(struct error *err)
{
	struct engine *e = engine_open(err);
	if (!e)
		advise(err);
	else if (!engine_is_local(e)) {
		error_set(err, ERROR_USAGE,
			"the engine at %s does not see the files of this node, expected DOCKER_HOST=unix://PATH",
			engine_place(e));
		engine_free(steal(e));
	}
	return e;
}

// --- making -----------------------------------------------------------------------

// The user that this process is, as the engine calls it: one that is not root's own calls him root.
static char *own_user(struct engine *e, struct error *err)
{
	autojson json_t *info = NULL;
	if (engine_do(e, "GET", "/info", NULL, &info, err))
		return NULL;
	size_t i;
	json_t *option;
	json_array_foreach (json_object_get(info, "SecurityOptions"), i, option)
		if (json_is_string(option) && strstr(json_string_value(option), "name=rootless"))
			return mem_strdup("0:0");
	return mem_printf("%d:%d", (int)geteuid(), (int)getegid());
}

static json_t *bind(const char *from, const char *to, bool read_only)
{
	return mem_json("{s:s, s:s, s:s, s:b}", "Type", "bind", "Source", from, "Target", to, "ReadOnly", read_only);
}

static json_t *host_config(const struct rank_container *box)
{
	json_t *mounts = json_array();
	json_array_append_new(mounts, bind(box->program, AGENT, true));
	size_t i;
	json_t *dir;
	json_array_foreach (box->dirs, i, dir)
		json_array_append_new(mounts, bind(json_string_value(dir), json_string_value(dir), false));
	// Shared memory of its own: who shares it looks for the others' processes as well, and these are not to be seen
	// from here.
	json_t *host = mem_json("{s:s, s:s, s:s, s:I, s:b, s:o, s:{s:s}}", "NetworkMode", "host", "UsernsMode", "host",
		"IpcMode", "private", "ShmSize", (json_int_t)SHM, "AutoRemove", 1, "Mounts", mounts, "LogConfig",
		"Type", "none");
	if (box->volumes)
		json_object_set_new(host, "Binds", json_deep_copy(box->volumes));
	return host;
}

// Its environment says whose it is, so that who reaps without the engine finds it too.
static json_t *body_of(const struct rank_container *box, const char *user)
{
	autofree char *run = mem_printf("MUSTER_RUN=%s", box->label);
	json_t *labels = label_make(box->label, NULL);
	json_object_set_new(labels, "muster.node", json_string(box->node));
	return mem_json("{s:s, s:s, s:[s], s:[s, s], s:[s], s:o, s:{s:[s]}, s:o}", "Image", box->image, "User", user,
		"Entrypoint", AGENT, "Cmd", "container-init", box->socket, "Env", run, "Labels", labels, "Healthcheck",
		"Test", "NONE", "HostConfig", host_config(box));
}

char *rank_container_make(struct engine *e, const struct rank_container *box, struct error *err)
{
	autofree char *user = own_user(e, err);
	if (!user)
		return NULL;
	autofree char *create = mem_printf("/containers/create?name=%s-node-%s", box->label, box->node);
	autojson json_t *body = body_of(box, user), *made = NULL;
	if (engine_do(e, "POST", create, body, &made, err))
		return NULL;
	const char *id = json_text_or(made, "Id", "");
	autofree char *start = mem_printf("/containers/%s/start", id);
	if (!engine_do(e, "POST", start, NULL, NULL, err))
		return mem_strdup(id);
	label_remove(e, "containers", id, NULL);
	return NULL;
}

bool rank_container_runs(struct engine *e, const char *id)
{
	autofree char *path = mem_printf("/containers/%s/json", id);
	autojson json_t *said = NULL;
	int status = engine_ask(e, &(struct engine_ask){.method = "GET", .path = path}, &said, NULL);
	return status != 404 && !json_is_false(json_object_get(json_object_get(said, "State"), "Running"));
}

// --- removing ---------------------------------------------------------------------

int rank_container_remove(struct engine *e, const char *label, const char *node, struct error *err)
{
	autojson json_t *found = label_find(e, "containers", label, err);
	int rc = found ? 0 : -1;
	size_t i;
	json_t *item;
	json_array_foreach (found, i, item)
		if (!node || strcmp(json_text_or(json_object_get(item, "Labels"), "muster.node", ""), node) == 0)
			rc |= label_remove(e, "containers", json_text_or(item, "Id", ""), rc ? NULL : err);
	return rc ? -1 : 0;
}

// Whoever may not ask the engine has not made anything there.
static struct engine *find_engine(void)
{
	const char *path = socket_path();
	return path && !access(path, W_OK) ? engine_open(NULL) : NULL;
}

int rank_container_reap(const char *label, struct error *err)
{
	struct engine *e = find_engine();
	int rc = e ? rank_container_remove(e, label, NULL, err) : 0;
	engine_free(e);
	return rc;
}

int rank_container_list(const char *label, json_t *found, struct error *err)
{
	struct engine *e = find_engine();
	int rc = e ? label_list(e, "containers", label, found, err) : 0;
	engine_free(e);
	return rc;
}
