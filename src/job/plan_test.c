#include "base/mem.h"
#include "job/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

// Plans that are made are in plan_make_test.c and tests/golden; here is how they are read.

static json_t *parse(const char *text)
{
	json_t *tree = json_loads(text, 0, NULL);
	assert_non_null(tree);
	return tree;
}

static const char whole[] =
	"{\"name\": \"dcgan\", \"executor\": \"ssh\", \"launch\": \"mpi\", \"mpi\": \"auto\", \"size\": 4,"
	" \"at_once\": 16, \"command\": \"./train\", \"timeout\": 60, \"grace\": 0.5, \"deadline\": 30,"
	" \"heartbeat\": 5, \"lease\": 15, \"retries\": 2, \"preflight\": true, \"ports\": true, \"on\": \"lab\","
	" \"share\": true, \"outputs\": [\"*.pt\"], \"progress\": [\"step\"], \"total\": 20, \"samples\": 128,"
	" \"watched\": 60, \"stop\": {\"iterations\": 20}, \"budget\": {\"max_time\": 90},"
	" \"expected\": {\"time\": 80, \"low\": 70, \"high\": null, \"cost\": null, \"from\": \"s1\"},"
	" \"metrics\": [{\"name\": \"loss\", \"pattern\": \"x\", \"unit\": null}], \"volumes\": [\"/a:/b\"],"
	" \"build\": {\"context\": \"/c\", \"dockerfile\": \"D\", \"args\": {\"a\": \"b\"}},"
	" \"container\": {\"image\": \"i\", \"build\": {\"context\": \"/c\"}, \"volumes\": [\"/v:/w\"]},"
	" \"nodes\": [{\"node\": 0, \"name\": \"node-0\", \"role\": \"w\", \"index\": 0, \"cpus\": null,"
	"   \"memory\": null}, {\"node\": 1, \"name\": \"node-1\", \"role\": \"w\", \"index\": 1, \"cpus\": 0.5,"
	"   \"memory\": 1024, \"image\": \"i\","
	"   \"host\": {\"host\": \"a\", \"user\": \"me\", \"port\": 22, \"key\": \"/k\"}}],"
	" \"ranks\": [{\"rank\": 0}, {\"rank\": 1, \"node\": 0, \"local\": 1, \"role\": \"w\", \"index\": 1,"
	"   \"decides\": true, \"argv\": [\"a\"], \"env\": {\"A\": \"b\"}}],"
	" \"inputs\": [{\"name\": \"n\", \"from\": \"/f\", \"kind\": \"path\", \"sha256\": null, \"unpack\": true,"
	"   \"path\": \"p\", \"once\": true}, {\"kind\": \"http\"}, {\"kind\": \"git\"}, {\"kind\": \"live\"},"
	"   {\"kind\": \"path\", \"context\": true}],"
	" \"setup\": [{\"name\": \"make\", \"argv\": [\"make\"], \"env\": {}, \"once\": true, \"timeout\": 9,"
	"   \"become\": true, \"creates\": \"a.out\"}, {\"packages\": [\"gcc\"]},"
	"   {\"mount\": {\"type\": \"nfs4\", \"from\": \"s:/e\", \"to\": \"/m\", \"options\": \"ro\"}},"
	"   {\"image\": true}]}";

static void test_run(void **state)
{
	autojson json_t *plan = parse(whole);
	assert_string_equal(plan_name(plan), "dcgan");
	assert_string_equal(plan_executor(plan), "ssh");
	assert_string_equal(plan_launch(plan), "mpi");
	assert_string_equal(plan_mpi(plan), "auto");
	assert_string_equal(plan_command(plan), "./train");
	assert_string_equal(plan_cluster(plan), "lab");
	assert_int_equal(plan_size(plan), 4);
	assert_int_equal(plan_at_once(plan), 16);
	assert_int_equal(plan_retries(plan), 2);
	assert_float_equal(plan_timeout(plan), 60, 0);
	assert_float_equal(plan_grace(plan), 0.5, 0);
	assert_float_equal(plan_deadline(plan), 30, 0);
	assert_float_equal(plan_heartbeat(plan), 5, 0);
	assert_float_equal(plan_lease(plan), 15, 0);
	assert_float_equal(plan_samples(plan), 128, 0);
	assert_float_equal(plan_watched(plan), 60, 0);
	assert_float_equal(plan_total(plan), 20, 0);
	assert_true(plan_has_preflight(plan) && plan_has_ports(plan) && plan_shares(plan));
	assert_int_equal(json_array_size(plan_outputs(plan)), 1);
	assert_int_equal(json_array_size(plan_progress(plan)), 1);
	assert_int_equal(plan_metrics(plan), 1);
	assert_string_equal(plan_metric(plan, 0).name, "loss");
	assert_string_equal(plan_metric(plan, 0).pattern, "x");
	assert_null(plan_metric(plan, 0).unit);
}

