#include "event_list.h"

#include "base/mem.h"
#include "base/str.h"
#include "wire/event_types.h"

#include <string.h>

enum { COLUMNS = 100 };

// Appends the words of text, filled to lines that are indented by two columns; column is where the line stands.
static void add_words(struct str *out, const char *text, size_t *column)
{
	while (*text) {
		size_t len = strcspn(text, " ");
		if (*column + 1 + len > COLUMNS) {
			str_puts(out, "\n  ");
			*column = 2;
		} else if (*column > 2) {
			str_puts(out, " ");
			++*column;
		}
		str_add(out, text, len);
		*column += len;
		text += len;
		text += strspn(text, " ");
	}
}

static char *quoted(const char *members)
{
	autostr struct str s = {0};
	for (const char *word = members; *word;) {
		size_t len = strcspn(word, " ");
		str_printf(&s, "%s`%.*s`", s.len ? " " : "", (int)len, word);
		word += len;
		word += strspn(word, " ");
	}
	return str_steal(&s);
}

static const char *writers_text(unsigned writers)
{
	return writers == EVENT_CONTROLLER ? "controller" : writers == EVENT_AGENT ? "agent" : "controller, agent";
}

static void add_types(struct str *out, bool metric)
{
	for (const struct event_type *t = event_types; t->name; t++) {
		if (t->metric != metric)
			continue;
		autofree char *members = quoted(t->members);
		autofree char *text =
			mem_printf("**`%s`** (%s): %s. %s", t->name, writers_text(t->writers), members, t->meaning);
		size_t column = 2;
		str_puts(out, "- ");
		add_words(out, text, &column);
		str_puts(out, "\n");
	}
}

// Appends page up to and with the list, and returns the rest of the page.
static const char *fill_one(struct str *out, const char *page, const char *begin, bool metric, struct error *err)
{
	static const char end[] = "<!-- end -->";
	const char *at = strstr(page, begin), *rest = at ? strstr(at, end) : NULL;
	if (!rest) {
		error_set(err, ERROR_USAGE, "expected '%s' and '%s' behind it", begin, end);
		return NULL;
	}
	str_add(out, page, (size_t)(at - page) + strlen(begin));
	str_puts(out, "\n");
	add_types(out, metric);
	return rest;
}

char *event_list_fill(const char *page, struct error *err)
{
	autostr struct str out = {0};
	const char *rest = fill_one(&out, page, "<!-- events -->", false, err);
	rest = rest ? fill_one(&out, rest, "<!-- metrics -->", true, err) : NULL;
	if (!rest)
		return NULL;
	str_puts(&out, rest);
	return str_steal(&out);
}
