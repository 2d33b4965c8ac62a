#include "base/mem.h"
#include "kube/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char agent[] =
	"{\"volumes\": [{\"name\": \"muster\", \"emptyDir\": {}}], \"nodeSelector\": {\"kubernetes.io/arch\": "
	"\"arm64\"},"
	"\"volumeMounts\": [{\"name\": \"muster\", \"mountPath\": \"/.muster\"}], \"command\": [\"/.muster/agent\"],"
	"\"initContainers\": [{\"name\": \"muster-agent\", \"image\": \"i\"}]}";

static json_t *parse(const char *text)
{
	json_error_t why;
	json_t *json = json_loads(text, 0, &why);
	if (!json)
		fail_msg("%s", why.text);
	return json;
}

// A plan with nodes of the roles "a", "a", "b", and what more there is to say.
static json_t *plan_of(const char *kubernetes, const char *more)
{
	autofree char *text = mem_printf(
		"{\"plan\": 1, \"grace\": 2.5, \"lease\": 3000, \"kubernetes\": %s, \"nodes\": ["
		"{\"node\": 0, \"name\": \"node-0\", \"role\": \"a\", \"index\": 0, \"cpus\": 2, \"memory\": null, "
		"\"image\": \"x\"},"
		"{\"node\": 1, \"name\": \"node-1\", \"role\": \"a\", \"index\": 1, \"cpus\": 2, \"memory\": null, "
		"\"image\": \"x\"},"
		"{\"node\": 2, \"name\": \"node-2\", \"role\": \"b\", \"index\": 0, \"cpus\": null, \"memory\": 7, "
		"\"image\": \"y\"}]%s}",
		kubernetes, more);
	return parse(text);
}

static json_t *make(const json_t *plan, const char *nodes, size_t before)
{
	struct error err = {0};
	autojson json_t *list = parse(nodes), *brings = parse(agent), *notes = parse("{\"muster.run_dir\": \"/runs\"}");
	struct manifest m = {.plan = plan, .label = "r-1", .agent = brings, .agent_label = "k", .annotations = notes};
	json_t *jobs = manifest_make(&m, list, &before, &err);
	if (!jobs)
		fail_msg("%s", err.text);
	return jobs;
}

// What stands at a path such as "0/spec/template/spec/containers/0/name", as JSON; "-" for nothing.
static void check(const json_t *json, const char *path, const char *want)
{
	const char *end;
	for (const char *at = path; json && *at; at = *end ? end + 1 : end) {
		end = at + strcspn(at, "/");
		autofree char *key = mem_strndup(at, (size_t)(end - at));
		json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10)) : json_object_get(json, key);
	}
	autofree char *got = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT) : mem_strdup("-");
	if (strcmp(got, want) != 0)
		fail_msg("%s is %s, expected %s", path, got, want);
}

static void test_a_job_for_each_role(void **state)
{
	autojson json_t *plan = plan_of("{}", "");
	autojson json_t *jobs = make(plan, "[0, 1, 2]", 0);
	assert_int_equal(json_array_size(jobs), 2);
	check(jobs, "0/metadata/name", "\"muster-r-1-a\"");
	check(jobs, "1/metadata/name", "\"muster-r-1-b\"");
	check(jobs, "0/metadata/annotations", "{\"muster.nodes\":\"0-1\",\"muster.run_dir\":\"/runs\"}");
	check(jobs, "0/metadata/labels/muster.agent", "\"k\"");
	check(jobs, "0/spec/completions", "2");
	check(jobs, "0/spec/parallelism", "2");
	check(jobs, "0/spec/backoffLimit", "0");
	check(jobs, "0/spec/backoffLimitPerIndex", "-");
	check(jobs, "0/spec/activeDeadlineSeconds", "-");
	check(jobs, "0/spec/suspend", "-");
	check(jobs, "1/spec/template/metadata/annotations/muster.nodes", "\"2\"");
	check(jobs, "1/spec/template/metadata/annotations/muster.run_dir", "-");
	check(jobs, "1/spec/template/spec/containers/0/image", "\"y\"");
	check(jobs, "0/spec/template/spec/containers/0/resources",
		"{\"requests\":{\"cpu\":\"2\"},\"limits\":{\"cpu\":\"2\"}}");
	check(jobs, "1/spec/template/spec/containers/0/resources",
		"{\"requests\":{\"memory\":\"7\"},\"limits\":{\"memory\":\"7\"}}");
	check(jobs, "0/spec/template/spec/terminationGracePeriodSeconds", "33");
	check(jobs, "0/spec/template/spec/tolerations/0/tolerationSeconds", "300"); // not the lease of 3000
	check(jobs, "0/spec/template/spec/automountServiceAccountToken", "false");
	check(jobs, "0/spec/template/spec/securityContext", "{\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}");
}

