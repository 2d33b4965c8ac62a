#include "kube/agent_parts.h"

#include "base/archives.h"
#include "base/elf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/parallel.h"
#include "base/str.h"
#include "kube/muster_loader.h"

#include <stdlib.h>
#include <string.h>

enum {
	AGENT_MAX = 256 << 20,
	PART_MAX = (1 << 20) - 1024, // the data of a ConfigMap is at most 1 MiB, with its names
	AT_ONCE = 4,
	TRIES = 3, // to make a ConfigMap that others make and remove
};

#define BOOT "/.muster-boot" // in a container: the loader and the parts
#define METADATA "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
#define COUNT "muster.parts" // annotation of all members of a set: how many parts it has
static const char selected[] = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Dmuster%2C" AGENT_PARTS_LABEL;

// --- the agent ----------------------------------------------------------------

struct agent {
	char *bytes;
	size_t len;
};

static int read_agent(const char *path, struct agent *agent, struct agent_parts *parts, struct error *err)
{
	struct elf elf;
	agent->bytes = fs_read(path, AGENT_MAX, &agent->len, err);
	if (!agent->bytes)
		return -1;
	if (elf_read(agent->bytes, agent->len, &elf, err))
		return error_wrap(err, "the agent '%s'", path);
	if (elf.dynamic)
		return error_set(err, ERROR_SYSTEM,
			"the agent '%s' needs libraries of the image: expected one that is linked statically", path);
	agent->len = elf_strip(agent->bytes, agent->len);
	parts->machine = elf.machine;
	crypto_sha256(agent->bytes, agent->len, parts->sha256);
	struct crypto_hash *both = crypto_hash_new();
	char hex[CRYPTO_HEX];
	crypto_hash_add(both, parts->sha256, sizeof parts->sha256);
	crypto_hash_add(both, muster_loader, muster_loader_size);
	crypto_hash_end(both, hex);
	memcpy(parts->key, hex, sizeof parts->key - 1);
	parts->key[sizeof parts->key - 1] = 0;
	return 0;
}

// --- what is there --------------------------------------------------------------

static const char *metadata_of(const json_t *object, const char *kind, const char *name)
{
	const json_t *metadata = json_object_get(object, "metadata");
	return json_text_or(*kind ? json_object_get(metadata, kind) : metadata, name, "");
}

// The objects of a collection, of which only the metadata is needed. Owned by the caller.
static json_t *list(struct api_server *server, const char *path, const atomic_bool *cancelled, struct error *err)
{
	autojson json_t *answer = NULL;
	struct api_server_ask ask = {.method = "GET", .path = path, .accept = METADATA, .cancelled = cancelled};
	int status = api_server_ask(server, &ask, &answer, err);
	if (status < 0 || status >= 400)
		return NULL;
	json_t *items = json_object_get(answer, "items");
	return json_is_array(items) ? json_incref(items) : json_array();
}

static bool has(const json_t *items, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach (items, i, item)
		if (strcmp(metadata_of(item, "", "name"), name) == 0)
			return true;
	return false;
}

// Is the whole set there? Then *parts has its count.
static bool is_complete(const json_t *items, struct agent_parts *parts)
{
	autofree char *loader = mem_printf(AGENT_PARTS_NAME "-%s-loader", parts->key);
	parts->count = (size_t)atoi(metadata_of(json_array_get(items, 0), "annotations", COUNT));
	bool complete = parts->count > 0 && has(items, loader);
	for (size_t i = 0; complete && i < parts->count; i++) {
		autofree char *name = mem_printf(AGENT_PARTS_NAME "-%s-%zu", parts->key, i);
		complete = has(items, name);
	}
	return complete;
}

// --- making -------------------------------------------------------------------

struct upload {
	struct api_server *server;
	const struct agent_parts *parts;
	const atomic_bool *cancelled;
	struct str gzip;
	char *path; // of the collection
};

// The i-th member of the set; the loader is the last one.
static json_t *make_member(const struct upload *u, size_t i)
{
	const struct agent_parts *p = u->parts;
	autofree char *file = i < p->count ? mem_printf("%zu", i) : mem_strdup("loader");
	autofree char *name = mem_printf(AGENT_PARTS_NAME "-%s-%s", p->key, file);
	autofree char *count = mem_printf("%zu", p->count);
	size_t size = (u->gzip.len + p->count - 1) / p->count, at = i * size;
	size_t len = i + 1 < p->count ? size : u->gzip.len - at;
	autofree char *data =
		i < p->count ? crypto_base64(u->gzip.text + at, len) : crypto_base64(muster_loader, muster_loader_size);
	return mem_json("{s:s, s:s, s:{s:s, s:{s:s, s:s}, s:{s:s}}, s:b, s:{s:s}}", "apiVersion", "v1", "kind",
		"ConfigMap", "metadata", "name", name, "labels", "app.kubernetes.io/managed-by", "muster",
		AGENT_PARTS_LABEL, p->key, "annotations", COUNT, count, "immutable", 1, "binaryData", file, data);
}

