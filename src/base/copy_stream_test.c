#include "base/copy_stream.h"
#include "base/fs.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// What a stream of these bytes does in a directory of its own.
static int receive(const char *bytes, const char *to, struct error *err)
{
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fs_write_fd(ends[1], bytes, strlen(bytes), NULL), 0);
	close(ends[1]);
	*err = (struct error){0};
	int rc = copy_stream_receive(ends[0], to, err);
	close(ends[0]);
	return rc;
}

static void test_what_it_is_told(void **state)
{
	static const char *const bad[] = {"", "x\n", "{}\n", "[]\n", "{\"name\":\"../x\",\"mode\":420,\"size\":1}\nx",
		"{\"name\":\"a/b\",\"mode\":420,\"size\":1}\nx", "{\"name\":\"..\",\"mode\":420,\"size\":1}\nx",
		"{\"name\":\"\",\"mode\":420,\"size\":1}\nx", "{\"name\":\"x\",\"mode\":420,\"size\":-1}\n",
		"{\"name\":\"x\",\"size\":1}\nx", "{\"name\":\"x\",\"mode\":420,\"size\":5}\nx",
		"{\"name\":\"x\",\"mode\":420,\"size\":4,\"archive\":true}\nabcd"};
	char dir[] = "/tmp/copy-test.XXXXXX";
	assert_non_null(mkdtemp(dir));
	autofree char *inner = mem_printf("%s/inner", dir);
	assert_int_equal(fs_mkdirs(inner, 0755, NULL), 0);
	struct error err;
	for (size_t i = 0; i < countof(bad); i++) {
		assert_int_equal(receive(bad[i], inner, &err), -1);
		assert_true(*err.text);
	}
	autofree char *path = mem_printf("%s/x", inner), *out = mem_printf("%s/x", dir);
	assert_false(fs_exists(out));
	assert_int_equal(fs_remove(path, NULL), 0); // the directory of the broken archive
	assert_int_equal(receive("{\"name\":\"x\",\"mode\":384,\"size\":2}\nabc", inner, &err), 0);
	size_t len;
	autofree char *text = fs_read(path, 100, &len, NULL);
	assert_string_equal(text, "ab");
	assert_int_equal(fs_remove(dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_it_is_told)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
