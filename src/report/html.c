#include "report/html.h"

#include "base/json.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void html_escape(struct str *out, const char *content)
{
	for (const char *c = content; c && *c; c++) {
		unsigned char byte = (unsigned char)*c;
		switch (*c) {
		case '&':
			str_puts(out, "&amp;");
			break;
		case '<':
			str_puts(out, "&lt;");
			break;
		case '>':
			str_puts(out, "&gt;");
			break;
		case '"':
			str_puts(out, "&quot;");
			break;
		case '\'':
			str_puts(out, "&#39;");
			break;
		default:
			if (byte == 0x7f)
				str_puts(out, "\xe2\x90\xa1");
			else if (byte < 0x20 && byte != '\t' && byte != '\n')
				str_printf(out, "\xe2\x90%c", 0x80 + byte); // U+2400 on: pictures of control characters
			else
				str_add(out, c, 1);
		}
	}
}

void html_json(struct str *out, const json_t *tree)
{
	autofree char *json = json_dumps(tree, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	// '<' stands only inside texts, where this is the same character: neither </script> nor <!-- can appear.
	for (const char *c = json; c && *c; c++) {
		if (*c == '<')
			str_puts(out, "\\u003c");
		else
			str_add(out, c, 1);
	}
}

void html_cell(struct str *h, const char *class, const char *content)
{
	str_printf(h, "<td%s%s%s>", class ? " class=\"" : "", class ? class : "", class ? "\"" : "");
	html_escape(h, content);
	str_puts(h, "</td>");
}

// Takes content.
void html_cell_take(struct str *h, const char *class, char *content)
{
	html_cell(h, class, content);
	free(content);
}

char *html_seconds(const json_t *object, const char *name)
{
	// The bounds are for str_seconds, which counts in whole numbers.
	return json_has(object, name) ? str_seconds(fmin(fmax(json_number(object, name), 0), 1e10)) : mem_strdup("");
}

char *html_bytes(const json_t *object, const char *name)
{
	return json_has(object, name) ? str_bytes(json_number(object, name)) : mem_strdup("");
}

char *html_count(const json_t *object, const char *name)
{
	return json_has(object, name) ? mem_printf("%.0f", json_number(object, name)) : mem_strdup("");
}

char *html_value(const json_t *object, const char *name)
{
	return json_has(object, name) ? mem_printf("%.5g", json_number(object, name)) : mem_strdup("–");
}

char *html_estimate(const json_t *report)
{
	const json_t *estimate = json_object_get(report, "estimate"), *total = json_object_get(estimate, "total"),
		     *turn = json_object_get(estimate, "turn");
	if (!json_has(estimate, "turns") || json_number(estimate, "gone") >= json_number(estimate, "turns") ||
		!json_is_number(json_array_get(total, 0)))
		return NULL;
	autofree char *whole = str_seconds(json_number_value(json_array_get(total, 0))),
		      *low = str_seconds(json_number_value(json_array_get(total, 1))),
		      *high = str_seconds(json_number_value(json_array_get(total, 2)));
	return mem_printf("whole run predicted to take %s (%s to %s): %.0f of %.0f iterations seen, %.4g s each", whole,
		low, high, json_number(estimate, "gone"), json_number(estimate, "turns"),
		json_number_value(json_array_get(turn, 0)));
}

const char *html_node(const json_t *report, const json_t *item)
{
	const json_t *node = json_array_get(json_object_get(report, "nodes"), (size_t)json_whole(item, "node"));
	return json_has(item, "node") ? json_text(node, "name") : NULL;
}

void html_open_table(struct str *h, const char *const *heads)
{
	str_puts(h, "<div class=\"scroll\"><table><thead><tr>");
	for (; *heads; heads++) {
		// "#Bytes" is a column of numbers.
		str_printf(h, "<th scope=\"col\"%s>%s</th>", **heads == '#' ? " class=\"n\"" : "",
			*heads + (**heads == '#'));
	}
	str_puts(h, "</tr></thead><tbody>\n");
}

void html_close_table(struct str *h, size_t rows)
{
	str_puts(h, "</tbody></table></div>\n");
	if (rows > HTML_ROWS)
		str_printf(h, "<p class=\"more\">%zu more are in report.json.</p>\n", rows - HTML_ROWS);
}

static const struct word {
	const char *word, *class, *sign;
} words[] = {
	{"ok", "good", "✓"},
	{"up", "good", "✓"},
	{"done", "good", "✓"},
	{"failed", "bad", "✗"},
	{"lost", "bad", "✗"},
	{"cancelled", "warn", "■"},
	{"stopped", "plain", "■"},
	{"running", "live", "▶"},
	{"waiting", "plain", "…"},
	{"unknown", "warn", "?"},
};

// A word never stands by its colour alone: each has its sign.
void html_badge(struct str *h, const char *word)
{
	struct word w = {word ? word : "unknown", "plain", "·"};
	for (size_t i = 0; i < countof(words); i++)
		if (strcmp(words[i].word, w.word) == 0)
			w = words[i];
	str_printf(h, "<span class=\"badge %s\"><span aria-hidden=\"true\">%s</span> ", w.class, w.sign);
	html_escape(h, w.word);
	str_puts(h, "</span>");
}

void html_lines(struct str *h, const json_t *last)
{
	size_t k;
	json_t *line;
	str_puts(h, "<pre>");
	json_array_foreach (last, k, line) {
		html_escape(h, json_string_value(line));
		str_puts(h, "\n");
	}
	str_puts(h, "</pre>");
}

char *html_base64(const unsigned char *bytes, size_t len)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *out = mem_alloc((len + 2) / 3 * 4 + 1);
	size_t at = 0;
	for (size_t i = 0; i < len; i += 3) {
		unsigned word = (unsigned)bytes[i] << 16;
		word |= i + 1 < len ? (unsigned)bytes[i + 1] << 8 : 0;
		word |= i + 2 < len ? (unsigned)bytes[i + 2] : 0;
		out[at++] = letters[word >> 18];
		out[at++] = letters[word >> 12 & 63];
		out[at++] = i + 1 < len ? letters[word >> 6 & 63] : '=';
		out[at++] = i + 2 < len ? letters[word & 63] : '=';
	}
	return out;
}