// Somebody else has made it. 1: it is not there any more.
static int compare(const struct upload *u, const json_t *member, struct error *err)
{
	const char *name = metadata_of(member, "", "name");
	autofree char *path = mem_printf("%s/%s", u->path, name);
	autojson json_t *found = NULL;
	struct api_server_ask ask = {.method = "GET", .path = path, .cancelled = u->cancelled};
	int status = api_server_ask(u->server, &ask, &found, err);
	if (status < 0 || status >= 400)
		return status == 404 ? 1 : -1;
	if (json_equal(json_object_get(found, "binaryData"), json_object_get(member, "binaryData")))
		return 0;
	return error_set(err, ERROR_SYSTEM,
		"the ConfigMap '%s' in namespace '%s' does not hold this part of the agent: remove it", name,
		api_server_namespace(u->server));
}

static int make(size_t i, void *data, struct error *err)
{
	const struct upload *u = data;
	autojson json_t *member = make_member(u, i);
	struct api_server_ask ask = {.method = "POST", .path = u->path, .body = member, .cancelled = u->cancelled};
	int rc = 1;
	for (int tries = 0; rc == 1 && tries < TRIES; tries++) {
		int status = api_server_ask(u->server, &ask, NULL, err);
		rc = status == 409 ? compare(u, member, err) : status < 0 || status >= 400 ? -1 : 0;
	}
	return rc ? -1 : 0;
}

// All members: those that are there already are compared, because one of another gzip would spoil the others.
static int make_all(struct upload *u, struct agent *agent, const struct agent_parts_options *options,
	struct agent_parts *parts, struct error *err)
{
	if ((!agent->bytes && read_agent(options->agent, agent, parts, err)) ||
		archives_gzip(agent->bytes, agent->len, &u->gzip, err))
		return -1;
	parts->count = (u->gzip.len + PART_MAX - 1) / PART_MAX;
	if (options->on_upload)
		options->on_upload(u->gzip.len + muster_loader_size, options->data);
	if (parallel_run(parts->count + 1, AT_ONCE, make, u, err))
		return error_wrap(err, "cannot bring the agent into namespace '%s'", api_server_namespace(u->server));
	return 0;
}

int agent_parts_ensure(struct api_server *server, const struct agent_parts_options *options, struct agent_parts *parts,
	struct error *err)
{
	struct agent agent = {0};
	if (!*parts->key && read_agent(options->agent, &agent, parts, err)) {
		free(agent.bytes);
		return -1;
	}
	struct upload u = {.server = server, .parts = parts, .cancelled = options->cancelled};
	u.path = mem_printf("/api/v1/namespaces/%s/configmaps", api_server_namespace(server));
	autofree char *path = mem_printf("%s?%s%%3D%s", u.path, selected, parts->key);
	autojson json_t *items = list(server, path, options->cancelled, err);
	int rc = !items || (!is_complete(items, parts) && make_all(&u, &agent, options, parts, err)) ? -1 : 0;
	free(agent.bytes);
	free(u.path);
	str_fini(&u.gzip);
	return rc;
}

// --- the pod's side -------------------------------------------------------------

static void add_source(json_t *sources, const struct agent_parts *parts, const char *file)
{
	autofree char *name = mem_printf(AGENT_PARTS_NAME "-%s-%s", parts->key, file);
	json_array_append_new(sources, mem_json("{s:{s:s}}", "configMap", "name", name));
}

static json_t *parts_volume(const struct agent_parts *parts)
{
	json_t *sources = json_array();
	add_source(sources, parts, "loader");
	for (size_t i = 0; i < parts->count; i++) {
		autofree char *file = mem_printf("%zu", i);
		add_source(sources, parts, file);
	}
	return mem_json(
		"{s:s, s:{s:i, s:o}}", "name", "muster-boot", "projected", "defaultMode", 0555, "sources", sources);
}

