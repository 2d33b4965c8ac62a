#include "base/mem.h"
#include "job/absolute_paths.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *text, const char *expected)
{
	struct error err;
	struct yaml *tree = yaml_parse(text, strlen(text), &(struct yaml_origin){"job.yaml", 1, 1}, &err), *want;
	assert_non_null(tree);
	absolute_paths_apply(tree, "/home/me/jobs");
	want = yaml_parse(expected, strlen(expected), &(struct yaml_origin){"job.yaml", 1, 1}, &err);
	autofree char *got = yaml_print(tree), *wanted = yaml_print(want);
	assert_string_equal(got, wanted);
	yaml_discard(tree);
	yaml_discard(want);
}

static void test_paths(void **state)
{
	check("inputs: [words.txt, ../data/, /abs/x, {from: a/b.tar, unpack: true}]\n",
		"inputs: [\"/home/me/jobs/words.txt\", \"/home/me/jobs/../data\", /abs/x, {from: "
		"\"/home/me/jobs/a/b.tar\", unpack: true}]\n");
	check("cluster: {inventory: hosts.ini, build: image, volumes: [\"./x:/x:ro\", \"named:/y\", \"/z:/z\"]}\n",
		"cluster: {inventory: \"/home/me/jobs/hosts.ini\", build: \"/home/me/jobs/image\", volumes: "
		"[\"/home/me/jobs/x:/x:ro\", \"named:/y\", \"/z:/z\"]}\n");
	check("cluster: {build: {context: ., args: {A: b}}}\n",
		"cluster: {build: {context: \"/home/me/jobs\", args: {A: b}}}\n");
}

static void test_what_is_no_path(void **state)
{
	check("inputs: [https://example.org/x, git+https://example.org/x.git, {name: nothing}, [1]]\n",
		"inputs: [https://example.org/x, git+https://example.org/x.git, {name: nothing}, [1]]\n");
	check("inputs: nonsense\ncluster: [1]\n", "inputs: nonsense\ncluster: [1]\n");
	check("run: {command: ./train, env: {FROM: words.txt}}\noutputs: [a/b]\n",
		"run: {command: ./train, env: {FROM: words.txt}}\noutputs: [a/b]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_what_is_no_path)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
