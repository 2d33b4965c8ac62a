#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "node/node_dirs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char tmp[32];
	char *base;
};

static int set_up(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	strcpy(f->tmp, "/tmp/nodesdir_test.XXXXXX");
	const char *tmp = mkdtemp(f->tmp);
	if (!tmp)
		return -1;
	f->base = mem_printf("%s/muster-%u", tmp, (unsigned)geteuid());
	setenv("TMPDIR", f->tmp, 1);
	unsetenv("MUSTER_NODES_DIR");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	int rc = fs_remove(f->tmp, NULL);
	free(f->base);
	free(f);
	return rc;
}

static json_t *record_of(pid_t pid)
{
	return mem_json("{s:s, s:{s:i, s:I}}", "label", "r", "controller", "pid", (int)pid, "started",
		(json_int_t)proc_started(pid));
}

static void made_found_and_removed(void **state)
{
	struct fixture *f = *state;
	autojson json_t *record = record_of(getpid());
	assert_int_equal(node_dirs_check(NULL), 0);
	assert_false(fs_exists(f->base)); // check touches nothing
	autofree char *dir = node_dirs_make("r", record, NULL);
	autofree char *want = fs_join(f->base, "r");
	assert_string_equal(dir, want);
	struct stat st;
	assert_int_equal(stat(f->base, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	autofree char *again = node_dirs_make("r", record, NULL); // twice is fine
	assert_string_equal(again, dir);
	autojson json_t *read = node_dirs_record(dir);
	assert_true(json_equal(read, record));
	autojson json_t *one = node_dirs_find("r");
	assert_int_equal(json_array_size(one), 1);
	autojson json_t *none = node_dirs_find("../r");
	assert_int_equal(json_array_size(none), 0);
	assert_int_equal(node_dirs_remove(dir, NULL), 0);
	assert_int_equal(node_dirs_remove(dir, NULL), 0);
	assert_false(fs_exists(f->base));
}

static void a_base_that_is_not_ours_is_refused(void **state)
{
	struct fixture *f = *state;
	autojson json_t *record = record_of(getpid());
	struct error err = {0};
	mkdir(f->base, 0700);
	chmod(f->base, 0770);
	assert_int_equal(node_dirs_check(&err), -1);
	assert_non_null(strstr(err.text, "0770"));
	assert_null(node_dirs_make("r", record, &err));
	rmdir(f->base);
	autofree char *other = fs_join(f->tmp, "other");
	mkdir(other, 0700);
	assert_int_equal(symlink(other, f->base), 0);
	assert_int_equal(node_dirs_check(&err), -1);
	assert_non_null(strstr(err.text, "symbolic link"));
	assert_null(node_dirs_make("r", record, &err));
	unlink(f->base);
	close(open(f->base, O_WRONLY | O_CREAT, 0700));
	assert_int_equal(node_dirs_check(&err), -1);
	assert_non_null(strstr(err.text, "expected a directory"));
	unlink(f->base);
	if (!geteuid()) {
		mkdir(f->base, 0700);
		assert_int_equal(chown(f->base, 12345, 12345), 0);
		assert_int_equal(node_dirs_check(&err), -1);
		assert_non_null(strstr(err.text, "12345"));
		assert_null(node_dirs_make("r", record, &err));
	}
}

static void a_chosen_base_stays(void **state)
{
	struct fixture *f = *state;
	autofree char *chosen = fs_join(f->tmp, "deep/chosen");
	setenv("MUSTER_NODES_DIR", chosen, 1);
	autojson json_t *record = record_of(getpid());
	autofree char *dir = node_dirs_make("r", record, NULL);
	assert_non_null(dir);
	assert_int_equal(node_dirs_remove(dir, NULL), 0);
	assert_true(fs_exists(chosen));
	setenv("MUSTER_NODES_DIR", "/tmp/\xff", 1);
	assert_int_equal(node_dirs_check(NULL), -1);
}

static void who_is_alive(void **state)
{
	autojson json_t *mine = record_of(getpid());
	autojson json_t *dead = record_of(getpid());
	json_object_set_new(json_object_get(dead, "controller"), "started", json_integer(1));
	autofree char *dir = node_dirs_make("r", mine, NULL);
	assert_true(node_dirs_live(dir));
	assert_int_equal(node_dirs_save(dir, dead, NULL), 0);
	assert_false(node_dirs_live(dir));
	// Without a record: live while it is young, dead when it has been so for a while.
	autofree char *path = fs_join(dir, "run.json");
	static const char *const broken[] = {"", "[]", "{", "{\"controller\": 7}"};
	for (size_t i = 0; i < countof(broken); i++) {
		fs_write(path, broken[i], strlen(broken[i]), 0600, NULL);
		node_dirs_live(dir); // whatever it says, it survives
	}
	unlink(path);
	assert_true(node_dirs_live(dir));
	struct timespec old[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
	assert_int_equal(utimensat(AT_FDCWD, dir, old, 0), 0);
	assert_false(node_dirs_live(dir));
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(made_found_and_removed),
		with_fixture(a_base_that_is_not_ours_is_refused),
		with_fixture(a_chosen_base_stays),
		with_fixture(who_is_alive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
