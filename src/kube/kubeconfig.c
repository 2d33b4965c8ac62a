#include "kube/kubeconfig.h"

#include "base/crypto.h"
#include "base/did_you_mean.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proxy.h"
#include "base/str.h"
#include "base/url.h"
#include "job/yaml.h"
#include "kube/kubeconfig_members.h"
#include "kube/kubeconfig_plugin.h"

#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 16 << 20, NODES_MAX = 500000, FILES_MAX = 64 };

void kubeconfig_fini(struct kubeconfig *c)
{
	char *secrets[] = {c->key_text, c->token, c->password};
	char *texts[] = {c->source, c->context, c->namespace, c->server, c->server_name, c->proxy, c->bundle,
		c->bundle_text, c->cert, c->key, c->cert_text, c->token_file, c->user, c->impersonation};
	for (size_t i = 0; i < countof(secrets); i++)
		crypto_wipe(secrets[i]);
	for (size_t i = 0; i < countof(texts); i++)
		free(texts[i]);
	if (c->plugin)
		credential_plugin_fini(c->plugin);
	free(c->plugin);
	*c = (struct kubeconfig){0};
}

// --- entries by name ----------------------------------------------------------

struct files {
	struct yaml *trees[FILES_MAX];
	size_t count;
};

// Entries are lists of {name, KIND: {...}}; the same name twice in one file is an error.
static int find_in_file(const struct yaml *tree, const char *list, const char *kind, const char *name,
	const struct yaml **found, struct error *err)
{
	const struct yaml *entries, *label;
	if (kubeconfig_members_find(tree, list, YAML_LIST, &entries, err) < 0)
		return -1;
	for (size_t i = 0; entries && i < entries->count; i++) {
		const struct yaml *entry = entries->entries[i].value;
		if (entry->kind != YAML_MAP)
			return yaml_error(entry, err, "expected a map with 'name' and '%s'", kind);
		if (kubeconfig_members_find(entry, "name", YAML_SCALAR, &label, err) < 0)
			return -1;
		if (!label || strcmp(label->text, name) != 0)
			continue;
		if (*found)
			return yaml_error(label, err, "'%s' has the name '%s' twice", list, name);
		if (kubeconfig_members_find(entry, kind, YAML_MAP, found, err) < 0)
			return -1;
		if (!*found)
			return yaml_error(label, err, "'%s' has no '%s'", name, kind);
	}
	return 0;
}

// The first file that has the name counts. *found NULL: none has it.
static int find_entry(const struct files *files, const char *list, const char *kind, const char *name,
	const struct yaml **found, struct error *err)
{
	*found = NULL;
	for (size_t i = 0; i < files->count && !*found; i++)
		if (find_in_file(files->trees[i], list, kind, name, found, err) < 0)
			return -1;
	return 0;
}

// "did you mean", or the names there are.
static char *advise(const struct files *files, const char *list, const char *name)
{
	enum { NAMES_MAX = 500 };
	const char *names[NAMES_MAX + 1];
	size_t count = 0;
	for (size_t i = 0; i < files->count; i++) {
		const struct yaml *entries = yaml_find(files->trees[i], list), *label;
		for (size_t k = 0; entries && k < entries->count && count < NAMES_MAX; k++)
			if (entries->entries[k].value->kind == YAML_MAP &&
				(label = yaml_find(entries->entries[k].value, "name")) && label->kind == YAML_SCALAR)
				names[count++] = label->text;
	}
	names[count] = NULL;
	const char *close = did_you_mean(name, names);
	if (close)
		return did_you_mean_text("; ", close, "");
	autostr struct str text = {0};
	for (size_t i = 0; i < count && i < 10; i++)
		str_printf(&text, "%s'%.80s'", i ? ", " : ", expected one of ", names[i]);
	return str_steal(&text);
}

// --- a cluster ----------------------------------------------------------------

static int check_server(const struct yaml *node, const char *server, struct error *err)
{
	struct url url;
	struct error why = {0};
	int rc = url_parse(server, &url, &why);
	url_fini(&url);
	return rc < 0 ? yaml_error(node, err, "%s", why.text) : 0;
}

