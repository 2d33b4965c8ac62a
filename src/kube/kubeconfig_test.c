#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "kube/kubeconfig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int parse(const char *text, const char *context, struct kubeconfig *c, struct error *err)
{
	struct kubeconfig_text one = {.file = "/etc/k/config", .text = text, .len = strlen(text)};
	*err = (struct error){0};
	return kubeconfig_parse(&one, 1, context, NULL, c, err);
}

#define CLUSTER "clusters: [{name: k, cluster: {server: 'https://10.0.0.1:6443'}}]\n"
#define CONTEXT "contexts: [{name: c, context: {cluster: k, user: u}}]\ncurrent-context: c\n"
#define USER "users: [{name: u, user: {token: abc}}]\n"

static void refuse(const char *text, const char *why)
{
	struct kubeconfig c;
	struct error err;
	if (parse(text, NULL, &c, &err) == 0)
		fail_msg("'%s' is taken, expected '%s'", text, why);
	if (!strstr(err.text, why))
		fail_msg("'%s' does not say '%s'", err.text, why);
	assert_int_equal(err.code, ERROR_USAGE);
	kubeconfig_fini(&c);
}

// As `kubectl config` writes it, with what we do not know.
static const char whole[] = "apiVersion: v1\n"
			    "kind: Config\n"
			    "preferences: {colors: true}\n"
			    "extensions: [{name: minikube.sigs.k8s.io, extension: {last-update: x}}]\n"
			    "clusters:\n"
			    "- name: a\n"
			    "  cluster:\n"
			    "    certificate-authority-data: Q0E=\n"
			    "    server: https://api.example/k8s/clusters/c-1/\n"
			    "    tls-server-name: inner.example\n"
			    "    proxy-url: socks5://127.0.0.1:1080\n"
			    "    disable-compression: true\n"
			    "    extensions: [{name: other, extension: 1}]\n"
			    "- name: b\n"
			    "  cluster: {server: https://b.example, certificate-authority: pki/ca.crt}\n"
			    "contexts:\n"
			    "- {name: one, context: {cluster: a, user: cert, namespace: team}}\n"
			    "- {name: two, context: {cluster: b, user: files}}\n"
			    "current-context: one\n"
			    "users:\n"
			    "- name: cert\n"
			    "  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}\n"
			    "- name: files\n"
			    "  user:\n"
			    "    client-certificate: ./c.crt\n"
			    "    client-key: /abs/c.key\n"
			    "    tokenFile: tokens/t\n"
			    "    token: old\n"
			    "    as: boss\n"
			    "    as-groups: [x, y]\n"
			    "    as-user-extra: {a/b: [1]}\n";

