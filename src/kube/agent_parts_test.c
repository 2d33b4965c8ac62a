// Over a stand-in for the API server that keeps ConfigMaps and Jobs.
#include "base/archives.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/agent_parts.h"
#include "kube/muster_loader.h"

#include <elf.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// --- the stand-in ---------------------------------------------------------------

static struct {
	pthread_mutex_t lock; // several ConfigMaps are made at once
	json_t *maps, *jobs;  // objects by name
	size_t asked, made, removed;
	int refuse;           // the status of every POST; 0: none
	const char *vanishes; // a ConfigMap that is removed as soon as somebody is told that it is there
} server = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *api_server_namespace(const struct api_server *s)
{
	return "lab";
}

static bool is_selected(const json_t *object, const char *path)
{
	const char *key =
		json_text_or(json_object_get(json_object_get(object, "metadata"), "labels"), AGENT_PARTS_LABEL, NULL);
	const char *equal = strstr(path, AGENT_PARTS_LABEL "%3D");
	return key && (!equal || strcmp(equal + strlen(AGENT_PARTS_LABEL "%3D"), key) == 0);
}

static json_t *list(const json_t *objects, const char *path)
{
	json_t *items = json_array();
	const char *name;
	json_t *object;
	json_object_foreach ((json_t *)objects, name, object)
		if (is_selected(object, path))
			json_array_append_new(
				items, mem_json("{s:O}", "metadata", json_object_get(object, "metadata")));
	return mem_json("{s:s, s:o}", "kind", "PartialObjectMetadataList", "items", items);
}

static int post(const json_t *body)
{
	const char *name = json_text(json_object_get(body, "metadata"), "name");
	if (server.refuse)
		return server.refuse;
	assert_non_null(name);
	if (json_object_get(server.maps, name)) {
		if (server.vanishes && strcmp(server.vanishes, name) == 0) {
			json_object_del(server.maps, name);
			server.vanishes = NULL;
		}
		return 409;
	}
	autofree char *uid = mem_printf("uid-%zu", ++server.made);
	json_t *kept = json_deep_copy(body);
	json_object_set_new(json_object_get(kept, "metadata"), "uid", json_string(uid));
	json_object_set_new(server.maps, name, kept);
	return 201;
}

static int delete (const char *name, const json_t *body)
{
	const json_t *map = json_object_get(server.maps, name);
	if (!map)
		return 404;
	const char *uid = json_text(json_object_get(body, "preconditions"), "uid");
	if (!json_is(json_object_get(map, "metadata"), "uid", uid))
		return 409;
	json_object_del(server.maps, name);
	server.removed++;
	return 200;
}

static int answer_of(const struct api_server_ask *ask, json_t **answer)
{
	const char *maps = "/api/v1/namespaces/lab/configmaps", *jobs = "/apis/batch/v1/namespaces/lab/jobs";
	const char *name = str_starts(ask->path, maps) ? ask->path + strlen(maps) : "";
	if (strcmp(ask->method, "GET") == 0 && str_starts(ask->path, jobs)) {
		assert_true(str_starts(ask->accept, "application/json;as=PartialObjectMetadataList"));
		*answer = list(server.jobs, ask->path);
	} else if (strcmp(ask->method, "GET") == 0 && *name == '?') {
		assert_true(str_starts(ask->accept, "application/json;as=PartialObjectMetadataList"));
		*answer = list(server.maps, ask->path);
	} else if (strcmp(ask->method, "GET") == 0 && *name == '/') {
		*answer = json_incref(json_object_get(server.maps, name + 1));
		return *answer ? 200 : 404;
	} else if (strcmp(ask->method, "POST") == 0 && !*name) {
		return post(ask->body);
	} else if (strcmp(ask->method, "DELETE") == 0 && *name == '/') {
		return delete (name + 1, ask->body);
	} else {
		fail_msg("%s %s", ask->method, ask->path);
	}
	return 200;
}

int api_server_ask(struct api_server *s, const struct api_server_ask *ask, json_t **answer, struct error *err)
{
	json_t *got = NULL;
	pthread_mutex_lock(&server.lock);
	server.asked++;
	int status = answer_of(ask, &got);
	pthread_mutex_unlock(&server.lock);
	if (answer)
		*answer = got;
	else
		json_decref(got);
	if (status >= 400)
		error_set(err, ERROR_SYSTEM, "the API server says: %d", status);
	return status;
}

// --- the tests ------------------------------------------------------------------

struct place {
	char dir[40];
	char *agent;       // a file
	struct str loaded; // what of it is loaded
};