static void test_init_containers_are_restricted_too(void **state)
{
	autojson json_t *plan = plan_of("{}", "");
	autojson json_t *jobs = make(plan, "[0]", 0);
	check(jobs, "0/spec/template/spec/initContainers/0",
		"{\"name\":\"muster-agent\",\"image\":\"i\",\"securityContext\":{\"allowPrivilegeEscalation\":false,"
		"\"capabilities\":{\"drop\":[\"ALL\"]}},\"resources\":{\"requests\":{\"cpu\":\"2\"},\"limits\":{"
		"\"cpu\":"
		"\"2\"}}}");
}

static void test_persistent(void **state)
{
	autojson json_t *plan = plan_of("{}", ", \"actions\": {}");
	autojson json_t *jobs = make(plan, "[1]", 2);
	check(jobs, "0/spec/backoffLimit", "-");
	check(jobs, "0/spec/backoffLimitPerIndex", "0");
	check(jobs, "0/metadata/annotations/muster.nodes", "\"1\"");
}

static void test_queue_and_owner(void **state)
{
	autojson json_t *plan = plan_of("{\"queue\": \"q\", \"active_deadline\": 7, \"service_account\": \"s\"}", "");
	autojson json_t *jobs = make(plan, "[0]", 0);
	check(jobs, "0/spec/suspend", "true");
	check(jobs, "0/spec/activeDeadlineSeconds", "7");
	const json_t *labels = json_object_get(json_object_get(json_array_get(jobs, 0), "metadata"), "labels");
	assert_string_equal(json_string_value(json_object_get(labels, "kueue.x-k8s.io/queue-name")), "q");
	check(jobs, "0/spec/template/spec/automountServiceAccountToken", "true");
	autojson json_t *made = parse("{\"metadata\": {\"name\": \"n\", \"uid\": \"u\"}}"),
			*owner = manifest_owner(made);
	check(owner, "", "{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"name\":\"n\",\"uid\":\"u\"}");
	autojson json_t *none = parse("{\"metadata\": {\"name\": \"n\"}}");
	assert_null(manifest_owner(none));
	assert_null(manifest_owner(NULL));
}

static void refuse(const char *nodes, const char *want)
{
	struct error err = {0};
	size_t before = 3;
	autojson json_t *list = parse(nodes), *brings = parse(agent), *plan = plan_of("{}", "");
	json_object_del(json_array_get(json_object_get(plan, "nodes"), 1), "image");
	struct manifest m = {.plan = plan, .label = "r-1", .agent = brings};
	assert_null(manifest_make(&m, list, &before, &err));
	assert_string_equal(err.text, want);
	assert_int_equal(before, 3);
}

static void test_refuses(void **state)
{
	refuse("[2, 3]", "found node 3, expected one of the plan's 3");
	refuse("[0, 1]", "'node-1' has no image, expected 'cluster.image' for the kubernetes executor");
}

// --- names ----------------------------------------------------------------------

static bool is_label(const char *name)
{
	size_t len = strlen(name);
	return len && len <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == len && name[0] != '-' &&
	       name[len - 1] != '-';
}