static void a_whole_file_is_read(void **state)
{
	struct kubeconfig c;
	struct error err;
	if (parse(whole, NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.context, "one");
	assert_string_equal(c.namespace, "team");
	assert_string_equal(c.server, "https://api.example/k8s/clusters/c-1/");
	assert_string_equal(c.server_name, "inner.example");
	assert_string_equal(c.proxy, "socks5://127.0.0.1:1080");
	assert_string_equal(c.bundle_text, "CA");
	assert_string_equal(c.cert_text, "CERT");
	assert_string_equal(c.key_text, "KEY");
	assert_string_equal(c.source, "/etc/k/config:8:5");
	assert_string_equal(c.impersonation, "");
	assert_null(c.bundle);
	assert_null(c.token);
	assert_false(c.insecure);
	assert_false(c.in_cluster);
	kubeconfig_fini(&c);

	assert_int_equal(parse(whole, "two", &c, &err), 0);
	assert_string_equal(c.context, "two");
	assert_string_equal(c.namespace, "default");
	assert_string_equal(c.bundle, "/etc/k/pki/ca.crt");
	assert_string_equal(c.cert, "/etc/k/c.crt");
	assert_string_equal(c.key, "/abs/c.key");
	assert_string_equal(c.token_file, "/etc/k/tokens/t");
	assert_string_equal(c.token, "old");
	assert_string_equal(c.impersonation,
		"Impersonate-User: boss\r\nImpersonate-Group: x\r\nImpersonate-Group: y\r\n"
		"Impersonate-Extra-a%2Fb: 1\r\n");
	kubeconfig_fini(&c);

	struct kubeconfig_text text = {.file = "f", .text = whole, .len = strlen(whole)};
	assert_int_equal(kubeconfig_parse(&text, 1, NULL, "mine", &c, &err), 0);
	assert_string_equal(c.namespace, "mine");
	kubeconfig_fini(&c);
	assert_int_equal(kubeconfig_parse(&text, 1, NULL, "-mine", &c, &err), -1);
	assert_non_null(strstr(err.text, "found the namespace '-mine'"));
	kubeconfig_fini(&c);
}

static void json_is_read_too(void **state)
{
	struct kubeconfig c;
	struct error err;
	if (parse("{\"clusters\": [{\"name\": \"k\", \"cluster\": {\"server\": \"http://localhost:8001\"}}], "
		  "\"users\": null,"
		  "\"contexts\": [{\"name\": \"c\", \"context\": {\"cluster\": \"k\"}}], \"current-context\": \"c\"}",
		    NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.server, "http://localhost:8001");
	assert_null(c.token);
	kubeconfig_fini(&c);
}

static void the_first_document_counts(void **state)
{
	struct kubeconfig c;
	struct error err;
	if (parse("# written by hand\n---\n" CLUSTER CONTEXT
		  "users: [{name: u, user: {token: \"-----x\"}}]\n--- # others\nkind: Pod\n",
		    NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.token, "-----x");
	kubeconfig_fini(&c);
	refuse("--- {kind: Pod}\n", "/etc/k/config:1:12: found the kind 'Pod'");
	refuse("---\n--- \r\n#\n", "is empty");
}

// Of what several files say under one name, the first counts, and counts whole.
static void files_are_merged(void **state)
{
	static const char first[] = "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
				    "users: [{name: u, user: {token: first}}]\n";
	static const char second[] =
		"current-context: c\n"
		"clusters: [{name: k, cluster: {server: 'https://second', certificate-authority: ca}}]\n"
		"users: [{name: u, user: {tokenFile: second}}]\n";
	static const char third[] = "current-context: d\nclusters: [{name: k, cluster: {server: 'https://third'}}]\n"
				    "contexts: [{name: d, context: {cluster: k}}]\n";
	struct kubeconfig_text texts[] = {{"/1/config", first, strlen(first)}, {"/e", "", 0},
		{"/2/config", second, strlen(second)}, {"/3/config", third, strlen(third)}};
	struct kubeconfig c;
	struct error err = {0};
	if (kubeconfig_parse(texts, countof(texts), NULL, NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.context, "c");
	assert_string_equal(c.server, "https://second");
	assert_string_equal(c.bundle, "/2/ca");
	assert_string_equal(c.token, "first");
	assert_null(c.token_file);
	kubeconfig_fini(&c);
	assert_int_equal(kubeconfig_parse(texts, countof(texts), "d", NULL, &c, &err), 0);
	assert_string_equal(c.server, "https://second");
	kubeconfig_fini(&c);
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
	refuse("", "is empty");
	refuse("---\n# nothing\n\n", "is empty");
	refuse("[1]", "/etc/k/config:1:1: this is no kubeconfig");
	refuse("kind: Pod\n", "/etc/k/config:1:7: found the kind 'Pod', expected Config");
	refuse("a: [\n", "/etc/k/config:");
	refuse(CLUSTER USER "contexts: [{name: c, context: {cluster: k}}, {name: d, context: {cluster: k}}]\n",
		"no 'current-context' is set, expected one of 'c', 'd'");
	refuse(CLUSTER USER CONTEXT "contexts: 1\n", "contexts");
	refuse(CLUSTER USER
		"contexts: [{name: c, context: {cluster: k, user: u, namespace: \"a/../b\"}}]\ncurrent-context: c\n",
		"/etc/k/config:3:64: found the namespace 'a/../b', expected at most 63 of a-z, 0-9");
	refuse(CLUSTER USER "contexts: [{name: c, context: {cluster: k, user: u, namespace: \"a\\r\\nX: "
			    "y\"}}]\ncurrent-context: c\n",
		"found the namespace 'a\\x0d\\nX: y'");
	refuse(CLUSTER USER "contexts: {}\ncurrent-context: c\n",
		"/etc/k/config:3:11: found a map in 'contexts', expected a list");
	refuse(CLUSTER USER "contexts: [{name: prod, context: {cluster: k}}]\ncurrent-context: prd\n",
		"/etc/k/config:4:18: there is no context 'prd'; did you mean 'prod'?");
	refuse(USER CONTEXT, "/etc/k/config:2:41: there is no cluster 'k'");
	refuse(CLUSTER CONTEXT, "/etc/k/config:2:50: there is no user 'u'");
	refuse("clusters: [{name: k, cluster: {}}]\n" USER CONTEXT, "/etc/k/config:1:31: the cluster has no 'server'");
	refuse("clusters: [{name: k, cluster: {server: 10.0.0.1}}]\n" USER CONTEXT,
		"/etc/k/config:1:40: '10.0.0.1' is neither http:// nor https://");
	refuse("clusters: [{name: k}]\n" USER CONTEXT, "/etc/k/config:1:19: 'k' has no 'cluster'");
	refuse("clusters: [k]\n" USER CONTEXT, "/etc/k/config:1:12: expected a map with 'name' and 'cluster'");
	refuse("clusters: [{name: k, cluster: {server: 'https://a'}}, {name: k, cluster: {server: 'https://b'}}]\n" USER
			CONTEXT,
		"/etc/k/config:1:62: 'clusters' has the name 'k' twice");
	refuse("clusters: [{name: k, cluster: {server: 'https://a', certificate-authority-data: '*'}}]\n" USER CONTEXT,
		"/etc/k/config:1:81: 'certificate-authority-data' is not base64");
	refuse("clusters: [{name: k, cluster: {server: 'https://a', insecure-skip-tls-verify: 1}}]\n" USER CONTEXT,
		"found '1' in 'insecure-skip-tls-verify', expected true or false");
	refuse("clusters: [{name: k, cluster: {server: 'https://a', insecure-skip-tls-verify: true, "
	       "certificate-authority: a}}]"
	       "\n" USER CONTEXT,
		"contradicts the certificate authority");
	refuse("clusters: [{name: k, cluster: {server: 'https://a', proxy-url: 'ftp://x'}}]\n" USER CONTEXT,
		"/etc/k/config:1:64: the proxy 'ftp://x' is neither");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {auth-provider: {name: gcp}}}]\n",
		"/etc/k/config:4:41: the auth-provider 'gcp' is not supported");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {client-key: x}}]\n",
		"'client-key' without a 'client-certificate'");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {client-certificate: x}}]\n", "'client-certificate' without");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {token: x, username: y}}]\n", "'username' and a token");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {token: \"a\\r\\nX: y\"}}]\n", "the token has a byte");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {token: x, as: \"a\\nb\"}}]\n", "expected a text on one line");
	refuse(CLUSTER CONTEXT "users: [{name: u, user: {token: [x]}}]\n", "found a list in 'token', expected a text");
}