static int check_proxy(const struct yaml *node, const char *text, struct error *err)
{
	struct proxy proxy;
	struct error why = {0};
	int rc = text ? proxy_parse(text, &proxy, &why) : 0;
	if (text)
		proxy_fini(&proxy);
	return rc < 0 ? yaml_error(node, err, "%s", why.text) : 0;
}

static int take_cluster(const struct yaml *map, struct kubeconfig *c, struct error *err)
{
	const struct yaml *server, *proxy, *insecure;
	c->source = kubeconfig_members_place(map);
	if (kubeconfig_members_text(map, "server", &c->server, &server, err) < 0 ||
		kubeconfig_members_path(map, "certificate-authority", &c->bundle, NULL, err) < 0 ||
		kubeconfig_members_base64(map, "certificate-authority-data", &c->bundle_text, err) < 0 ||
		kubeconfig_members_text(map, "tls-server-name", &c->server_name, NULL, err) < 0 ||
		kubeconfig_members_text(map, "proxy-url", &c->proxy, &proxy, err) < 0 ||
		kubeconfig_members_flag(map, "insecure-skip-tls-verify", &c->insecure, &insecure, err) < 0)
		return -1;
	if (!c->server)
		return yaml_error(map, err, "the cluster has no 'server'");
	if (c->insecure && (c->bundle || c->bundle_text))
		return yaml_error(insecure, err,
			"'insecure-skip-tls-verify' contradicts the certificate authority that is given");
	return check_server(server, c->server, err) < 0 || check_proxy(proxy, c->proxy, err) < 0 ? -1 : 0;
}

// --- a plugin -----------------------------------------------------------------

static void put_text(json_t *object, const char *name, const char *text)
{
	if (text)
		json_object_set_new(object, name, json_string(text));
}

// What KUBERNETES_EXEC_INFO tells of the cluster: its certificates as data, and the extension that is meant for
// plugins.
static int tell_cluster(
	const struct yaml *cluster, const struct kubeconfig *c, struct credential_plugin *p, struct error *err)
{
	autofree char *file = !c->bundle_text && c->bundle ? fs_read(c->bundle, FILE_MAX, NULL, err) : NULL;
	const char *pem = c->bundle_text ? c->bundle_text : file;
	if (!pem && c->bundle)
		return -1;
	autofree char *data = pem ? crypto_base64(pem, strlen(pem)) : NULL;
	p->cluster = json_object();
	put_text(p->cluster, "server", c->server);
	put_text(p->cluster, "tls-server-name", c->server_name);
	put_text(p->cluster, "certificate-authority-data", data);
	put_text(p->cluster, "proxy-url", c->proxy);
	if (c->insecure)
		json_object_set_new(p->cluster, "insecure-skip-tls-verify", json_true());
	const struct yaml *list, *value = NULL;
	if (kubeconfig_members_find(cluster, "extensions", YAML_LIST, &list, err) < 0)
		return -1;
	for (size_t i = 0; list && i < list->count; i++) {
		const struct yaml *entry = list->entries[i].value;
		const struct yaml *name = entry->kind == YAML_MAP ? yaml_find(entry, "name") : NULL;
		if (name && name->kind == YAML_SCALAR && strcmp(name->text, "client.authentication.k8s.io/exec") == 0)
			value = yaml_find(entry, "extension");
	}
	json_object_set_new(p->cluster, "config", value ? yaml_json(value) : json_null());
	return 0;
}

static int take_plugin(const struct yaml *exec, const struct yaml *cluster, struct kubeconfig *c, struct error *err)
{
	bool tell = false;
	c->plugin = mem_alloc(sizeof *c->plugin);
	if (kubeconfig_plugin_take(exec, c->plugin, &tell, err) < 0)
		return -1;
	return tell ? tell_cluster(cluster, c, c->plugin, err) : 0;
}

// --- a user -------------------------------------------------------------------

static bool is_field_value(const char *text)
{
	for (; (unsigned char)*text >= ' ' && *text != 0x7f; text++)
		;
	return *text == '\0';
}

