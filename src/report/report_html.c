#include "report/report_html.h"

#include "base/crypto.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/html.h"
#include "report/images.h"
#include "report/page.h"
#include "report/report_html_sections.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// --- the top ----------------------------------------------------------------

static char *date_text(double ts)
{
	time_t seconds = (time_t)ts;
	struct tm tm;
	char date[64] = "";
	if (gmtime_r(&seconds, &tm))
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S UTC", &tm);
	return mem_strdup(date);
}

static void put_top(struct str *h, const json_t *report)
{
	str_puts(h, "<header><div class=\"wrap\"><div class=\"title\"><h1>");
	html_escape(h, json_text(report, "name") ? json_text(report, "name") : json_text(report, "id"));
	str_puts(h, "</h1>");
	html_badge(h, json_text(report, "outcome"));
	autofree char *date = date_text(json_number(report, "started"));
	str_puts(h, "</div><p class=\"sub\"><code>");
	html_escape(h, json_text(report, "id"));
	str_printf(h, "</code> <span>%s</span> <span>%zu node%s, ", date, json_count(report, "nodes"),
		json_count(report, "nodes") == 1 ? "" : "s");
	html_escape(h, json_text(report, "executor"));
	if (json_has(report, "launch") && !json_is(report, "launch", "none")) {
		str_puts(h, ", launched as ");
		html_escape(h, json_text(report, "launch"));
	}
	str_puts(h, "</span></p></div></header>\n");
}

// Who, when and why, before anything else.
static void put_failure(struct str *h, const json_t *report)
{
	const json_t *failure = json_object_get(report, "failure");
	if (!json_has(report, "failure") && !json_has(report, "why"))
		return;
	if (json_is(report, "outcome", "ok"))
		return;
	str_puts(h, "<section class=\"why\"><h2>");
	html_escape(h, json_text(report, "why") ? json_text(report, "why") : json_text(failure, "why"));
	str_puts(h, "</h2>");
	if (json_is_object(failure)) {
		autofree char *when = html_seconds(failure, "t");
		str_puts(h, "<p>");
		if (json_has(failure, "rank"))
			str_printf(h, "Rank %.0f", json_number(failure, "rank"));
		if (json_has(failure, "node")) {
			str_printf(h, "%s", json_has(failure, "rank") ? " on " : "Node ");
			html_escape(h, html_node(report, failure));
		}
		str_printf(h, "%s%s after the start",
			json_has(failure, "rank") || json_has(failure, "node") ? ", " : "", when);
		if (json_text(failure, "phase")) {
			str_puts(h, ", in phase ");
			html_escape(h, json_text(failure, "phase"));
		}
		if (json_text(report, "why") &&
			!json_is(report, "outcome", "failed")) { // the run ended for another reason
			str_puts(h, ": ");
			html_escape(h, json_text(failure, "why"));
		}
		str_puts(h, "</p>");
		const json_t *rank = json_has(failure, "rank") ? json_array_get(json_object_get(report, "ranks"),
									 (size_t)json_whole(failure, "rank"))
							       : NULL;
		if (json_count(rank, "last")) {
			str_puts(h, "<p>Its last lines:</p>");
			html_lines(h, json_object_get(rank, "last"));
		}
	}
	str_puts(h, "</section>\n");
}

// What the iterations predict of a run that was stopped before its end or still goes on.
static void put_estimate(struct str *h, const json_t *report)
{
	autofree char *text = html_estimate(report);
	size_t k;
	const json_t *doubt;
	if (!text)
		return;
	str_puts(h, "<section><h2>Estimate</h2><p>");
	if (json_is(report, "outcome", "ok") && json_text(report, "why")) {
		html_escape(h, json_text(report, "why"));
		str_puts(h, "; ");
	}
	html_escape(h, text);
	str_puts(h, "</p>");
	json_array_foreach (json_object_get(json_object_get(report, "estimate"), "doubts"), k, doubt) {
		str_puts(h, "<p>Not reliable: ");
		html_escape(h, json_string_value(doubt));
		str_puts(h, "</p>");
	}
	str_puts(h, "</section>\n");
}