static void test_wishes(void **state)
{
	autojson json_t *plan = parse(whole);
	assert_true(plan_has_stop(plan) && plan_has_budget(plan));
	assert_float_equal(plan_stop(plan).iterations, 20, 0);
	assert_true(isnan(plan_stop(plan).within));
	assert_float_equal(plan_budget(plan).max_time, 90, 0);
	assert_true(isinf(plan_budget(plan).max_cost));
	struct plan_expected expected = plan_expected(plan);
	assert_float_equal(expected.time, 80, 0);
	assert_float_equal(expected.low, 70, 0);
	assert_true(isnan(expected.high) && isnan(expected.cost));
	assert_string_equal(expected.from, "s1");
	assert_null(plan_prices(plan));
	plan_set_prices(plan, mem_json("{s:s}", "currency", "EUR"));
	assert_non_null(plan_prices(plan));
}

static void test_nodes(void **state)
{
	autojson json_t *plan = parse(whole);
	assert_int_equal(plan_nodes(plan), 2);
	struct plan_node free = plan_node(plan, 0), node = plan_node(plan, 1), none = plan_node(plan, 2);
	assert_true(free.cpus == 0 && free.memory == 0 && !free.image && !free.host.host);
	assert_int_equal(node.node, 1);
	assert_string_equal(node.name, "node-1");
	assert_string_equal(node.role, "w");
	assert_int_equal(node.index, 1);
	assert_float_equal(node.cpus, 0.5, 0);
	assert_int_equal(node.memory, 1024);
	assert_string_equal(node.image, "i");
	assert_string_equal(node.host.host, "a");
	assert_string_equal(node.host.user, "me");
	assert_string_equal(node.host.key, "/k");
	assert_int_equal(node.host.port, 22);
	assert_null(none.name);
	assert_int_equal(plan_ranks(plan), 2);
	struct plan_rank rank = plan_rank(plan, 1);
	assert_int_equal(rank.rank, 1);
	assert_int_equal(rank.node, 0);
	assert_int_equal(rank.local, 1);
	assert_string_equal(rank.role, "w");
	assert_int_equal(rank.index, 1);
	assert_true(rank.decides);
	assert_int_equal(json_array_size(rank.argv), 1);
	assert_int_equal(json_object_size(rank.env), 1);
	assert_null(plan_rank(plan, 2).argv);
}

static void test_hosts(void **state)
{
	autojson json_t *plan = parse(whole), *named = parse("{\"nodes\": [{\"host\": {\"host\": \"a\"}}], \"hosts\": "
							     "[{\"host\": \"a\"}, {\"host\": \"b\"}]}");
	assert_false(plan_names_hosts(plan));
	assert_int_equal(plan_hosts(plan), 2);
	assert_null(plan_host_json(plan, 0));
	assert_string_equal(plan_host_read(plan_host_json(plan, 1)).host, "a");
	assert_null(plan_host_json(plan, 2));
	assert_true(plan_names_hosts(named));
	assert_int_equal(plan_hosts(named), 2);
	assert_string_equal(plan_host_read(plan_host_json(named, 1)).host, "b");
	autojson json_t *slice = plan_slice(plan, 1);
	assert_string_equal(plan_own_node(slice).host.host, "a");
}

static void test_inputs(void **state)
{
	static const enum plan_input_kind kinds[] = {
		PLAN_INPUT_PATH, PLAN_INPUT_HTTP, PLAN_INPUT_GIT, PLAN_INPUT_LIVE, PLAN_INPUT_PATH};
	autojson json_t *plan = parse(whole);
	assert_int_equal(plan_inputs(plan), countof(kinds));
	for (size_t i = 0; i < countof(kinds); i++)
		assert_int_equal(plan_input(plan, i).kind, kinds[i]);
	struct plan_input input = plan_input(plan, 0);
	assert_string_equal(input.name, "n");
	assert_string_equal(input.from, "/f");
	assert_string_equal(input.path, "p");
	assert_null(input.sha256);
	assert_true(input.unpack && input.once && !input.context);
	assert_true(plan_input(plan, 4).context);
	autojson json_t *copy = json_copy(plan_input_json(plan, 0));
	plan_input_set_from(copy, "/elsewhere");
	assert_string_equal(plan_input_read(copy).from, "/elsewhere");
	assert_string_equal(plan_input(plan, 0).from, "/f");
}