json_t *agent_parts_pod(const struct agent_parts *parts, const char *agent_image, const json_t *arguments)
{
	json_t *home = mem_json("{s:s, s:s}", "name", "muster", "mountPath", AGENT_PARTS_HOME);
	json_t *pod = mem_json("{s:[{s:s, s:{}}], s:[o], s:[]}", "volumes", "name", "muster", "emptyDir",
		"volumeMounts", home, "command");
	json_t *command = json_object_get(pod, "command");
	if (agent_image) {
		// Where packaging/Dockerfile puts it.
		json_object_set_new(pod, "initContainers",
			mem_json("[{s:s, s:s, s:[s, s, s], s:[O], s:s}]", "name", "muster-agent", "image", agent_image,
				"command", "/usr/local/bin/muster-agent", "install", AGENT_PARTS_HOME "/agent",
				"volumeMounts", home, "terminationMessagePolicy", "FallbackToLogsOnError"));
	} else {
		json_array_append_new(json_object_get(pod, "volumes"), parts_volume(parts));
		json_array_append_new(json_object_get(pod, "volumeMounts"),
			mem_json("{s:s, s:s, s:b}", "name", "muster-boot", "mountPath", BOOT, "readOnly", 1));
		json_object_set_new(pod, "nodeSelector", mem_json("{s:s}", "kubernetes.io/arch", parts->machine));
		json_array_append_new(command, json_string(BOOT "/loader"));
		json_array_append_new(command, json_string(BOOT));
		json_array_append_new(command, json_string(parts->sha256));
	}
	json_array_append_new(command, json_string(AGENT_PARTS_HOME "/agent"));
	json_array_extend(command, (json_t *)arguments);
	return pod;
}

json_t *agent_parts_command(const char *agent_image, const json_t *arguments)
{
	json_t *command = agent_image ? json_array() : mem_json("[s, s]", BOOT "/loader", "wait");
	json_array_append_new(command, json_string(AGENT_PARTS_HOME "/agent"));
	json_array_extend(command, (json_t *)arguments);
	return command;
}

// --- what nobody needs ----------------------------------------------------------

bool agent_parts_is_set(const char *name)
{
	return str_starts(name, AGENT_PARTS_NAME "-");
}

static bool is_used(const json_t *jobs, const char *key)
{
	size_t i;
	json_t *job;
	json_array_foreach (jobs, i, job)
		if (strcmp(metadata_of(job, "labels", AGENT_PARTS_LABEL), key) == 0)
			return true;
	return false;
}

// The members of the sets that no Job needs. Owned by the caller. The Jobs are asked for last: one that has come
// meanwhile counts.
static json_t *unused(struct api_server *server, const char *set, struct error *err)
{
	const char *namespace = api_server_namespace(server);
	autofree char *maps_path = mem_printf("/api/v1/namespaces/%s/configmaps?%s", namespace, selected);
	autofree char *jobs_path =
		mem_printf("/apis/batch/v1/namespaces/%s/jobs?labelSelector=" AGENT_PARTS_LABEL, namespace);
	autojson json_t *maps = list(server, maps_path, NULL, err);
	autojson json_t *jobs = maps ? list(server, jobs_path, NULL, err) : NULL;
	if (!jobs)
		return NULL;
	json_t *found = json_array();
	size_t i;
	json_t *map;
	json_array_foreach (maps, i, map) {
		const char *key = metadata_of(map, "labels", AGENT_PARTS_LABEL);
		bool wanted = !set || (agent_parts_is_set(set) && strcmp(set + strlen(AGENT_PARTS_NAME "-"), key) == 0);
		if (wanted && !is_used(jobs, key))
			json_array_append(found, map);
	}
	return found;
}

int agent_parts_find_unused(struct api_server *server, const char *set, json_t *found, struct error *err)
{
	autojson json_t *maps = unused(server, set, err);
	size_t i;
	json_t *map;
	json_array_foreach (maps, i, map) {
		autofree char *run = mem_printf(AGENT_PARTS_NAME "-%s", metadata_of(map, "labels", AGENT_PARTS_LABEL));
		json_array_append_new(found, mem_json("{s:s, s:s, s:s, s:b}", "run", run, "what", "ConfigMap", "id",
						     metadata_of(map, "", "name"), "live", 0));
	}
	return maps ? 0 : -1;
}

struct removal {
	struct api_server *server;
	const json_t *maps;
};

// Not one that was removed and made again meanwhile.
static int remove_map(size_t i, void *data, struct error *err)
{
	const struct removal *r = data;
	const json_t *map = json_array_get(r->maps, i);
	autofree char *path = mem_printf(
		"/api/v1/namespaces/%s/configmaps/%s", api_server_namespace(r->server), metadata_of(map, "", "name"));
	autojson json_t *body = mem_json("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "DeleteOptions",
		"preconditions", "uid", metadata_of(map, "", "uid"));
	struct api_server_ask ask = {.method = "DELETE", .path = path, .body = body};
	int status = api_server_ask(r->server, &ask, NULL, err);
	return status == 404 || status == 409 || (status >= 0 && status < 400) ? 0 : -1;
}

int agent_parts_remove_unused(struct api_server *server, const char *set, struct error *err)
{
	autojson json_t *maps = unused(server, set, err);
	struct removal r = {.server = server, .maps = maps};
	return maps ? parallel_run(json_array_size(maps), AT_ONCE, remove_map, &r, err) : -1;
}
