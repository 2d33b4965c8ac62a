#include "base/mem.h"
#include "exec/require_machines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void refused(const char *plan, bool same_files, const char *why)
{
	autojson json_t *tree = json_loads(plan, 0, NULL);
	struct error err = {0};
	assert_non_null(tree);
	const struct executor_traits executor = {.name = "ssh", .sees_controller_files = same_files};
	assert_int_equal(require_machines(tree, &executor, &err), why ? -1 : 0);
	if (why && !strstr(err.text, why))
		fail_msg("'%s' has no '%s'", err.text, why);
}

static void what_only_containers_have(void **state)
{
	refused("{\"nodes\": [{}], \"inputs\": [{\"kind\": \"path\", \"name\": \"a\"}]}", false, NULL);
	refused("{\"nodes\": [{}, {\"image\": \"x:1\"}]}", true,
		"the ssh executor has no containers, found the image 'x:1'");
	refused("{\"build\": {\"context\": \"/a\"}}", true, "'cluster.build'");
	refused("{\"volumes\": []}", true, "'cluster.volumes'");
	refused("{\"inputs\": [{\"kind\": \"live\", \"name\": \"src\"}]}", true, NULL);
	refused("{\"inputs\": [{\"kind\": \"live\", \"name\": \"src\"}]}", false, "'src' is live");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(what_only_containers_have)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