// Takes value.
static void tile(struct str *h, const char *name, char *value)
{
	if (*value) {
		str_printf(h, "<div><dt>%s</dt><dd>", name);
		html_escape(h, value);
		str_puts(h, "</dd></div>\n");
	}
	free(value);
}

static char *iteration_text(const json_t *report)
{
	const json_t *iterations = json_object_get(report, "iterations");
	const json_t *series = json_object_get(iterations, "series");
	size_t k, count = 0;
	json_t *item;
	json_array_foreach (json_object_get(report, "metrics"), k, item)
		if (json_is(item, "name", json_text(iterations, "metric")))
			series = json_object_get(item, "series");
	double sum = 0;
	json_array_foreach (series, k, item) {
		if (json_has(item, "mean")) {
			sum += json_number(item, "mean");
			count++;
		}
	}
	return count ? str_seconds(sum / (double)count) : mem_strdup("");
}

static void put_tiles(struct str *h, const json_t *report)
{
	const json_t *ranks = json_object_get(report, "ranks"), *outputs = json_object_get(report, "outputs_total");
	size_t k, ok = 0;
	double files = json_number(outputs, "files");
	json_t *item;
	bool well = json_is(report, "outcome", "ok"); // then those that were told to stop had done what they were for
	json_array_foreach (ranks, k, item)
		ok += json_is(item, "state", "ok") || (well && json_is(item, "state", "stopped"));
	autofree char *size = str_bytes(json_number(outputs, "bytes"));
	str_puts(h, "<dl class=\"tiles\">\n");
	tile(h, "Total", html_seconds(report, "seconds"));
	tile(h, "Mean over nodes", html_seconds(report, "mean_seconds"));
	tile(h, "Mean iteration", iteration_text(report));
	tile(h, "Ranks succeeded", mem_printf("%zu of %zu", ok, json_array_size(ranks)));
	if (files > 0)
		tile(h, "Outputs", mem_printf("%.0f file%s, %s", files, files == 1 ? "" : "s", size));
	if (json_number(report, "attempt") > 1)
		tile(h, "Attempts", html_count(report, "attempt"));
	str_puts(h, "</dl>\n");
}

// --- metrics ----------------------------------------------------------------

static void put_metrics(struct str *h, const json_t *report)
{
	static const char *const heads[] = {
		"Metric", "#Rank", "#Last", "#Lowest", "#Highest", "#Mean", "#Values", NULL};
	const json_t *metrics = json_object_get(report, "metrics");
	if (!json_array_size(metrics) && !json_has(report, "iterations"))
		return;
	str_puts(h, "<section><div class=\"bar\"><h2>Metrics</h2><div id=\"axis\"></div></div><div class=\"charts\" "
		    "id=\"metrics\"></div>\n");
	if (json_has(report, "values_left_out"))
		str_printf(h,
			"<p class=\"more\">Left out are %.0f values of further metrics and samples: see "
			"metrics.jsonl.</p>\n",
			json_number(report, "values_left_out"));
	if (!json_array_size(metrics)) {
		str_puts(h, "</section>\n");
		return;
	}
	str_puts(h, "<details id=\"values\" open><summary>Values</summary>");
	html_open_table(h, heads);
	size_t i, k, rows = 0;
	json_t *metric, *series;
	json_array_foreach (metrics, i, metric) {
		json_array_foreach (json_object_get(metric, "series"), k, series) {
			if (rows++ >= HTML_ROWS)
				continue;
			str_puts(h, "<tr><th scope=\"row\">");
			html_escape(h, json_text(metric, "name"));
			if (json_text(metric, "unit")) {
				str_puts(h, " <small>");
				html_escape(h, json_text(metric, "unit"));
				str_puts(h, "</small>");
			}
			str_puts(h, "</th>");
			html_cell_take(h, "n", html_count(series, "rank"));
			static const char *const members[] = {"last", "min", "max", "mean"};
			for (size_t m = 0; m < countof(members); m++)
				html_cell_take(h, "n", html_value(series, members[m]));
			html_cell_take(h, "n", html_count(series, "count"));
			str_puts(h, "</tr>\n");
		}
	}
	html_close_table(h, rows);
	str_puts(h, "</details></section>\n");
}

