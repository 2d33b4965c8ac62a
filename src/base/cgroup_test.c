#include "base/cgroup.h"
#include "base/fs.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

// A machine of files: what the kernel would have made is made by the tests.
struct machine {
	char root[32];
	struct cgroup_place places[CGROUP_COUNT];
};

static int set_up(void **state)
{
	struct machine *m = mem_alloc(sizeof *m);
	strcpy(m->root, "/tmp/cgroup_test.XXXXXX");
	*state = m;
	return mkdtemp(m->root) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct machine *m = *state;
	cgroup_forget(m->places);
	int rc = fs_remove(m->root, NULL);
	free(m);
	return rc;
}

static void put(const struct machine *m, const char *path, const char *text)
{
	autofree char *file = mem_printf("%s%s", m->root, path);
	autofree char *dir = mem_strndup(file, (size_t)(strrchr(file, '/') - file));
	assert_int_equal(fs_mkdirs(dir, 0755, NULL), 0);
	assert_int_equal(fs_write(file, text, strlen(text), 0644, NULL), 0);
}

static void assert_file(const struct machine *m, const char *path, const char *text)
{
	autofree char *file = mem_printf("%s%s", m->root, path);
	autofree char *got = fs_read(file, 4096, NULL, NULL);
	assert_non_null(got);
	assert_string_equal(got, text);
}

static void assert_place(const struct machine *m, size_t which, const char *dir)
{
	const struct cgroup_place *place = &m->places[which];
	autofree char *want = mem_printf("%s%s", m->root, dir);
	assert_non_null(place->dir);
	assert_string_equal(place->dir, want);
}

static const char v1_mounts[] = "20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
				"31 20 0:28 / /cg/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
				"32 20 0:29 / /cg/with\\040blank rw - cgroup cgroup rw,memory\n"
				"33 20 0:30 / /cg/unified rw - cgroup2 cgroup2 rw\n";

static void version_1_is_below_the_own_group(void **state)
{
	struct machine *m = *state;
	put(m, "/cg/cpu,cpuacct/me/cpu.cfs_quota_us", "-1");
	put(m, "/cg/with blank/memory.limit_in_bytes", "0");
	put(m, "/cg/unified/cgroup.controllers", "\n");
	cgroup_survey_from(m->places, v1_mounts, "3:memory:/\n2:cpu,cpuacct:/me\n0::/\n", m->root);
	assert_place(m, CGROUP_CPU, "/cg/cpu,cpuacct/me");
	assert_place(m, CGROUP_MEMORY, "/cg/with blank");
	assert_null(m->places[CGROUP_PIDS].dir); // neither in version 1 nor handed out by version 2
	assert_non_null(strstr(m->places[CGROUP_PIDS].why, "pids"));
	assert_false(m->places[CGROUP_CPU].v2);
}

static void version_1_limits(void **state)
{
	struct machine *m = *state;
	put(m, "/cg/cpu,cpuacct/muster/x/cpu.cfs_period_us", "");
	put(m, "/cg/cpu,cpuacct/muster/x/cpu.cfs_quota_us", "");
	put(m, "/cg/with blank/muster/x/memory.limit_in_bytes", "");
	cgroup_survey_from(m->places, v1_mounts, "3:memory:/\n2:cpu,cpuacct:/\n", m->root);
	struct cgroup_limits limits = {.cpus = 1.5, .memory = 125 << 20};
	autofree char *procs = NULL;
	autofree char *want = mem_printf(
		"%s/cg/cpu,cpuacct/muster/x/cgroup.procs:%s/cg/with blank/muster/x/cgroup.procs", m->root, m->root);
	assert_int_equal(cgroup_make(m->places, &limits, "muster/x", &procs, NULL), 0);
	assert_string_equal(procs, want);
	assert_file(m, "/cg/cpu,cpuacct/muster/x/cpu.cfs_period_us", "100000");
	assert_file(m, "/cg/cpu,cpuacct/muster/x/cpu.cfs_quota_us", "150000");
	assert_file(m, "/cg/with blank/muster/x/memory.limit_in_bytes", "131072000");
	// Where swap is counted, it is limited too.
	put(m, "/cg/with blank/muster/x/memory.memsw.limit_in_bytes", "");
	free(steal(procs));
	limits.cpus = 0;
	assert_int_equal(cgroup_make(m->places, &limits, "muster/x", &procs, NULL), 0);
	assert_file(m, "/cg/with blank/muster/x/memory.memsw.limit_in_bytes", "131072000");
	assert_null(strstr(procs, "cpuacct"));
}

