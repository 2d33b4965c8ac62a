#include "base/mem.h"
#include "kube/own_pod.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check(const char *pod, const char *want)
{
	autojson json_t *json = json_loads(pod, 0, NULL), *owner = own_pod_read("mnist-1", json);
	autofree char *got = owner ? json_dumps(owner, JSON_COMPACT) : NULL;
	if (want)
		assert_string_equal(got, want);
	else
		assert_null(owner);
}

static void test_read(void **state)
{
	check("{\"items\": [{\"metadata\": {\"name\": \"mnist-1\", \"uid\": \"u\"}}]}",
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"mnist-1\",\"uid\":\"u\"}");
	check("{\"items\": [{\"metadata\": {\"name\": \"mnist-2\", \"uid\": \"u\"}}]}", NULL);
	check("{\"items\": [{\"metadata\": {\"name\": \"mnist-1\"}}]}", NULL);
	check("{\"items\": [{\"metadata\": [1]}]}", NULL);
	check("{\"items\": []}", NULL);
	check("[]", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_read)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
