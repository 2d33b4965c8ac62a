#include "base/fs.h"
#include "base/mem.h"
#include "kube/credential_plugin.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define V1 CREDENTIAL_PLUGIN_API "v1"
#define SAYS(status) "{\"apiVersion\": \"" V1 "\", \"kind\": \"ExecCredential\", \"status\": " status "}"

static void read_good(const char *text, struct credential *c)
{
	struct error err = {0};
	if (credential_plugin_read(text, strlen(text), V1, c, &err) < 0)
		fail_msg("%s", err.text);
}

static void what_a_plugin_writes_is_read(void **state)
{
	struct credential c;
	read_good(SAYS("{\"token\": \"abc\", \"clientKeyData\": null}") "\n", &c);
	assert_string_equal(c.token, "abc");
	assert_null(c.cert);
	assert_true(c.expires == 0);
	credential_plugin_forget(&c);
	assert_null(c.token);
	read_good(SAYS("{\"clientCertificateData\": \"C\", \"clientKeyData\": \"K\", \"expirationTimestamp\": "
		       "\"1970-01-02T00:00:00Z\", \"more\": 1}"),
		&c);
	assert_string_equal(c.cert, "C");
	assert_string_equal(c.key, "K");
	assert_true(c.expires == 86400);
	credential_plugin_forget(&c);
	static const char *const times[] = {
		"1970-01-02T00:00:00.25Z", "1970-01-02T02:00:00+02:00", "1970-01-01T18:30:00-05:30"};
	for (size_t i = 0; i < countof(times); i++) {
		autofree char *text = mem_printf(SAYS("{\"token\": \"t\", \"expirationTimestamp\": \"%s\"}"), times[i]);
		read_good(text, &c);
		assert_true(c.expires == 86400);
		credential_plugin_forget(&c);
	}
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{"", "no JSON object of the kind ExecCredential"},
		{"secret", "no JSON object"},
		{"[]", "no JSON object"},
		{"{}", "no JSON object"},
		{"{\"kind\": \"ExecCredential\", \"apiVersion\": \"v2\"}",
			"has the apiVersion 'v2', expected '" V1 "'"},
		{"{\"kind\": \"ExecCredential\", \"apiVersion\": \"" V1 "\"}", "has no status"},
		{SAYS("{}"), "neither a token nor"},
		{SAYS("{\"token\": \"\"}"), "neither a token nor"},
		{SAYS("{\"token\": 7}"), "status.token is no text"},
		{SAYS("{\"token\": \"secret\\r\\nX: y\"}"), "status.token has a byte"},
		{SAYS("{\"token\": \"secret x\"}"), "status.token has a byte"},
		{SAYS("{\"clientCertificateData\": \"secret\"}"), "status.clientKeyData is missing"},
		{SAYS("{\"token\": \"secret\", \"clientKeyData\": \"secret\"}"),
			"status.clientCertificateData is missing"},
		{SAYS("{\"token\": \"secret\", \"expirationTimestamp\": \"tomorrow\"}"),
			"is 'tomorrow', expected a time"},
		{SAYS("{\"token\": \"secret\", \"expirationTimestamp\": \"2026-11-28T10:00:00\"}"), "expected a time"},
		{SAYS("{\"token\": \"secret\", \"expirationTimestamp\": \"2026-11-28T10:00:00+2\"}"),
			"expected a time"},
	};
	for (size_t i = 0; i < countof(rows); i++) {
		struct credential c;
		struct error err = {0};
		assert_int_equal(credential_plugin_read(rows[i].text, strlen(rows[i].text), V1, &c, &err), -1);
		if (!strstr(err.text, rows[i].why) || strstr(err.text, "secret"))
			fail_msg("'%s' does not say '%s'", err.text, rows[i].why);
		assert_null(c.token);
		assert_null(c.key);
	}
}

// --- programs -------------------------------------------------------------------

struct place {
	char dir[40];
	struct credential_plugin p;
};

static void prepare(struct place *at, const char *script)
{
	strcpy(at->dir, "/tmp/plugin-test-XXXXXX");
	assert_non_null(mkdtemp(at->dir));
	at->p = (struct credential_plugin){.where = mem_strdup("config:3:7"),
		.version = mem_strdup(V1),
		.command = fs_join(at->dir, "login"),
		.args = mem_json("[s, s]", "first", "two words"),
		.env = mem_json("{s:s, s:s}", "GIVEN", "given", "HOME", "/elsewhere")};
	autofree char *text = mem_printf("#!/bin/sh\n%s\n", script);
	if (script)
		assert_int_equal(fs_write(at->p.command, text, strlen(text), 0755, NULL), 0);
}

static void finish(struct place *at)
{
	credential_plugin_fini(&at->p);
	assert_int_equal(fs_remove(at->dir, NULL), 0);
}