static int add_field(const struct yaml *node, const char *name, struct str *out, struct error *err)
{
	if (node->kind != YAML_SCALAR || !is_field_value(node->text))
		return yaml_error(node, err, "expected a text on one line");
	str_printf(out, "%s: %s\r\n", name, node->text);
	return 0;
}

static int add_extra(const struct yaml *map, struct str *out, struct error *err)
{
	for (size_t i = 0; map && i < map->count; i++) {
		const struct yaml_entry *e = &map->entries[i];
		autofree char *key = url_quote(e->key), *name = mem_printf("Impersonate-Extra-%s", key);
		if (e->value->kind != YAML_LIST)
			return yaml_error(e->value, err, "expected a list of texts");
		for (size_t k = 0; k < e->value->count; k++)
			if (add_field(e->value->entries[k].value, name, out, err) < 0)
				return -1;
	}
	return 0;
}

// As whom else to act: "as", "as-uid", "as-groups", "as-user-extra".
static int take_impersonation(const struct yaml *user, struct kubeconfig *c, struct error *err)
{
	autostr struct str out = {0};
	const struct yaml *as, *uid, *groups, *extra;
	if (kubeconfig_members_find(user, "as", YAML_SCALAR, &as, err) < 0 ||
		kubeconfig_members_find(user, "as-uid", YAML_SCALAR, &uid, err) < 0 ||
		kubeconfig_members_find(user, "as-groups", YAML_LIST, &groups, err) < 0 ||
		kubeconfig_members_find(user, "as-user-extra", YAML_MAP, &extra, err) < 0)
		return -1;
	if ((as && add_field(as, "Impersonate-User", &out, err) < 0) ||
		(uid && add_field(uid, "Impersonate-Uid", &out, err) < 0))
		return -1;
	for (size_t i = 0; groups && i < groups->count; i++)
		if (add_field(groups->entries[i].value, "Impersonate-Group", &out, err) < 0)
			return -1;
	if (add_extra(extra, &out, err) < 0)
		return -1;
	c->impersonation = str_steal(&out);
	return 0;
}

static int check_pair(const struct yaml *user, const struct kubeconfig *c, struct error *err)
{
	bool cert = c->cert || c->cert_text, key = c->key || c->key_text;
	if (cert != key)
		return yaml_error(user, err, "the user has a '%s' without a '%s'",
			cert ? "client-certificate" : "client-key", cert ? "client-key" : "client-certificate");
	if (c->user && (c->token || c->token_file))
		return yaml_error(user, err, "the user has a 'username' and a token, expected one of them");
	return 0;
}

static int take_user(const struct yaml *user, const struct yaml *cluster, struct kubeconfig *c, struct error *err)
{
	const struct yaml *provider, *exec, *token;
	autofree char *name = NULL;
	if (kubeconfig_members_find(user, "auth-provider", YAML_MAP, &provider, err) < 0 ||
		kubeconfig_members_text(provider, "name", &name, NULL, err) < 0)
		return -1;
	if (provider)
		return yaml_error(provider, err,
			"the auth-provider '%.80s' is not supported, nor by kubectl since 1.26: expected a credential "
			"plugin "
			"('exec'), a token or a client certificate",
			name ? name : "");
	if (kubeconfig_members_path(user, "client-certificate", &c->cert, NULL, err) < 0 ||
		kubeconfig_members_base64(user, "client-certificate-data", &c->cert_text, err) < 0 ||
		kubeconfig_members_path(user, "client-key", &c->key, NULL, err) < 0 ||
		kubeconfig_members_base64(user, "client-key-data", &c->key_text, err) < 0 ||
		kubeconfig_members_text(user, "token", &c->token, &token, err) < 0 ||
		kubeconfig_members_path(user, "tokenFile", &c->token_file, NULL, err) < 0 ||
		kubeconfig_members_text(user, "username", &c->user, NULL, err) < 0 ||
		kubeconfig_members_text(user, "password", &c->password, NULL, err) < 0 ||
		take_impersonation(user, c, err) < 0 ||
		kubeconfig_members_find(user, "exec", YAML_MAP, &exec, err) < 0 || check_pair(user, c, err) < 0)
		return -1;
	if (c->token && !is_field_value(c->token))
		return yaml_error(token, err, "the token has a byte that no token may have");
	return exec ? take_plugin(exec, cluster, c, err) : 0;
}

