#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "node/collect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char root[32];

static void put(const char *name, mode_t mode)
{
	autofree char *path = fs_join(root, name);
	autofree char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
	assert_int_equal(fs_mkdirs(dir, 0755, NULL), 0);
	assert_int_equal(fs_write(path, name, strlen(name), mode, NULL), 0);
}

static int setup(void **state)
{
	strcpy(root, "/tmp/collect-test-XXXXXX");
	assert_non_null(mkdtemp(root));
	static const char *const names[] = {"a.png", "b.png", "b.txt", ".hidden.png", "img/1.png", "img/10.png",
		"img/2.png", "img/deep/er/x.png", "log/img/y.png"};
	for (size_t i = 0; i < countof(names); i++)
		put(names[i], 0644);
	put("run.sh", 0755);
	autofree char *fifo = fs_join(root, "pipe.png"), *out = fs_join(root, "out.png"),
		      *dir = fs_join(root, "elsewhere");
	assert_int_equal(mkfifo(fifo, 0644), 0);
	assert_int_equal(symlink("/etc/passwd", out), 0);
	assert_int_equal(symlink("/etc", dir), 0);
	return 0;
}

static int teardown(void **state)
{
	return fs_remove(root, NULL);
}

static void expect(const char *glob, const char *want)
{
	autojson json_t *globs = mem_json("[s]", glob);
	struct error err = {0};
	autojson json_t *found = collect_find(root, globs, &err);
	if (!found)
		fail_msg("%s", err.text);
	autostr struct str list = {0};
	str_puts(&list, "");
	size_t i;
	json_t *file;
	json_array_foreach (found, i, file)
		str_printf(&list, "%s%s", i ? " " : "", json_string_value(json_object_get(file, "path")));
	assert_string_equal(list.text, want);
}

static void globs_match_as_told(void **state)
{
	expect("*.png", "a.png b.png");
	expect("[b-z].*", "b.png b.txt");
	expect("?.txt", "b.txt");
	expect("img/*.png", "img/1.png img/10.png img/2.png");
	expect("img/?.png", "img/1.png img/2.png");
	expect("*/*.png", "img/1.png img/10.png img/2.png");
	expect("**/x.png", "img/deep/er/x.png");
	expect("**/img/*.png", "img/1.png img/10.png img/2.png log/img/y.png");
	expect("img/**", "img/1.png img/10.png img/2.png img/deep/er/x.png");
	expect("**/*.png", "a.png b.png img/1.png img/10.png img/2.png img/deep/er/x.png log/img/y.png");
	expect("a.png", "a.png");
	expect(".hidden*", ".hidden.png");
	expect("none", "");
	expect("img", "");
	expect("a.png/x", "");
	expect("elsewhere/*", "");
	expect("../*", "");
	expect("/etc/*", "");
}

static void a_file_is_listed_once_with_what_it_is(void **state)
{
	autojson json_t *globs = mem_json("[s, s, s]", "*.sh", "run*", "**");
	autojson json_t *found = collect_find(root, globs, NULL);
	int seen = 0;
	size_t i;
	json_t *file;
	json_array_foreach (found, i, file) {
		if (strcmp(json_string_value(json_object_get(file, "path")), "run.sh") != 0)
			continue;
		seen++;
		assert_int_equal(json_integer_value(json_object_get(file, "size")), strlen("run.sh"));
		assert_int_equal(json_integer_value(json_object_get(file, "mode")), 0755);
	}
	assert_int_equal(seen, 1);
}

static void no_globs_find_nothing(void **state)
{
	autojson json_t *found = collect_find("/nonexistent", NULL, NULL);
	assert_int_equal(json_array_size(found), 0);
	autojson json_t *globs = mem_json("[s]", "*");
	struct error err;
	assert_null(collect_find("/nonexistent", globs, &err));
	assert_non_null(strstr(err.text, "/nonexistent"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs_match_as_told),
		cmocka_unit_test(a_file_is_listed_once_with_what_it_is),
		cmocka_unit_test(no_globs_find_nothing),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