#define EXEC(rest) CLUSTER CONTEXT "users: [{name: u, user: {exec: {" rest "}}}]\n"

static void plugins_are_described(void **state)
{
	struct kubeconfig c;
	struct error err;
	static const char full[] =
		"clusters:\n- name: k\n  cluster:\n    server: https://10.0.0.1\n    certificate-authority-data: Q0E=\n"
		"    tls-server-name: inner\n    proxy-url: http://proxy:1\n"
		"    extensions:\n"
		"    - {name: other, extension: {x: 1}}\n"
		"    - {name: client.authentication.k8s.io/exec, extension: {audience: 'a', port: 12, on: true, list: "
		"[~]}}\n" CONTEXT
		"users:\n- name: u\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n"
		"      command: bin/login\n      args: [token, '--x', 1]\n      env: [{name: A, value: '1'}, {name: "
		"B}]\n"
		"      installHint: |\n        get it\n      interactiveMode: Never\n      provideClusterInfo: true\n";
	if (parse(full, NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	const struct credential_plugin *p = c.plugin;
	assert_string_equal(p->version, "client.authentication.k8s.io/v1");
	assert_string_equal(p->command, "/etc/k/bin/login");
	assert_string_equal(p->where, "/etc/k/config:17:7");
	assert_string_equal(p->hint, "get it\n");
	assert_int_equal(p->mode, PLUGIN_NEVER_ASKS);
	autofree char *args = json_dumps(p->args, 0), *env = json_dumps(p->env, JSON_SORT_KEYS),
		      *cluster = json_dumps(p->cluster, JSON_SORT_KEYS);
	assert_string_equal(args, "[\"token\", \"--x\", \"1\"]");
	assert_string_equal(env, "{\"A\": \"1\", \"B\": \"\"}");
	assert_string_equal(cluster, "{\"certificate-authority-data\": \"Q0E=\", \"config\": {\"audience\": \"a\", "
				     "\"list\": [null], \"on\": true, "
				     "\"port\": 12}, \"proxy-url\": \"http://proxy:1\", \"server\": "
				     "\"https://10.0.0.1\", \"tls-server-name\": "
				     "\"inner\"}");
	kubeconfig_fini(&c);

	assert_int_equal(
		parse(EXEC("apiVersion: client.authentication.k8s.io/v1beta1, command: aws"), NULL, &c, &err), 0);
	assert_string_equal(c.plugin->command, "aws"); // in PATH
	assert_int_equal(c.plugin->mode, PLUGIN_MAY_ASK);
	assert_null(c.plugin->cluster);
	kubeconfig_fini(&c);

	// A path stays one, and is not looked for in PATH.
	static const char beside[] = EXEC("apiVersion: client.authentication.k8s.io/v1, command: ./login");
	struct kubeconfig_text text = {.file = "config", .text = beside, .len = strlen(beside)};
	assert_int_equal(kubeconfig_parse(&text, 1, NULL, NULL, &c, &err), 0);
	assert_string_equal(c.plugin->command, "./login");
	kubeconfig_fini(&c);

	refuse(EXEC("apiVersion: client.authentication.k8s.io/v1"), "has no 'command'");
	refuse(EXEC("command: x"), "found '' as the apiVersion of a credential plugin");
	refuse(EXEC("apiVersion: client.authentication.k8s.io/v1alpha1, command: x"),
		"expected client.authentication.k8s.io/v1");
	refuse(EXEC("apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Sometimes"),
		"found 'Sometimes'");
	refuse(EXEC("apiVersion: client.authentication.k8s.io/v1, command: x, args: [[]]"), "is no text");
	refuse(EXEC("apiVersion: client.authentication.k8s.io/v1, command: x, env: [{value: 1}]"), "expected a 'name'");
	refuse(EXEC("apiVersion: client.authentication.k8s.io/v1, command: x, env: [{name: 'a=b'}]"),
		"expected a 'name'");
}

// --- files --------------------------------------------------------------------

static char *make_dir(char *name)
{
	assert_non_null(mkdtemp(name));
	return name;
}

static void put(const char *dir, const char *name, const char *text)
{
	autofree char *path = fs_join(dir, name);
	assert_int_equal(fs_write(path, text, strlen(text), 0644, NULL), 0);
}

static void files_are_found(void **state)
{
	char name[] = "/tmp/kubeconfig-test-XXXXXX", *dir = make_dir(name);
	struct kubeconfig c;
	struct error err = {0};
	put(dir, "one", CLUSTER);
	put(dir, "two", CONTEXT USER);
	autofree char *list = mem_printf("%s/none::%s/one:%s/two", dir, dir, dir);
	setenv("KUBECONFIG", list, 1);
	assert_true(kubeconfig_is_there());
	if (kubeconfig_load(NULL, NULL, &c, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(c.token, "abc");
	kubeconfig_fini(&c);

	autofree char *kube = fs_join(dir, ".kube");
	assert_int_equal(fs_mkdirs(kube, 0755, NULL), 0);
	put(kube, "config", CLUSTER CONTEXT USER);
	unsetenv("KUBECONFIG");
	setenv("HOME", dir, 1);
	assert_int_equal(kubeconfig_load("c", "x", &c, &err), 0);
	assert_string_equal(c.namespace, "x");
	kubeconfig_fini(&c);

	setenv("KUBECONFIG", "/nonexistent/config", 1);
	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_false(kubeconfig_is_there());
	assert_int_equal(kubeconfig_load(NULL, NULL, &c, &err), -1);
	assert_non_null(strstr(err.text, "/nonexistent/config"));
	assert_null(strstr(err.text, "localhost"));
	assert_int_equal(err.code, ERROR_USAGE);
	kubeconfig_fini(&c);

	setenv("KUBECONFIG", dir, 1); // a directory
	assert_int_equal(kubeconfig_load(NULL, NULL, &c, &err), -1);
	assert_non_null(strstr(err.text, dir));
	kubeconfig_fini(&c);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

static void files_stay_in_another_directory(void **state)
{
	char name[] = "/tmp/kubeconfig-test-XXXXXX", *dir = make_dir(name);
	assert_int_equal(chdir(dir), 0);
	setenv("KUBECONFIG", "a:/b::c/d", 1);
	kubeconfig_keep_files();
	autofree char *expected = mem_printf("%s/a:/b::%s/c/d", dir, dir);
	assert_string_equal(getenv("KUBECONFIG"), expected);
	unsetenv("KUBECONFIG");
	kubeconfig_keep_files();
	assert_null(getenv("KUBECONFIG"));
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

static void a_pod_has_a_service_account(void **state)
{
	char name[] = "/tmp/kubeconfig-test-XXXXXX", *dir = make_dir(name);
	struct kubeconfig c;
	struct error err = {0};
	put(dir, "token", "abc\n");
	put(dir, "namespace", "team\n");
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kubeconfig_from_pod(dir, NULL, &c, &err), 0);
	assert_true(c.in_cluster);
	assert_string_equal(c.server, "https://[fd00::1]:443");
	assert_string_equal(c.namespace, "team");
	assert_string_equal(c.context, "");
	assert_null(c.bundle);
	autofree char *token = fs_join(dir, "token"), *bundle = fs_join(dir, "ca.crt");
	assert_string_equal(c.token_file, token);
	kubeconfig_fini(&c);
	put(dir, "ca.crt", "CA");
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	assert_int_equal(kubeconfig_from_pod(dir, "other", &c, &err), 0);
	assert_string_equal(c.server, "https://10.96.0.1:443");
	assert_string_equal(c.namespace, "other");
	assert_string_equal(c.bundle, bundle);
	kubeconfig_fini(&c);
	setenv("KUBERNETES_SERVICE_PORT", "x", 1);
	assert_int_equal(kubeconfig_from_pod(dir, NULL, &c, &err), -1);
	assert_non_null(strstr(err.text, "KUBERNETES_SERVICE_PORT"));
	kubeconfig_fini(&c);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_read),
		cmocka_unit_test(json_is_read_too),
		cmocka_unit_test(the_first_document_counts),
		cmocka_unit_test(files_are_merged),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
		cmocka_unit_test(plugins_are_described),
		cmocka_unit_test(files_are_found),
		cmocka_unit_test(files_stay_in_another_directory),
		cmocka_unit_test(a_pod_has_a_service_account),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