static const char v2_mounts[] = "33 20 0:30 / /cg rw,nosuid - cgroup2 cgroup rw,nsdelegate\n";

// A slice of this user with this process in a scope below it, as a desktop has it.
static void make_v2(const struct machine *m, const char *slice_gives)
{
	put(m, "/cg/user/cgroup.type", "domain\n");
	put(m, "/cg/user/cgroup.controllers", "cpu memory pids\n");
	put(m, "/cg/user/cgroup.procs", "");
	put(m, "/cg/user/cgroup.subtree_control", slice_gives);
	put(m, "/cg/user/scope/cgroup.type", "domain\n");
	put(m, "/cg/user/scope/cgroup.controllers", slice_gives);
	put(m, "/cg/user/scope/cgroup.procs", "1\n");
	put(m, "/cg/user/scope/cgroup.subtree_control", "\n");
}

static void version_2_is_where_controllers_can_be_handed_out(void **state)
{
	struct machine *m = *state;
	make_v2(m, "memory\n");
	cgroup_survey_from(m->places, v2_mounts, "0::/user/scope\n", m->root);
	assert_place(m, CGROUP_MEMORY, "/cg/user");
	assert_place(m, CGROUP_CPU, "/cg/user"); // not handed out yet, but it holds no process
	assert_true(m->places[CGROUP_CPU].v2);
	cgroup_forget(m->places);
	put(m, "/cg/user/cgroup.procs", "17\n");
	cgroup_survey_from(m->places, v2_mounts, "0::/user/scope\n", m->root);
	assert_place(m, CGROUP_MEMORY, "/cg/user");
	assert_null(m->places[CGROUP_CPU].dir);
	assert_non_null(strstr(m->places[CGROUP_CPU].why, "holds processes"));
}

static void version_2_limits(void **state)
{
	struct machine *m = *state;
	make_v2(m, "memory\n");
	static const char *const below[] = {"/cg/user/muster", "/cg/user/muster/x"};
	for (size_t i = 0; i < countof(below); i++) {
		autofree char *file = fs_join(below[i], "cgroup.subtree_control");
		put(m, file, "");
	}
	put(m, "/cg/user/muster/x/node-0/cpu.max", "");
	put(m, "/cg/user/muster/x/node-0/memory.max", "");
	put(m, "/cg/user/muster/x/node-0/memory.swap.max", "");
	cgroup_survey_from(m->places, v2_mounts, "0::/user/scope\n", m->root);
	struct cgroup_limits limits = {.cpus = 0.004, .memory = 4096};
	autojson json_t *where = cgroup_where(m->places, &limits, "muster/x");
	assert_int_equal(json_array_size(where), 1);
	autofree char *procs = NULL;
	assert_int_equal(cgroup_make(m->places, &limits, "muster/x/node-0", &procs, NULL), 0);
	assert_null(strchr(procs, ':')); // one hierarchy, one file
	assert_file(m, "/cg/user/muster/x/node-0/cpu.max", "4000 1000000");
	assert_file(m, "/cg/user/muster/x/node-0/memory.max", "4096");
	assert_file(m, "/cg/user/muster/x/node-0/memory.swap.max", "0");
	assert_file(m, "/cg/user/muster/x/cgroup.subtree_control", "+memory");
}