// --- all together -------------------------------------------------------------

// The context to use, and where its name stands; NULL when an option names it.
static int choose_context(const struct files *files, const char *wanted, struct kubeconfig *c,
	const struct yaml **where, struct error *err)
{
	*where = NULL;
	c->context = wanted && *wanted ? mem_strdup(wanted) : NULL;
	for (size_t i = 0; i < files->count && !c->context; i++)
		if (kubeconfig_members_text(files->trees[i], "current-context", &c->context, where, err) < 0)
			return -1;
	if (c->context)
		return 0;
	autofree char *names = advise(files, "contexts", "");
	return error_set(err, ERROR_USAGE, "%s: no 'current-context' is set%s", files->trees[0]->file, names);
}

static int no_entry(const struct files *files, const struct yaml *where, const char *kind, const char *list,
	const char *name, struct error *err)
{
	autofree char *advice = advise(files, list, name);
	if (where)
		return yaml_error(where, err, "there is no %s '%.100s'%s", kind, name, advice);
	return error_set(err, ERROR_USAGE, "%s has no %s '%.100s'%s", files->trees[0]->file, kind, name, advice);
}

// It becomes a part of paths. An RFC 1123 label: where it stands is told, if it stands in a file.
static int check_namespace(const char *name, const struct yaml *where, struct error *err)
{
	static const char ends[] = "abcdefghijklmnopqrstuvwxyz0123456789",
			  all[] = "-abcdefghijklmnopqrstuvwxyz0123456789";
	size_t len = strlen(name);
	if (len > 0 && len <= 63 && strspn(name, all) == len && strchr(ends, name[0]) && strchr(ends, name[len - 1]))
		return 0;
	autofree char *quoted = yaml_quote(name);
	autofree char *what =
		mem_printf("found the namespace %s, expected at most 63 of a-z, 0-9 and '-', with no '-' at "
			   "its ends",
			quoted);
	return where ? yaml_error(where, err, "%s", what) : error_set(err, ERROR_USAGE, "%s", what);
}

// That of an option, or of the context.
static int choose_namespace(const struct yaml *context, const char *wanted, struct kubeconfig *c, struct error *err)
{
	const struct yaml *where = NULL;
	c->namespace = wanted && *wanted ? mem_strdup(wanted) : NULL;
	if (!c->namespace && kubeconfig_members_text(context, "namespace", &c->namespace, &where, err) < 0)
		return -1;
	if (!c->namespace)
		c->namespace = mem_strdup("default");
	return check_namespace(c->namespace, where, err);
}

static int resolve(
	const struct files *files, const char *wanted, const char *namespace, struct kubeconfig *c, struct error *err)
{
	const struct yaml *named, *context, *cluster, *user = NULL, *cluster_name, *user_name;
	autofree char *cluster_text = NULL, *user_text = NULL;
	if (choose_context(files, wanted, c, &named, err) < 0 ||
		find_entry(files, "contexts", "context", c->context, &context, err) < 0)
		return -1;
	if (!context)
		return no_entry(files, named, "context", "contexts", c->context, err);
	if (kubeconfig_members_text(context, "cluster", &cluster_text, &cluster_name, err) < 0 ||
		kubeconfig_members_text(context, "user", &user_text, &user_name, err) < 0)
		return -1;
	if (!cluster_text)
		return yaml_error(context, err, "the context '%.100s' has no 'cluster'", c->context);
	if (find_entry(files, "clusters", "cluster", cluster_text, &cluster, err) < 0 ||
		(user_text && find_entry(files, "users", "user", user_text, &user, err) < 0))
		return -1;
	if (!cluster)
		return no_entry(files, cluster_name, "cluster", "clusters", cluster_text, err);
	if (user_text && !user)
		return no_entry(files, user_name, "user", "users", user_text, err);
	if (choose_namespace(context, namespace, c, err) < 0)
		return -1;
	return take_cluster(cluster, c, err) < 0 || take_user(user, cluster, c, err) < 0 ? -1 : 0;
}

