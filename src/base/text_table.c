#include "base/text_table.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

char *text_table_plain(const char *text)
{
	char *copy = mem_strdup(text ? text : "");
	for (unsigned char *c = (unsigned char *)copy; *c; c++) {
		// C1 controls are two bytes in UTF-8: c2 80 to c2 9f.
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			c[0] = c[1] = '?';
	}
	return copy;
}

void text_table_add(struct text_table *g, const char *text)
{
	if (g->ncells == g->size) {
		g->size = g->size ? 2 * g->size : 64;
		g->cells = mem_resize(g->cells, g->size * sizeof(*g->cells));
	}
	g->cells[g->ncells++] = text_table_plain(text);
}

void text_table_take(struct text_table *g, char *text)
{
	text_table_add(g, text);
	free(text);
}

static size_t width(const char *text)
{
	size_t n = 0;
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static void put_cell(struct str *out, const char *text, size_t wide, bool right, bool last)
{
	size_t pad = wide - width(text);
	str_printf(out, "%*s%s%*s", right ? (int)pad : 0, "", text, right || last ? 0 : (int)pad, "");
}

static void put_row(const struct text_table *g, struct str *out, const char *indent, const size_t *widths,
	size_t columns, char *const *cells)
{
	size_t last = 0;
	for (size_t c = 0; c < columns; c++)
		if (widths[c])
			last = c;
	str_puts(out, indent);
	for (size_t c = 0; c <= last; c++) {
		if (!widths[c])
			continue;
		const char *head = g->heads[c];
		put_cell(out, cells ? cells[c] : head + (*head == '#'), widths[c], *head == '#', c == last);
		str_puts(out, c == last ? "" : "  ");
	}
	while (out->len && out->text[out->len - 1] == ' ') // of empty cells
		out->text[--out->len] = '\0';
	str_puts(out, "\n");
}

void text_table_print(struct text_table *g, struct str *out, const char *indent)
{
	size_t columns = 0;
	while (g->heads[columns])
		columns++;
	autofree size_t *widths = mem_alloc(columns * sizeof(*widths));
	for (size_t i = 0; i < g->ncells; i++)
		if (width(g->cells[i]) > widths[i % columns])
			widths[i % columns] = width(g->cells[i]);
	for (size_t c = 0; c < columns; c++) {
		size_t head = strlen(g->heads[c]) - (*g->heads[c] == '#');
		if (widths[c] && widths[c] < head)
			widths[c] = head;
	}
	if (g->ncells)
		put_row(g, out, indent, widths, columns, NULL);
	for (size_t row = 0; row < g->ncells / columns; row++)
		put_row(g, out, indent, widths, columns, g->cells + row * columns);
	for (size_t i = 0; i < g->ncells; i++)
		free(g->cells[i]);
	free(g->cells);
	g->cells = NULL;
	g->ncells = g->size = 0;
}