static void a_subtree_that_is_mounted(void **state)
{
	struct machine *m = *state;
	put(m, "/cg/inner/memory.limit_in_bytes", "0");
	cgroup_survey_from(m->places, "1 2 0:1 /docker/abc /cg ro - cgroup cgroup rw,memory\n",
		"3:memory:/docker/abc/inner\n", m->root);
	assert_place(m, CGROUP_MEMORY, "/cg/inner");
	cgroup_forget(m->places);
	// What lies outside of the mounted subtree cannot be reached.
	cgroup_survey_from(m->places, "1 2 0:1 /docker/abc /cg ro - cgroup cgroup rw,memory\n",
		"3:memory:/docker/abcd\n", m->root);
	assert_null(m->places[CGROUP_MEMORY].dir);
	cgroup_survey_from(m->places, "1 2 0:1 / /cg ro - cgroup cgroup rw,memory\n", "3:memory:/../other\n", m->root);
	assert_null(m->places[CGROUP_MEMORY].dir);
}

static void what_cannot_be_set_is_an_error(void **state)
{
	struct machine *m = *state;
	cgroup_survey_from(m->places, "", "", m->root);
	struct cgroup_limits none = {0}, cpus = {.cpus = 1}, memory = {.memory = 1}, tiny = {.cpus = 0.0001};
	struct error err = {0};
	assert_int_equal(cgroup_check(m->places, &none, &err), 0);
	assert_int_equal(cgroup_check(m->places, &cpus, &err), -1);
	assert_int_equal(err.code, ERROR_SYSTEM);
	assert_non_null(strstr(err.text, "cpu"));
	assert_int_equal(cgroup_check(m->places, &memory, &err), -1);
	assert_non_null(strstr(err.text, "memory"));
	assert_int_equal(cgroup_check(m->places, &tiny, &err), -1);
	assert_int_equal(err.code, ERROR_USAGE);
	static const char *const broken[] = {
		"\n", "1 2 3", " - ", "1 2 3 4 5 - cgroup\n", "1 2 3 4 5 - cgroup x \n\n- - -"};
	for (size_t i = 0; i < countof(broken); i++) {
		cgroup_survey_from(m->places, broken[i], "1:cpu:/\n::\n:\n0", m->root);
		assert_null(m->places[CGROUP_CPU].dir);
	}
}

static void a_path_with_a_colon_is_refused(void **state)
{
	struct machine *m = *state;
	put(m, "/cg/a:b/x", "");
	cgroup_survey_from(m->places, "1 2 0:1 / /cg rw - cgroup cgroup rw,memory\n", "3:memory:/a:b\n", m->root);
	assert_null(m->places[CGROUP_MEMORY].dir);
	assert_non_null(strstr(m->places[CGROUP_MEMORY].why, "':'"));
}

static void kills_are_counted(void **state)
{
	struct machine *m = *state;
	put(m, "/one/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	put(m, "/two/memory.events", "low 7\noom 9\noom_kill 2\noom_group_kill 5\n");
	autofree char *procs = mem_printf(
		"%s/one/cgroup.procs:%s/two/cgroup.procs:%s/none/cgroup.procs:odd", m->root, m->root, m->root);
	assert_int_equal(cgroup_oom_kills(procs), 5);
	assert_int_equal(cgroup_oom_kills(""), 0);
}

static void removing_what_is_not_there(void **state)
{
	assert_int_equal(cgroup_remove("/nonexistent/muster/x", 0, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(version_1_is_below_the_own_group, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_1_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_2_is_where_controllers_can_be_handed_out, set_up, tear_down),
		cmocka_unit_test_setup_teardown(version_2_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_subtree_that_is_mounted, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_set_is_an_error, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_path_with_a_colon_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(kills_are_counted, set_up, tear_down),
		cmocka_unit_test(removing_what_is_not_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