// An agent with so many bytes that do not become smaller, and something for debuggers behind them.
static void write_agent(struct place *p, int machine, int type, size_t bytes)
{
	struct {
		Elf64_Ehdr head;
		Elf64_Phdr segment;
	} elf = {.head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			 .e_type = ET_EXEC,
			 .e_machine = (Elf64_Half)machine,
			 .e_phoff = sizeof elf.head,
			 .e_phnum = 1,
			 .e_phentsize = sizeof elf.segment},
		.segment = {.p_type = (Elf64_Word)type, .p_filesz = sizeof elf + bytes}};
	autofree char *noise = mem_alloc(bytes + 1);
	uint32_t seed = 7;
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525 + 1013904223;
		noise[i] = (char)(seed >> 24);
	}
	str_fini(&p->loaded);
	p->loaded = (struct str){0};
	str_add(&p->loaded, &elf, sizeof elf);
	str_add(&p->loaded, noise, bytes);
	autofree char *all = mem_printf("%*sfor debuggers", (int)p->loaded.len, "");
	memcpy(all, p->loaded.text, p->loaded.len);
	assert_int_equal(fs_write(p->agent, all, p->loaded.len + strlen("for debuggers"), 0755, NULL), 0);
}

static int setup(void **state)
{
	struct place *p = mem_alloc(sizeof *p);
	strcpy(p->dir, "/tmp/agent-parts-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	p->agent = fs_join(p->dir, "agent");
	write_agent(p, EM_X86_64, PT_LOAD, 2500000);
	server.maps = json_object();
	server.jobs = json_object();
	server.asked = server.made = server.removed = 0;
	server.refuse = 0;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	assert_int_equal(fs_remove(p->dir, NULL), 0);
	free(p->agent);
	str_fini(&p->loaded);
	free(p);
	json_decref(server.maps);
	json_decref(server.jobs);
	return 0;
}

static size_t uploaded;

static void on_upload(size_t bytes, void *data)
{
	uploaded += bytes;
}

static int ensure(const struct place *p, struct agent_parts *parts, struct error *err)
{
	struct agent_parts_options options = {.agent = p->agent, .on_upload = on_upload};
	uploaded = 0;
	memset(parts, 0, sizeof *parts);
	return agent_parts_ensure(NULL, &options, parts, err);
}

static json_t *member(const struct agent_parts *parts, const char *file)
{
	autofree char *name = mem_printf("muster-agent-%s-%s", parts->key, file);
	json_t *map = json_object_get(server.maps, name);
	if (!map)
		fail_msg("no %s", name);
	return map;
}

// Adds what the file of a ConfigMap holds.
static void take(const json_t *map, const char *file, struct str *to)
{
	size_t len;
	autofree char *bytes = crypto_base64_decode(json_text_or(json_object_get(map, "binaryData"), file, ""), &len);
	assert_non_null(bytes);
	assert_true(len > 0 && len + strlen(file) <= 1 << 20); // the limit of the API server
	str_add(to, bytes, len);
}

static void test_ensure(void **state)
{
	const struct place *p = *state;
	struct agent_parts parts;
	char sha256[CRYPTO_HEX];
	assert_int_equal(ensure(p, &parts, NULL), 0);
	crypto_sha256(p->loaded.text, p->loaded.len, sha256);
	assert_string_equal(parts.sha256, sha256);
	assert_string_equal(parts.machine, "amd64");
	assert_int_equal(strlen(parts.key), AGENT_PARTS_KEY - 1);
	assert_int_equal(parts.count, 3);
	assert_int_equal(json_object_size(server.maps), 4);
	struct str got = {0}, gzip = {0}, loader = {0};
	for (size_t i = 0; i < parts.count; i++) {
		autofree char *file = mem_printf("%zu", i);
		json_t *map = member(&parts, file);
		assert_true(json_is_true(json_object_get(map, "immutable")));
		assert_true(json_is(json_object_get(json_object_get(map, "metadata"), "labels"),
			"app.kubernetes.io/managed-by", "muster"));
		take(map, file, &got);
	}
	assert_int_equal(archives_gzip(p->loaded.text, p->loaded.len, &gzip, NULL), 0);
	assert_int_equal(got.len, gzip.len);
	assert_memory_equal(got.text, gzip.text, gzip.len);
	take(member(&parts, "loader"), "loader", &loader);
	assert_int_equal(loader.len, muster_loader_size);
	assert_memory_equal(loader.text, muster_loader, muster_loader_size);
	assert_int_equal(uploaded, got.len + loader.len);
	str_fini(&got);
	str_fini(&gzip);
	str_fini(&loader);
}

static void test_ensure_again(void **state)
{
	const struct place *p = *state;
	struct agent_parts first, again;
	assert_int_equal(ensure(p, &first, NULL), 0);
	size_t asked = server.asked;
	assert_int_equal(ensure(p, &again, NULL), 0);
	assert_int_equal(server.asked, asked + 1); // only the list
	assert_int_equal(uploaded, 0);
	assert_memory_equal(&first, &again, sizeof first);
	// What is known needs no agent, as long as nothing is missing.
	struct agent_parts_options options = {.agent = "/none", .on_upload = on_upload};
	assert_int_equal(agent_parts_ensure(NULL, &options, &again, NULL), 0);
	// One that was removed is brought back, the others are found to be right.
	autofree char *name = mem_printf("muster-agent-%s-1", first.key);
	json_object_del(server.maps, name);
	struct error err = {0};
	assert_int_equal(agent_parts_ensure(NULL, &options, &again, &err), -1);
	assert_non_null(strstr(err.text, "/none"));
	options.agent = p->agent;
	assert_int_equal(agent_parts_ensure(NULL, &options, &again, NULL), 0);
	assert_int_equal(server.made, 5);
	member(&again, "1");
	// Somebody removes one while it is looked at.
	json_object_del(server.maps, name);
	autofree char *other = mem_printf("muster-agent-%s-0", first.key);
	server.vanishes = other;
	assert_int_equal(ensure(p, &again, NULL), 0);
	assert_null(server.vanishes);
	member(&again, "0");
}

static void test_other_bytes(void **state)
{
	const struct place *p = *state;
	struct agent_parts parts;
	struct error err = {0};
	assert_int_equal(ensure(p, &parts, NULL), 0);
	json_t *map = member(&parts, "0");
	json_object_set_new(json_object_get(map, "binaryData"), "0", json_string("AAAA"));
	autofree char *name = mem_printf("muster-agent-%s-2", parts.key);
	json_object_del(server.maps, name);
	assert_int_equal(ensure(p, &parts, &err), -1);
	assert_non_null(strstr(err.text, "cannot bring the agent into namespace 'lab': the ConfigMap 'muster-agent-"));
	assert_non_null(strstr(err.text, "-0' in namespace 'lab' does not hold this part of the agent: remove it"));
}

static void test_other_agents(void **state)
{
	struct place *p = *state;
	struct agent_parts parts, other;
	struct error err = {0};
	assert_int_equal(ensure(p, &parts, NULL), 0);
	write_agent(p, EM_AARCH64, PT_LOAD, 1000);
	assert_int_equal(ensure(p, &other, NULL), 0);
	assert_string_not_equal(parts.key, other.key);
	assert_string_equal(other.machine, "arm64");
	assert_int_equal(other.count, 1);
	assert_int_equal(json_object_size(server.maps), 6);
	write_agent(p, EM_X86_64, PT_INTERP, 1000);
	assert_int_equal(ensure(p, &other, &err), -1);
	assert_non_null(strstr(err.text, "needs libraries of the image: expected one that is linked statically"));
	assert_int_equal(fs_write(p->agent, "#!/bin/sh\n", 10, 0755, NULL), 0);
	assert_int_equal(ensure(p, &other, &err), -1);
	assert_non_null(strstr(err.text, "/agent': expected an executable"));
	assert_int_equal(fs_remove(p->agent, NULL), 0);
	assert_int_equal(ensure(p, &other, &err), -1);
	assert_non_null(strstr(err.text, "No such file or directory"));
}

static void test_refused(void **state)
{
	struct agent_parts parts;
	struct error err = {0};
	server.refuse = 403;
	assert_int_equal(ensure(*state, &parts, &err), -1);
	assert_string_equal(err.text, "cannot bring the agent into namespace 'lab': the API server says: 403");
}

static void test_pod(void **state)
{
	struct agent_parts parts = {.sha256 = "abc", .key = "k", .count = 2, .machine = "amd64"};
	autojson json_t *arguments = mem_json("[s, s]", "pause", "60");
	autojson json_t *pod = agent_parts_pod(&parts, NULL, arguments);
	autojson json_t *expected = json_loads(
		"{\"volumes\": [{\"name\": \"muster\", \"emptyDir\": {}}, {\"name\": \"muster-boot\", \"projected\": "
		"{\"defaultMode\": 365, \"sources\": [{\"configMap\": {\"name\": \"muster-agent-k-loader\"}}, "
		"{\"configMap\": {\"name\": \"muster-agent-k-0\"}}, {\"configMap\": {\"name\": "
		"\"muster-agent-k-1\"}}]}}],"
		"\"volumeMounts\": [{\"name\": \"muster\", \"mountPath\": \"/.muster\"}, {\"name\": \"muster-boot\", "
		"\"mountPath\": \"/.muster-boot\", \"readOnly\": true}],"
		"\"nodeSelector\": {\"kubernetes.io/arch\": \"amd64\"},"
		"\"command\": [\"/.muster-boot/loader\", \"/.muster-boot\", \"abc\", \"/.muster/agent\", \"pause\", "
		"\"60\"]}",
		0, NULL);
	assert_non_null(expected);
	assert_true(json_equal(pod, expected));
}

static void test_agent_image(void **state)
{
	autojson json_t *arguments = mem_json("[s, s]", "pause", "60");
	autojson json_t *pod = agent_parts_pod(NULL, "agents:1", arguments);
	autojson json_t *expected =
		json_loads("{\"volumes\": [{\"name\": \"muster\", \"emptyDir\": {}}],"
			   "\"volumeMounts\": [{\"name\": \"muster\", \"mountPath\": \"/.muster\"}],"
			   "\"initContainers\": [{\"name\": \"muster-agent\", \"image\": \"agents:1\", \"command\": "
			   "[\"/usr/local/bin/muster-agent\", \"install\", \"/.muster/agent\"], \"volumeMounts\": "
			   "[{\"name\": \"muster\", \"mountPath\": \"/.muster\"}], \"terminationMessagePolicy\": "
			   "\"FallbackToLogsOnError\"}],"
			   "\"command\": [\"/.muster/agent\", \"pause\", \"60\"]}",
			0, NULL);
	assert_non_null(expected);
	assert_true(json_equal(pod, expected));
}

static void test_command(void **state)
{
	autojson json_t *arguments = mem_json("[s]", "bridge");
	autojson json_t *loaded = agent_parts_command(NULL, arguments);
	autojson json_t *installed = agent_parts_command("agents:1", arguments);
	autojson json_t *through = mem_json("[s, s, s, s]", "/.muster-boot/loader", "wait", "/.muster/agent", "bridge");
	autojson json_t *direct = mem_json("[s, s]", "/.muster/agent", "bridge");
	assert_true(json_equal(loaded, through));
	assert_true(json_equal(installed, direct));
}

static void add_job(const char *key)
{
	json_object_set_new(server.jobs, "job",
		mem_json("{s:{s:s, s:{s:s}}}", "metadata", "name", "job", "labels", AGENT_PARTS_LABEL, key));
}

static void test_unused(void **state)
{
	struct place *p = *state;
	struct agent_parts used, other;
	assert_int_equal(ensure(p, &used, NULL), 0);
	write_agent(p, EM_X86_64, PT_LOAD, 1000);
	assert_int_equal(ensure(p, &other, NULL), 0);
	add_job(used.key);
	json_object_set_new(server.maps, "theirs", mem_json("{s:{s:s}}", "metadata", "name", "theirs"));

	autojson json_t *found = json_array();
	autofree char *set = mem_printf("muster-agent-%s", other.key), *used_set = NULL;
	autofree char *loader = mem_printf("%s-loader", set);
	assert_int_equal(agent_parts_find_unused(NULL, NULL, found, NULL), 0);
	assert_int_equal(json_array_size(found), 2);
	autojson json_t *expected =
		mem_json("{s:s, s:s, s:s, s:b}", "run", set, "what", "ConfigMap", "id", loader, "live", 0);
	assert_true(json_equal(json_array_get(found, 0), expected) || json_equal(json_array_get(found, 1), expected));
	assert_true(agent_parts_is_set(set));
	assert_false(agent_parts_is_set("20261128-094512-mnist"));

	used_set = mem_printf("muster-agent-%s", used.key);
	assert_int_equal(agent_parts_remove_unused(NULL, used_set, NULL), 0); // it is used
	assert_int_equal(agent_parts_remove_unused(NULL, "20261128-094512-mnist", NULL), 0);
	assert_int_equal(server.removed, 0);
	assert_int_equal(agent_parts_remove_unused(NULL, set, NULL), 0);
	assert_int_equal(server.removed, 2);
	assert_int_equal(json_object_size(server.maps), 5);
	json_object_clear(server.jobs);
	assert_int_equal(agent_parts_remove_unused(NULL, NULL, NULL), 0);
	assert_int_equal(json_object_size(server.maps), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ensure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ensure_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_agents, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test(test_pod),
		cmocka_unit_test(test_agent_image),
		cmocka_unit_test(test_command),
		cmocka_unit_test_setup_teardown(test_unused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
