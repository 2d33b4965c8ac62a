#include "base/fs.h"
#include "base/mem.h"
#include "cmd/cmd.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// Runs the subcommand; what it prints is owned by the caller.
static char *doctor(const char *option, int *status, struct error *err)
{
	char *argv[] = {"doctor", (char *)option, NULL};
	char name[] = "/tmp/doctor_test.XXXXXX";
	int fd = mkstemp(name);
	fflush(stdout);
	int saved = dup(1);
	dup2(fd, 1);
	close(fd);
	*status = cmd_doctor(option ? 2 : 1, argv, err);
	fflush(stdout);
	dup2(saved, 1);
	close(saved);
	char *text = fs_read(name, 1 << 20, NULL, NULL);
	unlink(name);
	return text;
}

static const json_t *check_of(const json_t *tree, const char *name)
{
	size_t i;
	json_t *check;
	json_array_foreach (json_object_get(tree, "checks"), i, check)
		if (strcmp(json_string_value(json_object_get(check, "name")), name) == 0)
			return check;
	return NULL;
}

static void what_is_missing_is_said(void **state)
{
	int status;
	setenv("MUSTER_AGENT", "/nonexistent/agent", 1);
	autofree char *text = doctor("--json", &status, NULL);
	assert_int_equal(status, 3);
	autojson json_t *tree = json_loads(text, 0, NULL);
	assert_true(json_is_false(json_object_get(tree, "ok")));
	const json_t *agent = check_of(tree, "agent");
	assert_string_equal(json_string_value(json_object_get(agent, "state")), "missing");
	assert_non_null(strstr(json_string_value(json_object_get(agent, "text")), "/nonexistent/agent"));
	assert_non_null(json_object_get(agent, "advice"));
	autofree char *plain = doctor(NULL, &status, NULL);
	assert_int_equal(status, 3);
	assert_non_null(strstr(plain, "missing  agent"));
}

static void what_works_is_said(void **state)
{
	int status;
	setenv("MUSTER_AGENT", "/bin/sh", 1);
	autofree char *text = doctor("--json", &status, NULL);
	assert_int_equal(status, 0);
	autojson json_t *tree = json_loads(text, 0, NULL);
	assert_true(json_is_true(json_object_get(tree, "ok")));
	assert_string_equal(json_string_value(json_object_get(check_of(tree, "loopback addresses"), "state")), "ok");
	assert_non_null(check_of(tree, "torch"));
	assert_non_null(check_of(tree, "mpi"));
}

// Neither is a failure of the whole: who does not use Kubernetes needs nothing of it.
static void kubernetes_may_be_missing(void **state)
{
	int status;
	setenv("MUSTER_AGENT", "/bin/sh", 1);
	setenv("KUBECONFIG", "/nonexistent/config", 1);
	autofree char *text = doctor("--json", &status, NULL);
	assert_int_equal(status, 0);
	autojson json_t *tree = json_loads(text, 0, NULL);
	const json_t *found = check_of(tree, "configuration");
	assert_string_equal(json_string_value(json_object_get(found, "state")), "missing");
	assert_non_null(strstr(json_string_value(json_object_get(found, "text")), "/nonexistent/config"));
	assert_non_null(strstr(json_string_value(json_object_get(found, "advice")), "KUBECONFIG"));
	assert_null(check_of(tree, "API server"));

	char name[] = "/tmp/doctor_test.XXXXXX";
	static const char broken[] = "kind: Config\nclusters: 1\ncurrent-context: x\ncontexts: []\n";
	int fd = mkstemp(name);
	assert_int_equal(write(fd, broken, strlen(broken)), strlen(broken));
	close(fd);
	setenv("KUBECONFIG", name, 1);
	autofree char *again = doctor("--json", &status, NULL);
	assert_int_equal(status, 0);
	autojson json_t *second = json_loads(again, 0, NULL);
	found = check_of(second, "configuration");
	assert_non_null(strstr(json_string_value(json_object_get(found, "text")), "there is no context 'x'"));
	assert_non_null(strstr(json_string_value(json_object_get(found, "advice")), "kubectl"));
	static const char closed[] = "clusters: [{name: k, cluster: {server: 'https://127.0.0.1:1'}}]\n"
				     "contexts: [{name: c, context: {cluster: k}}]\ncurrent-context: c\n";
	assert_int_equal(fs_write(name, closed, strlen(closed), 0600, NULL), 0);
	autofree char *third = doctor("--json", &status, NULL);
	assert_int_equal(status, 0);
	autojson json_t *last = json_loads(third, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(check_of(last, "configuration"), "state")), "ok");
	assert_string_equal(json_string_value(json_object_get(check_of(last, "API server"), "state")), "missing");
	assert_non_null(strstr(json_string_value(json_object_get(check_of(last, "agent of pods"), "text")),
		"/bin/sh needs shared libraries"));
	assert_null(check_of(last, "rights"));
	unlink(name);
}

static void what_is_not_understood(void **state)
{
	int status;
	struct error err = {0};
	autofree char *one = doctor("--wrong", &status, &err);
	assert_int_equal(status, -1);
	assert_int_equal(err.code, ERROR_USAGE);
	autofree char *two = doctor("word", &status, &err);
	assert_int_equal(status, -1);
	assert_non_null(strstr(err.text, "word"));
	autofree char *three = doctor("--help", &status, &err);
	assert_int_equal(status, 0);
	assert_non_null(strstr(three, "usage"));
}

int main(void)
{
	setenv("MUSTER_NODES_DIR", "/tmp/muster-doctor-test", 1); // checked, not made
	setenv("KUBECONFIG", "/nonexistent/config", 1);           // a cluster is not asked
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_missing_is_said),
		cmocka_unit_test(what_works_is_said),
		cmocka_unit_test(kubernetes_may_be_missing),
		cmocka_unit_test(what_is_not_understood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
