#include "job/site_file.h"

#include "base/fs.h"
#include "base/mem.h"
#include "job/field.h"

#include <string.h>

struct site {
	struct field_place place;
	double deadline, heartbeat, lease, grace, kubernetes_deadline;
};

#define DAY 86400.0

static const struct field fields[] = {
	{"deadline", FIELD_SECONDS, offsetof(struct site, deadline), .min = 1, .max = DAY,
		.help = "how long the nodes may take to come up"},
	{"heartbeat", FIELD_SECONDS, offsetof(struct site, heartbeat), .min = 0.1, .max = DAY,
		.help = "how often a node says that it lives"},
	{"lease", FIELD_SECONDS, offsetof(struct site, lease), .min = 1, .max = DAY,
		.help = "how long a node that cannot reach its controller goes on before it ends itself"},
	{"grace", FIELD_SECONDS, offsetof(struct site, grace), .max = 3600,
		.help = "how long a rank that is told to stop has before it is killed"},
	{"kubernetes_deadline", FIELD_SECONDS, offsetof(struct site, kubernetes_deadline), .min = 1, .max = 365 * DAY,
		.help = "how long the pods of a run without a limit, or of a persistent cluster, may live"},
	{0},
};
static const struct field_shape shape = {sizeof(struct site), NULL, fields, NULL};

static json_t *to_json(const struct site *site)
{
	json_t *tree = json_object();
	for (const struct field *f = fields; f->key; f++) {
		double seconds = *(const double *)((const char *)site + f->offset);
		if (seconds >= 0)
			json_object_set_new(tree, f->key, json_real(seconds));
	}
	return tree;
}

// For errors in which the lease, or the heartbeat without one, takes part.
static void add_place(json_t *json, const struct yaml *tree)
{
	const struct yaml *lease = yaml_find(tree, "lease"), *node = lease ? lease : yaml_find(tree, "heartbeat");
	if (!node)
		return;
	autofree char *place = mem_printf("%s:%d:%d", node->file, node->line, node->column);
	json_object_set_new(json, "place", json_string(place));
}

json_t *site_file_parse(const char *text, size_t len, const char *name, struct error *err)
{
	struct yaml *tree = yaml_parse(text, len, &(struct yaml_origin){name, 1, 1}, err);
	if (!tree)
		return NULL;
	struct site site = {0};
	json_t *json = field_read(&shape, tree, "", &site, err) ? NULL : to_json(&site);
	if (json)
		add_place(json, tree);
	field_free(&shape, &site);
	yaml_discard(tree);
	return json;
}

json_t *site_file_load(const char *path, struct error *err)
{
	size_t len;
	autofree char *text = fs_read(path, YAML_MAX_BYTES, &len, err);
	if (text)
		return site_file_parse(text, len, path, err);
	if (err)
		err->code = ERROR_USAGE;
	return NULL;
}
