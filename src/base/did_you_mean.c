#include "base/did_you_mean.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { WORD_MAX = 64 }; // longer words are close to nothing

static bool is_same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static size_t least_of(size_t a, size_t b)
{
	return a < b ? a : b;
}

// Damerau's distance with swaps of neighbours only (optimal string alignment); three rows of its table are enough.
static size_t distance(const char *a, const char *b)
{
	size_t na = strlen(a), nb = strlen(b);
	size_t rows[3][WORD_MAX + 1];
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		const size_t *above = rows[(i - 1) % 3], *swapped = rows[(i + 1) % 3]; // i - 2
		size_t *row = rows[i % 3];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = above[j - 1] + !is_same(a[i - 1], b[j - 1]);
			row[j] = least_of(row[j], least_of(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && is_same(a[i - 1], b[j - 2]) && is_same(a[i - 2], b[j - 1]))
				row[j] = least_of(row[j], swapped[j - 2] + 1);
		}
	}
	return rows[na % 3][nb];
}

static const char *find_closest(const char *word, const char *const *names, size_t letters_per_error)
{
	const char *best = NULL;
	size_t least = WORD_MAX, len = strlen(word);
	for (; *names && len <= WORD_MAX; names++) {
		size_t length = strlen(*names);
		if (length > WORD_MAX)
			continue;
		size_t d = distance(word, *names), longer = length > len ? length : len;
		if (d < least && d <= longer / letters_per_error) {
			least = d;
			best = *names;
		}
	}
	return best;
}

const char *did_you_mean(const char *word, const char *const *names)
{
	return find_closest(word, names, 3);
}

const char *did_you_mean_elsewhere(const char *word, const char *const *names)
{
	return find_closest(word, names, 5);
}

char *did_you_mean_text(const char *before, const char *name, const char *after)
{
	return name ? mem_printf("%sdid you mean '%s'?%s", before, name, after) : mem_strdup("");
}