static void test_steps(void **state)
{
	autojson json_t *plan = parse(whole);
	assert_int_equal(plan_steps(plan), 4);
	struct plan_step step = plan_step(plan, 0);
	assert_string_equal(step.name, "make");
	assert_string_equal(step.creates, "a.out");
	assert_int_equal(json_array_size(step.argv), 1);
	assert_non_null(step.env);
	assert_true(step.once && step.become && !step.is_mount && !step.is_image);
	assert_float_equal(step.timeout, 9, 0);
	assert_int_equal(json_array_size(plan_step(plan, 1).packages), 1);
	step = plan_step_read(plan_step_json(plan, 2));
	assert_true(step.is_mount);
	assert_string_equal(step.mount.type, "nfs4");
	assert_string_equal(step.mount.from, "s:/e");
	assert_string_equal(step.mount.to, "/m");
	assert_string_equal(step.mount.options, "ro");
	assert_true(plan_step(plan, 3).is_image);
	plan_step_set_env(plan_step_json(plan, 0), "A", "b");
	assert_int_equal(json_object_size(plan_step(plan, 0).env), 1);
}

static void test_images(void **state)
{
	autojson json_t *plan = parse(whole);
	struct plan_build build = plan_build(plan);
	assert_string_equal(build.context, "/c");
	assert_string_equal(build.dockerfile, "D");
	assert_int_equal(json_object_size(build.args), 1);
	assert_int_equal(json_array_size(plan_volumes(plan)), 1);
	assert_true(plan_has_container(plan));
	autojson json_t *copy = json_deep_copy(plan_container_json(plan));
	plan_container_set_context(copy, "/here");
	assert_string_equal(plan_container(plan).build.context, "/c");
	autojson json_t *step = mem_json("{s:O}", "container", copy);
	struct plan_container container = plan_container(step);
	assert_string_equal(container.image, "i");
	assert_string_equal(container.build.context, "/here");
	assert_int_equal(json_array_size(container.volumes), 1);
}

// A plan that nobody has written, or an empty one.
static void test_nothing(void **state)
{
	autojson json_t *empty = json_object();
	const json_t *const plans[] = {NULL, empty};
	for (size_t i = 0; i < countof(plans); i++) {
		const json_t *plan = plans[i];
		assert_null(plan_name(plan));
		assert_true(plan_size(plan) + plan_nodes(plan) + plan_ranks(plan) + plan_retries(plan) == 0);
		assert_true(plan_lease(plan) == 0 && isnan(plan_total(plan)));
		assert_false(plan_has_stop(plan) || plan_has_budget(plan) || plan_has_container(plan));
		assert_true(isinf(plan_stop(plan).iterations) && isinf(plan_budget(plan).max_cost));
		assert_true(isnan(plan_expected(plan).time));
		assert_null(plan_step(plan, 0).name);
		assert_null(plan_input(plan, 0).from);
		assert_null(plan_container(plan).image);
	}
}

static void test_lease_for_an_agent(void **state)
{
	autojson json_t *plan = parse("{\"lease\": 30, \"heartbeat\": 2.5}"), *empty = json_object(),
			*config = json_object(), *wanted = parse("{\"lease\": 30, \"heartbeat\": 2.5}");
	plan_add_lease(empty, config);
	assert_int_equal(json_object_size(config), 0);
	plan_add_lease(plan, config);
	assert_true(json_equal(config, wanted));
}

static void test_with_nodes(void **state)
{
	autojson json_t *plan = parse(whole), *more = plan_with_nodes(plan, 3);
	assert_int_equal(plan_nodes(more), 3);
	assert_string_equal(plan_node(more, 2).name, "node-0");
	assert_null(plan_expected_json(more));
	assert_int_equal(plan_nodes(plan), 2);
	assert_non_null(plan_expected_json(plan));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_wishes),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_inputs),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_images),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_lease_for_an_agent),
		cmocka_unit_test(test_with_nodes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
