#include "job/prices.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "job/field.h"
#include "job/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER "^[0-9]{1,9}(\\.[0-9]{1,9})?$"
#define DAY 86400.0

enum granularity { BY_SECOND, BY_MINUTE, BY_HOUR };
static const char *const granularities[] = {"second", "minute", "hour", NULL};
static const double steps[] = {1, 60, 3600};

struct price {
	struct field_place place;
	char *executor, *type, *per_hour, *per_cpu_hour;
	double minimum;
	int granularity;
};

struct list {
	struct field_place place;
	char *currency, *as_of;
	struct field_objects prices;
};

static const struct field_shape shape;

static const struct field price_fields[] = {
	{"executor", FIELD_TEXT, offsetof(struct price, executor), .required = true,
		.expected = "the name of an executor", .help = "what makes the node"},
	{"type", FIELD_TEXT, offsetof(struct price, type), .help = "which of its kinds of machine; default: any"},
	{"per_hour", FIELD_TEXT, offsetof(struct price, per_hour), .pattern = NUMBER,
		.expected = "a price such as 0.085", .help = "of a node"},
	{"per_cpu_hour", FIELD_TEXT, offsetof(struct price, per_cpu_hour), .pattern = NUMBER,
		.expected = "a price such as 0.02", .help = "of each of its CPUs"},
	{"minimum", FIELD_SECONDS, offsetof(struct price, minimum), .max = 365 * DAY, .fallback = "0",
		.help = "the least time that is billed"},
	{"granularity", FIELD_CHOICE, offsetof(struct price, granularity), .choices = granularities,
		.fallback = "second", .help = "what is begun is billed whole"},
	{0},
};
static const struct field_shape price_shape = {sizeof(struct price), NULL, price_fields, &shape};

static const struct field fields[] = {
	{"currency", FIELD_TEXT, offsetof(struct list, currency), .help = "what the numbers are in"},
	{"as_of", FIELD_TEXT, offsetof(struct list, as_of), .help = "when they were true"},
	{"prices", FIELD_OBJECTS, offsetof(struct list, prices), .required = true, .expected = "a list of prices",
		.max = 10000, .shape = &price_shape, .help = "the prices"},
	{0},
};
static const struct field_shape shape = {sizeof(struct list), NULL, fields, NULL};

static double number(const char *text)
{
	return text ? strtod(text, NULL) : 0;
}

static json_t *to_json(const struct list *list, const char *name, struct error *err)
{
	autojson json_t *prices = json_array();
	const struct price *items = list->prices.items;
	for (size_t i = 0; i < list->prices.count; i++) {
		const struct price *p = &items[i];
		if (!p->per_hour && !p->per_cpu_hour) {
			yaml_error(p->place.node, err,
				"found neither 'per_hour' nor 'per_cpu_hour', expected one of them");
			return NULL;
		}
		json_array_append_new(
			prices, mem_json("{s:s, s:s?, s:f, s:f, s:f, s:f}", "executor", p->executor, "type", p->type,
					"per_hour", number(p->per_hour), "per_cpu_hour", number(p->per_cpu_hour),
					"minimum", p->minimum, "step", steps[p->granularity]));
	}
	return mem_json("{s:s, s:s?, s:s?, s:O}", "file", name, "currency", list->currency, "as_of", list->as_of,
		"prices", prices);
}

json_t *prices_parse(const char *text, size_t len, const char *name, struct error *err)
{
	struct yaml *tree = yaml_parse(text, len, &(struct yaml_origin){name, 1, 1}, err);
	if (!tree)
		return NULL;
	struct list list = {0};
	json_t *json = field_read(&shape, tree, "", &list, err) ? NULL : to_json(&list, name, err);
	field_free(&shape, &list);
	yaml_discard(tree);
	return json;
}

json_t *prices_load(const char *path, struct error *err)
{
	size_t len;
	autofree char *text = fs_read(path, YAML_MAX_BYTES, &len, err);
	if (text)
		return prices_parse(text, len, path, err);
	if (err)
		err->code = ERROR_USAGE;
	return NULL;
}

json_t *prices_find(const char *given, struct error *err)
{
	const char *path = given ? given : getenv("MUSTER_PRICES");
	if (path && *path)
		return prices_load(path, err);
	return fs_exists("prices.yaml") ? prices_load("prices.yaml", err) : NULL;
}

static const json_t *find(const json_t *prices, const char *executor, const char *type)
{
	const json_t *any = NULL, *p;
	size_t i;
	json_array_foreach (json_object_get(prices, "prices"), i, p) {
		const char *of = json_string_value(json_object_get(p, "type"));
		if (strcmp(json_string_value(json_object_get(p, "executor")), executor) != 0)
			continue;
		if (of && type && strcmp(of, type) == 0)
			return p;
		if (!of)
			any = p;
	}
	return any;
}

// Minimum billing: a node is paid for at least so long, and in whole steps.
static double billed_seconds(const json_t *price, double seconds)
{
	double step = json_number(price, "step");
	return ceil(fmax(seconds, json_number(price, "minimum")) / step - 1e-9) * step;
}

double prices_cost(const json_t *prices, const json_t *plan, double seconds, double cores)
{
	const char *executor = plan_executor(plan);
	double sum = 0;
	if (isnan(seconds)) // fmax would take the minimum for it
		return NAN;
	for (size_t i = 0; i < plan_nodes(plan); i++) {
		struct plan_node node = plan_node(plan, i);
		const json_t *p = executor ? find(prices, executor, node.type) : NULL;
		double cpus = node.cpus > 0 ? node.cpus : cores;
		if (!p || (json_number(p, "per_cpu_hour") > 0 && cpus <= 0))
			return NAN;
		sum += billed_seconds(p, seconds) / 3600 *
		       (json_number(p, "per_hour") + json_number(p, "per_cpu_hour") * cpus);
	}
	return plan_nodes(plan) ? sum : NAN;
}

char *prices_text(double amount)
{
	int digits = amount > 0 && amount < 1 ? 2 - (int)floor(log10(amount)) : 2;
	return mem_printf("%.*f", digits < 12 ? digits : 12, amount);
}