static void put_images(struct str *h, const json_t *report, const struct run *run)
{
	const json_t *images = json_object_get(report, "images");
	size_t k, shown = 0;
	json_t *image;
	autostr struct str grid = {0};
	json_array_foreach (images, k, image) {
		autofree char *uri =
			run && json_is_true(json_object_get(image, "shown")) ? images_uri(run, image) : NULL;
		if (!uri)
			continue;
		const char *path = json_text(image, "path") + strlen("outputs/");
		str_printf(&grid, "<figure><img loading=\"lazy\" src=\"%s\" alt=\"", uri);
		html_escape(&grid, path);
		str_puts(&grid, "\"><figcaption>");
		html_escape(&grid, path);
		str_puts(&grid, "</figcaption></figure>\n");
		shown++;
	}
	if (!shown)
		return;
	str_printf(h, "<section><h2>Images</h2><div class=\"images\">%s</div>", grid.text);
	if (shown < json_array_size(images))
		str_printf(h, "<p class=\"more\">%zu of %zu images; the others are below outputs/.</p>", shown,
			json_array_size(images));
	str_puts(h, "</section>\n");
}

// --- the page ---------------------------------------------------------------

// What the script draws: the curves, and whose they are.
static void put_data(struct str *h, const json_t *report)
{
	static const char *const members[] = {"metrics", "iterations", "samples", "seconds"};
	autojson json_t *data = json_object();
	for (size_t i = 0; i < countof(members); i++)
		json_object_set(data, members[i], json_object_get(report, members[i]));
	json_t *nodes = json_array();
	json_object_set_new(data, "nodes", nodes);
	size_t k;
	json_t *node;
	json_array_foreach (json_object_get(report, "nodes"), k, node)
		json_array_append_new(
			nodes, mem_json("{s:O?, s:O?, s:O?}", "name", json_object_get(node, "name"), "cpus",
				       json_object_get(node, "cpus"), "memory", json_object_get(node, "memory")));
	str_puts(h, "<script type=\"application/json\" id=\"data\">");
	html_json(h, data);
	str_puts(h, "</script>\n");
}

// Only our own script may run, by its hash: whatever a rank has printed stays text even if an escape were forgotten.
static void put_head(struct str *h, const json_t *report)
{
	char hex[CRYPTO_HEX];
	unsigned char sum[32];
	crypto_sha256(charts_js, strlen(charts_js), hex);
	for (size_t i = 0; i < sizeof(sum); i++) {
		char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		sum[i] = (unsigned char)strtoul(pair, NULL, 16);
	}
	autofree char *hash = html_base64(sum, sizeof(sum));
	str_printf(h,
		"<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src "
		"'unsafe-inline'; "
		"script-src 'sha256-%s'; base-uri 'none'; form-action 'none'\">\n"
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" "
		"content=\"light "
		"dark\">\n<title>",
		hash);
	html_escape(h, json_text(report, "name"));
	str_puts(h, ": ");
	html_escape(h, json_text(report, "outcome"));
	str_puts(h, "</title>\n<style>\n");
	str_puts(h, style_css);
	str_puts(h, "</style></head>\n<body>\n");
}

char *report_html_make(const json_t *report, const struct run *run)
{
	struct str h = {0};
	put_head(&h, report);
	put_top(&h, report);
	str_puts(&h, "<main class=\"wrap\">\n");
	put_failure(&h, report);
	put_tiles(&h, report);
	put_estimate(&h, report);
	put_metrics(&h, report);
	put_images(&h, report, run);
	report_html_sections_timeline(&h, report);
	report_html_sections_ranks(&h, report);
	report_html_sections_nodes(&h, report);
	report_html_sections_preflight(&h, report);
	report_html_sections_files(&h, report);
	report_html_sections_trouble(&h, report);
	str_puts(&h, "</main>\n<footer class=\"wrap\">Made by muster ");
	html_escape(&h, json_text(report, "version"));
	str_puts(&h, " from the run's own files. This page needs no network.</footer>\n");
	put_data(&h, report);
	str_puts(&h, "<script>");
	str_puts(&h, charts_js);
	str_puts(&h, "</script></body></html>\n");
	return str_steal(&h);
}