static void run_good(struct place *at, const char *token)
{
	struct credential c;
	struct error err = {0};
	if (credential_plugin_run(&at->p, NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.token, token);
	credential_plugin_forget(&c);
}

static void run_bad(struct place *at, const char *why)
{
	struct credential c;
	struct error err = {0};
	assert_int_equal(credential_plugin_run(&at->p, NULL, &c, &err), -1);
	if (!strstr(err.text, why) || !strstr(err.text, "config:3:7: the credential plugin") ||
		strstr(err.text, "secret"))
		fail_msg("'%s' does not say '%s'", err.text, why);
}

#define TOKEN(value)                                                                                                   \
	"printf '{\"apiVersion\": \"" V1 "\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"%s\"}}' " value

static void a_plugin_is_told_what_it_needs(void **state)
{
	struct place at;
	prepare(&at, TOKEN("\"$1:${2% *}:$GIVEN:$HOME:$KEPT\""));
	setenv("KEPT", "kept", 1);
	setenv("GIVEN", "overruled", 1);
	setenv("KUBERNETES_EXEC_INFO", "of somebody else", 1);
	run_good(&at, "first:two:given:/elsewhere:kept");
	finish(&at);

	prepare(&at, "printf '%s' \"$KUBERNETES_EXEC_INFO\" >\"${0%/*}/info\"; " TOKEN("x"));
	at.p.cluster = mem_json("{s:s, s:{s:i}}", "server", "https://x", "config", "port", 12);
	run_good(&at, "x");
	autofree char *path = fs_join(at.dir, "info"), *info = fs_read(path, 1 << 20, NULL, NULL);
	assert_string_equal(info,
		"{\"apiVersion\":\"" V1 "\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false,"
		"\"cluster\":{\"server\":\"https://x\",\"config\":{\"port\":12}}}}");
	finish(&at);
}

static void plugins_that_fail_are_told_of(void **state)
{
	struct place at;
	prepare(&at, "echo first >&2; echo 'please log in' >&2; echo secret; exit 7");
	run_bad(&at, "it ended with status 7: please log in");
	finish(&at);
	prepare(&at, "kill -9 $$");
	run_bad(&at, "it was ended by signal 9");
	finish(&at);
	prepare(&at, "echo secret");
	run_bad(&at, "no JSON object");
	finish(&at);
	prepare(&at, "exec yes secret");
	run_bad(&at, "it writes more than 1048576 bytes");
	finish(&at);
	prepare(&at, NULL);
	at.p.hint = mem_strdup("Install it from your package manager.");
	run_bad(&at, "is not there: Install it from your package manager.");
	free(at.p.command);
	at.p.command = mem_strdup("no-such-login-program");
	run_bad(&at, "'no-such-login-program' is not there");
	finish(&at);
}

static void a_plugin_can_be_waited_for_no_longer(void **state)
{
	struct place at;
	struct credential c;
	struct error err = {0};
	atomic_bool cancelled = true;
	prepare(&at, "exec sleep 1000");
	assert_int_equal(credential_plugin_run(&at.p, &cancelled, &c, &err), -1);
	assert_int_equal(err.code, ERROR_CANCELLED);
	finish(&at);
}

static void what_a_plugin_leaves_behind_is_not_waited_for(void **state)
{
	struct place at;
	prepare(&at, "sleep 1000 >/dev/null & echo $! >\"${0%/*}/pid\"; " TOKEN("x"));
	run_good(&at, "x");
	autofree char *path = fs_join(at.dir, "pid"), *pid = fs_read(path, 100, NULL, NULL);
	kill(atoi(pid), SIGKILL);
	finish(&at);
	prepare(&at, TOKEN("x") "; exec >&- 2>&-; while test ! -e \"${0%/*}/go\"; do sleep 0.01; done; exit 3");
	autofree char *go = fs_join(at.dir, "go");
	fs_write(go, "", 0, 0644, NULL);
	run_bad(&at, "it ended with status 3");
	finish(&at);
}

static void without_a_terminal_nobody_is_asked(void **state)
{
	struct place at;
	if (isatty(0) && isatty(2))
		skip();
	prepare(&at, TOKEN("x"));
	at.p.mode = PLUGIN_ASKS;
	run_bad(&at, "there is no terminal here");
	at.p.mode = PLUGIN_MAY_ASK;
	run_good(&at, "x");
	finish(&at);
}

// What a plugin is told by a process that has this terminal as 0 and 2, in its foreground or not: "true", "false".
static char *ask_on_terminal(bool foreground)
{
	struct place at;
	prepare(&at, "case $KUBERNETES_EXEC_INFO in *'\"interactive\":true'*) " TOKEN("true") ";; *) " TOKEN(
			     "false") "; esac");
	at.p.mode = PLUGIN_MAY_ASK;
	int control = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), ends[2];
	assert_true(control >= 0 && grantpt(control) == 0 && unlockpt(control) == 0 && pipe(ends) == 0);
	const char *terminal = ptsname(control);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		int fd = open(terminal, O_RDWR); // becomes the controlling one
		dup2(fd, 0);
		dup2(fd, 2);
		pid_t child = fork();
		if (child == 0) {
			struct credential c;
			if (!foreground)
				setpgid(0, 0);
			credential_plugin_run(&at.p, NULL, &c, NULL);
			dprintf(ends[1], "%s", c.token ? c.token : "failed");
			_exit(0);
		}
		waitpid(child, NULL, 0);
		_exit(0);
	}
	close(ends[1]);
	char said[16] = "";
	ssize_t n = read(ends[0], said, sizeof said - 1);
	close(ends[0]);
	waitpid(pid, NULL, 0);
	close(control);
	finish(&at);
	return mem_strndup(said, n > 0 ? (size_t)n : 0);
}

static void only_the_foreground_of_a_terminal_is_asked(void **state)
{
	autofree char *front = ask_on_terminal(true), *back = ask_on_terminal(false);
	assert_string_equal(front, "true");
	assert_string_equal(back, "false");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_plugin_writes_is_read),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(a_plugin_is_told_what_it_needs),
		cmocka_unit_test(plugins_that_fail_are_told_of),
		cmocka_unit_test(a_plugin_can_be_waited_for_no_longer),
		cmocka_unit_test(what_a_plugin_leaves_behind_is_not_waited_for),
		cmocka_unit_test(only_the_foreground_of_a_terminal_is_asked),
		cmocka_unit_test(without_a_terminal_nobody_is_asked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
