#include "base/fs.h"
#include "base/mem.h"
#include "compare/compare_files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_files(void **state)
{
	static const char *const names[] = {"compare.json", "compare.csv", "compare.html", "times.txt"};
	char dir[] = "/tmp/compare-files-XXXXXX";
	struct error err;
	autojson json_t *tree = mem_json("{s:s, s:[], s:[], s:[]}", "name", "none", "rows", "pairs", "models");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(compare_files_write(tree, dir, &err), 0);
	for (size_t i = 0; i < countof(names); i++) {
		autofree char *path = fs_join(dir, names[i]);
		assert_true(fs_exists(path));
	}
	fs_remove(dir, NULL);
	assert_int_equal(compare_files_write(tree, dir, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_files)};
	return cmocka_run_group_tests_name("compare_files", tests, NULL, NULL);
}
