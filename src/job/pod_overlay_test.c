#include "base/mem.h"
#include "job/pod_overlay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct yaml *parse(const char *text)
{
	struct error err = {0};
	struct yaml *node = yaml_parse(text, strlen(text), &(struct yaml_origin){"f", 1, 1}, &err);
	assert_non_null(node);
	return node;
}

static void accept(const char *text)
{
	struct error err = {0};
	struct yaml *node = parse(text);
	if (pod_overlay_check(node, "pod", &err))
		fail_msg("%s", err.text);
	yaml_discard(node);
}

static void refuse(const char *text, const char *want)
{
	struct error err = {0};
	struct yaml *node = parse(text);
	assert_int_equal(pod_overlay_check(node, "pod", &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	assert_string_equal(err.text, want);
	yaml_discard(node);
}

static void test_accepts(void **state)
{
	accept("{}");
	accept("{metadata: {labels: {a: b, n: 1}}, spec: {}}");
	accept("{spec: {containers: [{name: node, image: x, securityContext: null}, {name: side, command: [a]}]}}");
	accept("{spec: {containers: [{name: node, volumeMounts: [{mountPath: /.mustard, name: a}]}]}}");
	accept("{spec: {containers: [{name: side, volumeMounts: [{mountPath: /.muster, name: a}]}]}}");
	accept("{spec: {restartPolicy: Never, terminationGracePeriodSeconds: 1, volumes: [{name: a}]}}");
}

static void test_refuses_shapes(void **state)
{
	refuse("[a]", "f:1:1: found a list for 'pod', expected a map of keys and values");
	refuse("{dnsPolicy: Default}",
		"f:1:2: found the unknown key 'dnsPolicy' in 'pod', expected 'metadata' or 'spec'");
	refuse("{metadata: {name: a}}",
		"f:1:13: found the unknown key 'name' in 'pod.metadata', expected 'labels' or 'annotations'");
	refuse("{metadata: }", "f:1:12: found nothing for 'pod.metadata', expected a map of keys and values");
	refuse("{metadata: {labels: {a: [b]}}}", "f:1:25: found a list for 'pod.metadata.labels.a', expected a text");
	refuse("{spec: {volumes: {a: b}}}", "f:1:18: found a map for 'pod.spec.volumes', expected a list");
	refuse("{spec: {containers: null}}", "f:1:21: found nothing for 'pod.spec.containers', expected a list");
	refuse("{spec: {containers: [{image: x}]}}",
		"f:1:22: found no 'name' in 'pod.spec.containers[0]', expected a map with one");
	refuse("{spec: {containers: [{name: }]}}",
		"f:1:22: found no 'name' in 'pod.spec.containers[0]', expected a map with one");
	refuse("{spec: {volumes: [{name: a}, {name: a}]}}",
		"f:1:37: found 'a' a second time in 'pod.spec.volumes', expected each 'name' once");
	refuse("{spec: {containers: [{name: x, env: [1]}]}}",
		"f:1:38: found no 'name' in 'pod.spec.containers[0].env[0]', expected a map with one");
}

static void test_refuses_what_a_run_needs(void **state)
{
	refuse("{metadata: {labels: {muster.run: x}}}",
		"f:1:22: found 'pod.metadata.labels.muster.run', expected no key of muster's own");
	refuse("{spec: {containers: [{name: node, args: null}]}}",
		"f:1:41: found 'args' in 'pod.spec.containers[0]', expected none: the container 'node' runs muster's "
		"agent, and what the ranks run is 'run.command'");
	refuse("{spec: {containers: [{name: node, volumeMounts: null}]}}",
		"f:1:49: found nothing for 'pod.spec.containers[0].volumeMounts', expected a list");
	refuse("{spec: {containers: [{name: node, volumeMounts: [{mountPath: /.muster/x, name: a}]}]}}",
		"f:1:62: found '/.muster/x' in 'pod.spec.containers[0].volumeMounts', expected none of muster's own");
	refuse("{spec: {volumes: [{name: muster-shm}]}}",
		"f:1:26: found 'muster-shm' in 'pod.spec.volumes', expected none of muster's own");
	refuse("{spec: {initContainers: [{name: muster-agent}]}}",
		"f:1:33: found 'muster-agent' in 'pod.spec.initContainers', expected none of muster's own");
	refuse("{spec: {restartPolicy: Always}}", "f:1:24: found 'Always' for 'pod.spec.restartPolicy', expected "
						  "Never: what has failed is started again by muster");
	refuse("{spec: {terminationGracePeriodSeconds: 0}}",
		"f:1:40: found '0' for 'pod.spec.terminationGracePeriodSeconds', expected a number of seconds from 1");
}

static void check_merge(const char *template, const char *overlay, const char *want)
{
	autojson json_t *base = json_loads(template, 0, NULL), *patch = json_loads(overlay, 0, NULL);
	assert_non_null(base);
	assert_non_null(patch);
	pod_overlay_merge(base, patch);
	autofree char *got = json_dumps(base, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(got, want);
}

static void test_merges_as_rfc_7386(void **state)
{
	check_merge("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	check_merge("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
	check_merge("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	check_merge("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	check_merge("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
	check_merge("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
	check_merge("{\"a\":\"foo\"}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
}

static void test_merges_lists_by_name(void **state)
{
	check_merge("{\"containers\":[{\"name\":\"node\",\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"x\":1}]}",
		"{\"containers\":[{\"name\":\"node\",\"x\":null,\"env\":[{\"name\":\"B\"},{\"name\":\"A\",\"value\":"
		"\"2\"}]},"
		"{\"name\":\"side\",\"y\":{\"z\":null}}]}",
		"{\"containers\":[{\"env\":[{\"name\":\"A\",\"value\":\"2\"},{\"name\":\"B\"}],\"name\":\"node\"},"
		"{\"name\":\"side\",\"y\":{}}]}");
	check_merge("{\"volumeMounts\":[{\"mountPath\":\"/a\",\"name\":\"a\"}]}",
		"{\"volumeMounts\":[{\"mountPath\":\"/a\",\"name\":\"b\"}]}",
		"{\"volumeMounts\":[{\"mountPath\":\"/a\",\"name\":\"b\"}]}");
	check_merge("{\"tolerations\":[1,2]}", "{\"tolerations\":[3]}", "{\"tolerations\":[3]}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepts),
		cmocka_unit_test(test_refuses_shapes),
		cmocka_unit_test(test_refuses_what_a_run_needs),
		cmocka_unit_test(test_merges_as_rfc_7386),
		cmocka_unit_test(test_merges_lists_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