static int check_kind(const struct yaml *tree, struct error *err)
{
	autofree char *kind = NULL;
	const struct yaml *node;
	if (tree->kind != YAML_MAP)
		return yaml_error(tree, err, "this is no kubeconfig, expected a map");
	if (kubeconfig_members_text(tree, "kind", &kind, &node, err) < 0)
		return -1;
	return kind && strcmp(kind, "Config") != 0
		       ? yaml_error(node, err, "found the kind '%.80s', expected Config", kind)
		       : 0;
}

// "---", and nothing but a blank behind it.
static bool is_mark(const char *line, size_t len)
{
	return len >= 3 && memcmp(line, "---", 3) == 0 && (len == 3 || strchr(" \t\r", line[3]));
}

// How much of a text its first document that says something takes; kubectl does not look at others. 0: there is none,
// but blanks and comments.
static size_t first_document(const struct kubeconfig_text *t)
{
	bool says = false;
	for (size_t at = 0, len; at < t->len; at += len + 1) {
		const char *line = t->text + at, *nl = memchr(line, '\n', t->len - at);
		len = nl ? (size_t)(nl - line) : t->len - at;
		bool mark = is_mark(line, len);
		size_t word = mark ? 3 : 0;
		if (mark && says)
			return at;
		while (word < len && strchr(" \t\r", line[word]))
			word++;
		says = says || (word < len && line[word] != '#');
	}
	return says ? t->len : 0;
}

int kubeconfig_parse(const struct kubeconfig_text *texts, size_t count, const char *context, const char *namespace,
	struct kubeconfig *c, struct error *err)
{
	struct files files = {0};
	struct error why = {0};
	int rc = 0;
	*c = (struct kubeconfig){0};
	for (size_t i = 0; i < count && rc == 0 && files.count < FILES_MAX; i++) {
		size_t len = first_document(&texts[i]);
		if (len == 0)
			continue;
		struct yaml_origin origin = {.file = texts[i].file, .line = 1, .column = 1};
		struct yaml *tree =
			yaml_parse_large(texts[i].text, len, &origin, (struct yaml_limits){FILE_MAX, NODES_MAX}, &why);
		rc = tree ? check_kind(files.trees[files.count++] = tree, &why) : -1;
	}
	if (rc == 0 && files.count == 0)
		rc = error_set(&why, ERROR_USAGE, "%s is empty", count ? texts[0].file : "the kubeconfig");
	if (rc == 0)
		rc = resolve(&files, context, namespace, c, &why);
	for (size_t i = 0; i < files.count; i++)
		yaml_discard(files.trees[i]);
	if (rc < 0 && err)
		*err = why;
	if (err && rc < 0)
		err->code = ERROR_USAGE;
	return rc;
}

// --- where it is ----------------------------------------------------------------

// KUBECONFIG, or the usual file. Owned by the caller; NULL: there is no home either.
static char *file_list(void)
{
	const char *named = getenv("KUBECONFIG"), *home = getenv("HOME");
	if (named && *named)
		return mem_strdup(named);
	return home && *home ? mem_printf("%s/.kube/config", home) : NULL;
}

// Calls on_file with each file of the list that is there; ends with what it returns unless that is 0.
static int each_file(const char *list, int (*on_file)(const char *file, void *data, struct error *err), void *data,
	struct error *err)
{
	for (const char *at = list; at && *at;) {
		size_t len = strcspn(at, ":");
		autofree char *file = mem_strndup(at, len);
		int rc = len && fs_exists(file) ? on_file(file, data, err) : 0;
		if (rc != 0)
			return rc;
		at += len + (at[len] == ':');
	}
	return 0;
}

static int say_yes(const char *file, void *data, struct error *err)
{
	return 1;
}

static bool is_in_pod(void)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	return host && *host && port && *port && fs_exists(KUBECONFIG_SERVICE_ACCOUNT "/token");
}

