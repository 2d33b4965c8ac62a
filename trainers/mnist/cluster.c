#include "mnist/cluster.h"

#include "common/mem.h"
#include "mnist/job.h"
#include "mnist/net.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn, format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	char text[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	fprintf(stderr, "mnist: %s; see mnist --help\n", text);
	exit(2);
}

// ---- lists of hosts

static void check_host(const char *what, const char *host)
{
	const char *colon = strrchr(host, ':');
	char *end;
	long port = colon ? strtol(colon + 1, &end, 10) : 0;
	if (!colon || colon == host || colon[1] < '0' || colon[1] > '9' || *end || port < 1 || port > 65535)
		wrong("%s: '%s' is not HOST:PORT", what, host);
}

static void add_host(char ***list, uint32_t *count, const char *what, const char *host)
{
	check_host(what, host);
	if (*count == JOB_MAX_TASKS)
		wrong("%s: more than %d", what, JOB_MAX_TASKS);
	for (uint32_t i = 0; i < *count; i++)
		if (strcmp((*list)[i], host) == 0)
			wrong("%s: '%s' stands there twice", what, host);
	*list = mem_grow(*list, *count + 1, sizeof **list);
	char *copy = mem_new(strlen(host) + 1, 1);
	strcpy(copy, host);
	(*list)[(*count)++] = copy;
}

static void add_hosts(char ***list, uint32_t *count, const char *what, const char *text)
{
	char *copy = mem_new(strlen(text) + 1, 1), *rest = copy;
	strcpy(copy, text);
	for (char *one; (one = strsep(&rest, ","));)
		add_host(list, count, what, one);
	free(copy);
}

// ---- TF_CONFIG: {"cluster": {"ps": ["HOST:PORT", ...], "worker": [...], "chief": [...]}, "task": {"type": "worker",
// "index": 0}}

static json_t *read_config(void)
{
	const char *text = getenv("TF_CONFIG");
	json_error_t error;
	if (!text || !*text)
		return NULL;
	json_t *config = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (!json_is_object(config))
		wrong("TF_CONFIG: %s", config ? "not an object" : error.text);
	return config;
}

static void add_config_hosts(char ***list, uint32_t *count, json_t *config, const char *name)
{
	json_t *hosts = json_object_get(json_object_get(config, "cluster"), name), *host;
	size_t i;
	if (hosts && !json_is_array(hosts))
		wrong("TF_CONFIG: cluster.%s is no list", name);
	json_array_foreach (hosts, i, host) {
		if (!json_is_string(host))
			wrong("TF_CONFIG: cluster.%s[%zu] is no text", name, i);
		add_host(list, count, "TF_CONFIG", json_string_value(host));
	}
}

// A chief is the first worker.
static int is_chief(const char *name)
{
	return strcmp(name, "chief") == 0 || strcmp(name, "master") == 0;
}

// ---- one thing after the other

// "3", or what stands behind the last dash of "name-worker-3".
static long read_index(const char *name, const char *text)
{
	const char *dash = strrchr(text, '-');
	const char *digits = dash ? dash + 1 : text;
	char *end;
	errno = 0;
	long n = strtol(digits, &end, 10);
	if (*digits < '0' || *digits > '9' || *end || errno || n >= JOB_MAX_TASKS)
		wrong("environment: %s is '%s', expected %s", name, text,
			strcmp(name, "POD_NAME") == 0 ? "NAME-NUMBER" : "a number");
	return n;
}

static const char *environment(const char *name)
{
	const char *text = getenv(name);
	return text && *text ? text : NULL;
}

static void find_hosts(struct cluster *c, const struct cluster_words *words, json_t *config)
{
	const char *text = words->ps_hosts ? words->ps_hosts : environment("PS_HOSTS");
	if (text)
		add_hosts(&c->ps, &c->ps_count, words->ps_hosts ? "--ps_hosts" : "environment: PS_HOSTS", text);
	else
		add_config_hosts(&c->ps, &c->ps_count, config, "ps");
	text = words->worker_hosts ? words->worker_hosts : environment("WORKER_HOSTS");
	if (text) {
		add_hosts(&c->workers, &c->worker_count,
			words->worker_hosts ? "--worker_hosts" : "environment: WORKER_HOSTS", text);
		return;
	}
	add_config_hosts(&c->workers, &c->worker_count, config, "chief");
	add_config_hosts(&c->workers, &c->worker_count, config, "master");
	add_config_hosts(&c->workers, &c->worker_count, config, "worker");
}

static const char *find_role(const struct cluster_words *words, json_t *config)
{
	const char *name = words->job_name ? words->job_name : environment("JOB_NAME");
	if (name)
		return name;
	return json_string_value(json_object_get(json_object_get(config, "task"), "type"));
}

static long find_index(const struct cluster_words *words, json_t *config)
{
	const char *text = environment("TASK_INDEX"), *pod = environment("POD_NAME");
	if (words->task_index >= 0)
		return words->task_index;
	if (text)
		return read_index("TASK_INDEX", text);
	if (pod)
		return read_index("POD_NAME", pod);
	json_t *task = json_object_get(config, "task"), *index = json_object_get(task, "index");
	if (!index)
		return -1;
	if (!json_is_integer(index) || json_integer_value(index) < 0 || json_integer_value(index) >= JOB_MAX_TASKS)
		wrong("TF_CONFIG: task.index is no number from 0");
	size_t chiefs = json_array_size(json_object_get(json_object_get(config, "cluster"), "chief")) +
			json_array_size(json_object_get(json_object_get(config, "cluster"), "master"));
	const char *type = json_string_value(json_object_get(task, "type"));
	return (long)json_integer_value(index) + (type && strcmp(type, "worker") == 0 ? (long)chiefs : 0);
}

static void check(struct cluster *c, const char *role, long index)
{
	if (!c->ps_count)
		wrong("no parameter servers: --ps_hosts, PS_HOSTS or TF_CONFIG names them");
	if (!c->worker_count)
		wrong("no workers: --worker_hosts, WORKER_HOSTS or TF_CONFIG names them");
	if (c->ps_count > NET_ROWS)
		wrong("%u parameter servers, expected at most %d", c->ps_count, NET_ROWS);
	if (!role)
		wrong("is this a parameter server or a worker? --job_name, JOB_NAME or TF_CONFIG says it");
	if (strcmp(role, "ps") == 0)
		c->role = CLUSTER_PS;
	else if (strcmp(role, "worker") == 0 || is_chief(role))
		c->role = CLUSTER_WORKER;
	else
		wrong("the job name is '%s', expected ps or worker", role);
	uint32_t count = c->role == CLUSTER_PS ? c->ps_count : c->worker_count;
	if (index < 0)
		wrong("which %s is this? --task_index, TASK_INDEX, POD_NAME or TF_CONFIG says it", role);
	if (index >= (long)count)
		wrong("this is %s %ld, but there are %u, numbered from 0", role, index, count);
	c->index = (uint32_t)index;
}

void cluster_init(struct cluster *c, const struct cluster_words *words)
{
	*c = (struct cluster){.role = CLUSTER_ALONE};
	json_t *config = read_config();
	find_hosts(c, words, config);
	const char *role = find_role(words, config);
	long index = find_index(words, config);
	// A POD_NAME alone says nothing: every pod has one.
	if (c->ps_count || c->worker_count || role || words->task_index >= 0)
		check(c, role, index);
	json_decref(config);
}

static void free_list(char **list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void cluster_fini(struct cluster *c)
{
	free_list(c->ps, c->ps_count);
	free_list(c->workers, c->worker_count);
}