static void test_names(void **state)
{
	static const struct {
		const char *run, *role;
		size_t before;
	} cases[] = {
		{"mnist-0123abcd", "worker", 0},
		{"mnist-0123abcd", "worker", 1},
		{"mnist-0123abcd", "worker", 2},
		{"mnist-0123abcd", "worker-1", 0},
		{"mnist-0123abcd-worker", "1", 0},
		{"mnist-0123abcd", "0123abcd-worker", 0},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1", "worker", 0},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2", "worker", 0},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2", "ps", 0},
		{"a-----------------------------------------------b", "ps", 0},
		{"r", "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww1", 0},
		{"r", "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww2", 0},
	};
	autojson json_t *seen = json_object();
	for (size_t i = 0; i < countof(cases); i++) {
		autofree char *name = manifest_name(cases[i].run, cases[i].role, cases[i].before);
		autofree char *pod = mem_printf("%s-9999-abcde", name);
		assert_true(is_label(name) && is_label(pod));
		assert_null(json_object_get(seen, name));
		json_object_set_new(seen, name, json_true());
	}
	autofree char *plain = manifest_name("mnist-0123abcd", "worker", 0);
	assert_string_equal(plain, "muster-mnist-0123abcd-worker");
}

static void test_long_roles_as_labels(void **state)
{
	autojson json_t *plan = plan_of("{}", "");
	json_t *node = json_array_get(json_object_get(plan, "nodes"), 0);
	json_object_set_new(node, "role",
		json_string("wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww"));
	autojson json_t *jobs = make(plan, "[0]", 0);
	const json_t *labels = json_object_get(json_object_get(json_array_get(jobs, 0), "metadata"), "labels");
	assert_true(is_label(json_string_value(json_object_get(labels, MANIFEST_ROLE))));
}

// --- numbers of nodes -------------------------------------------------------------

static json_t *object_of(const char *nodes, const char *index)
{
	return mem_json("{s:{s:{s:s*, s:s*}}}", "metadata", "annotations", MANIFEST_NODES, nodes,
		"batch.kubernetes.io/job-completion-index", index);
}

static void test_nodes(void **state)
{
	static const struct {
		const char *text, *want; // NULL: refused
	} cases[] = {
		{"0", "[0]"},
		{"0-2,5", "[0,1,2,5]"},
		{"9999", "[9999]"},
		{"3,1", "[3,1]"},
		{"", NULL},
		{",", NULL},
		{"1,", NULL},
		{"1-", NULL},
		{"-1", NULL},
		{"2-1", NULL},
		{"10000", NULL},
		{"123456789012345678901", NULL},
		{"1 ", NULL},
		{"1-2-3", NULL},
		{"0-9999,1", NULL},
		{"a", NULL},
	};
	for (size_t i = 0; i < countof(cases); i++) {
		autojson json_t *object = object_of(cases[i].text, NULL), *nodes = manifest_nodes(object);
		autofree char *got = nodes ? json_dumps(nodes, JSON_COMPACT) : NULL;
		if (cases[i].want)
			assert_string_equal(got, cases[i].want);
		else
			assert_null(nodes);
	}
	assert_null(manifest_nodes(NULL));
}

static void test_node_of_a_pod(void **state)
{
	static const struct {
		const char *nodes, *index;
		long want;
	} cases[] = {{"0-2,5", "3", 5}, {"0-2,5", "4", -1}, {"0-2,5", "", -1}, {"0-2,5", "1x", -1}, {"0-2,5", NULL, -1},
		{NULL, "0", -1}, {"x", "0", -1}};
	for (size_t i = 0; i < countof(cases); i++) {
		autojson json_t *pod = object_of(cases[i].nodes, cases[i].index);
		assert_int_equal(manifest_node(pod), cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_job_for_each_role),
		cmocka_unit_test(test_init_containers_are_restricted_too),
		cmocka_unit_test(test_persistent),
		cmocka_unit_test(test_queue_and_owner),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_roles_as_labels),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_node_of_a_pod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