bool kubeconfig_is_there(void)
{
	autofree char *list = file_list();
	return each_file(list, say_yes, NULL, NULL) == 1 || is_in_pod();
}

void kubeconfig_keep_files(void)
{
	autostr struct str kept = {0};
	for (const char *at = getenv("KUBECONFIG"); at && *at;) {
		size_t len = strcspn(at, ":");
		autofree char *file = mem_strndup(at, len), *path = len ? fs_absolute(file, NULL) : NULL;
		str_printf(&kept, "%s%s", path ? path : file, at[len] ? ":" : "");
		at += len + (at[len] == ':');
	}
	if (kept.len)
		setenv("KUBECONFIG", kept.text, 1);
}

struct reading {
	struct kubeconfig_text texts[FILES_MAX];
	size_t count;
};

static int read_file(const char *file, void *data, struct error *err)
{
	struct reading *r = data;
	if (r->count == FILES_MAX)
		return error_set(err, ERROR_USAGE, "KUBECONFIG names more than %d files", FILES_MAX);
	struct kubeconfig_text *t = &r->texts[r->count];
	t->text = fs_read(file, FILE_MAX, &t->len, err);
	if (!t->text)
		return -1;
	t->file = mem_strdup(file);
	r->count++;
	return 0;
}

static int none_is_there(const char *list, struct error *err)
{
	return error_set(err, ERROR_USAGE,
		"there is no configuration of Kubernetes: found no file at '%.400s' (KUBECONFIG, else ~/.kube/config) "
		"and no "
		"service account of a pod",
		list ? list : "");
}

int kubeconfig_load(const char *context, const char *namespace, struct kubeconfig *c, struct error *err)
{
	autofree char *list = file_list();
	struct reading r = {0};
	*c = (struct kubeconfig){0};
	int rc = each_file(list, read_file, &r, err);
	if (rc == 0 && r.count > 0)
		rc = kubeconfig_parse(r.texts, r.count, context, namespace, c, err);
	else if (rc == 0 && !is_in_pod())
		rc = none_is_there(list, err);
	else if (rc == 0 && context && *context)
		rc = error_set(err, ERROR_USAGE,
			"there is no context '%.100s': without a kubeconfig the service account of this pod is used, "
			"which has none",
			context);
	else if (rc == 0)
		rc = kubeconfig_from_pod(KUBECONFIG_SERVICE_ACCOUNT, namespace, c, err);
	for (size_t i = 0; i < r.count; i++) {
		crypto_wipe((char *)r.texts[i].text);
		free((char *)r.texts[i].file);
	}
	if (rc < 0 && err)
		err->code = ERROR_USAGE;
	return rc;
}

int kubeconfig_from_pod(const char *directory, const char *namespace, struct kubeconfig *c, struct error *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	autofree char *bundle = fs_join(directory, "ca.crt"), *space = fs_join(directory, "namespace");
	*c = (struct kubeconfig){.in_cluster = true};
	c->source = mem_strdup(directory);
	c->context = mem_strdup("");
	c->impersonation = mem_strdup("");
	c->server = mem_printf(strchr(host ? host : "", ':') ? "https://[%s]:%s" : "https://%s:%s", host ? host : "",
		port ? port : "");
	c->token_file = fs_join(directory, "token");
	if (fs_exists(bundle))
		c->bundle = mem_strdup(bundle);
	if (namespace && *namespace)
		c->namespace = mem_strdup(namespace);
	else if (fs_exists(space) && !(c->namespace = fs_read(space, 4096, NULL, err)))
		return -1;
	if (c->namespace)
		c->namespace[strcspn(c->namespace, " \t\r\n")] = '\0';
	if (!c->namespace || !*c->namespace) {
		free(c->namespace);
		c->namespace = mem_strdup("default");
	}
	if (check_namespace(c->namespace, NULL, err) < 0)
		return -1;
	struct url url;
	int rc = url_parse(c->server, &url, err);
	url_fini(&url);
	return rc < 0 ? error_wrap(err, "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT") : 0;
}
