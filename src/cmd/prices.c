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
	printf("price list %s, in %s, as of %s\n\n", json_text(prices, "file"),
		currency ? currency : "an unnamed currency", as_of ? as_of : "an unnamed day");
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

static const struct options_usage usage = {
	.about = "Shows the price list: what nodes cost, in which currency, and as of which day.",
};

int cmd_prices(int argc, char **argv, struct error *err)
{
	const char *file = NULL;
	bool as_json = false;
	const struct option_row rows[] = {
		OPTIONS_PRICES(&file),
		{"json", 0, NULL, "print JSON", &as_json},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	struct error why = {0};
	autojson json_t *prices = prices_find(file, &why);
	if (why.code) {
		*err = why;
		return -1;
	}
	if (!prices)
		return error_set(err, ERROR_USAGE,
			"there is no price list: no --prices, no $MUSTER_PRICES and no prices.yaml in this directory; "
			"reports leave costs out");
	autofree char *text = as_json ? json_dumps(prices, JSON_INDENT(2)) : NULL;
	if (text)
		puts(text);
	else
		print_table(prices);
	return 0;
}
