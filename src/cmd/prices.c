#include "job/prices.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/text_table.h"
#include "cmd/cmd.h"
#include "cmd/options.h"

#include <stdbool.h>

static void print_table(const json_t *prices)
{
	static const char *const heads[] = {
		"EXECUTOR", "TYPE", "#PER HOUR", "#PER CPU AND HOUR", "#AT LEAST", "BILLED BY", NULL};
	struct text_table g = {.heads = heads};
	autostr struct str out = {0};
	const char *currency = json_text(prices, "currency"), *as_of = json_text(prices, "as_of");
	printf("prices of %s, in %s, %s\n\n", json_text(prices, "file"),
		currency ? currency : "a currency it does not name", as_of ? as_of : "of a day it does not name");
	size_t i;
	const json_t *p;
	json_array_foreach (json_object_get(prices, "prices"), i, p) {
		text_table_add(&g, json_text(p, "executor"));
		text_table_add(&g, json_text(p, "type") ? json_text(p, "type") : "any");
		text_table_take(&g, json_number(p, "per_hour") > 0 ? mem_printf("%.6g", json_number(p, "per_hour"))
								   : mem_strdup(""));
		text_table_take(&g, json_number(p, "per_cpu_hour") > 0
					    ? mem_printf("%.6g", json_number(p, "per_cpu_hour"))
					    : mem_strdup(""));
		text_table_take(
			&g, json_number(p, "minimum") > 0 ? str_seconds(json_number(p, "minimum")) : mem_strdup(""));
		text_table_add(&g, json_number(p, "step") >= 3600 ? "hour"
				   : json_number(p, "step") >= 60 ? "minute"
								  : "second");
	}
	text_table_print(&g, &out, "");
	fputs(out.text ? out.text : "", stdout);
}

int cmd_prices(int argc, char **argv, struct error *err)
{
	const char *file = NULL, *operand;
	bool as_json = false;
	const struct option_row rows[] = {
		{"prices", 0, "FILE", "the file (default: $MUSTER_PRICES, or prices.yaml when it is there)", &file},
		{"json", 0, NULL, "print JSON", &as_json},
		{0},
	};
	int first = options_parse(argc, argv,
		"prices [OPTION]...\nShows what nodes are taken to cost, and from when that is.", rows, err);
	if (first <= 0)
		return first;
	if (options_operand(argc, argv, first, &operand, err) < 0)
		return -1;
	if (operand)
		return error_set(err, ERROR_USAGE, "prices: found '%s', expected no operand", operand);
	struct error why = {0};
	autojson json_t *prices = prices_find(file, &why);
	if (why.code) {
		*err = why;
		return -1;
	}
	if (!prices)
		return error_set(err, ERROR_USAGE,
			"there are no prices: no --prices, no $MUSTER_PRICES, no prices.yaml here; costs are left out");
	autofree char *text = as_json ? json_dumps(prices, JSON_INDENT(2)) : NULL;
	if (text)
		puts(text);
	else
		print_table(prices);
	return 0;
}
