#include "base/glob.h"

#include "base/mem.h"
#include "base/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

// A position of a pattern is the number of its names that are behind. The positions of all patterns stand in a row:
// position k of a pattern whose first one is f is bit f + k of a state, and f + its number of names is its end.
struct position {
	char *name;     // what the next name must match; NULL: at the end
	bool any;       // it is **
	size_t pattern; // which of those that were given
};

struct glob {
	const json_t *patterns;
	struct position *positions;
	size_t count;
	bool *seen; // by pattern: it has matched something
};

// --- one name -------------------------------------------------------------------

// A character of UTF-8, or a byte that is none: above all characters.
static uint32_t next_char(const char **at)
{
	static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	const unsigned char *c = (const unsigned char *)*at;
	size_t len = c[0] < 0x80 ? 1 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
	if (len > strnlen(*at, len) || str_utf8_valid(*at, len) < len) {
		*at += 1;
		return 0x110000u + c[0];
	}
	uint32_t value = c[0] & lead[len];
	for (size_t i = 1; i < len; i++)
		value = value << 6 | (c[i] & 0x3f);
	*at += len;
	return value;
}

// "[:digit:]" at **at: whether c is one; *at behind it. NULL there: it is no class.
static bool match_class(const char **at, uint32_t c)
{
	static const struct {
		const char *name;
		int (*is)(int c);
	} classes[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
		{"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint}, {"punct", ispunct},
		{"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit}};
	const char *name = *at + 2;
	for (size_t i = 0; i < countof(classes); i++) {
		size_t len = strlen(classes[i].name);
		if (strncmp(name, classes[i].name, len) == 0 && strncmp(name + len, ":]", 2) == 0) {
			*at = name + len + 2;
			return c < 0x80 && classes[i].is((int)c);
		}
	}
	*at = NULL;
	return false;
}

static uint32_t next_member(const char **at)
{
	if ((*at)[0] == '\\' && (*at)[1])
		*at += 1;
	return next_char(at);
}

// The list behind a '[': whether c is in it; *at behind its ']'. NULL there: it is no list, and the '[' is one.
static bool match_list(const char **at, uint32_t c)
{
	bool negated = **at == '!' || **at == '^', found = false;
	const char *p = *at + negated;
	for (bool first = true; *p && (first || *p != ']'); first = false) {
		const char *class = p;
		bool in = p[0] == '[' && p[1] == ':' && match_class(&class, c);
		if (p[0] == '[' && p[1] == ':' && class) {
			found |= in;
			p = class;
			continue;
		}
		uint32_t low = next_member(&p), high = low;
		if (p[0] == '-' && p[1] && p[1] != ']') {
			p++;
			high = next_member(&p);
		}
		found |= low <= c && c <= high;
	}
	*at = *p ? p + 1 : NULL;
	return found != negated;
}

// One step that is no '*': *p and *n behind what matches.
static bool match_char(const char **p, const char **n)
{
	const char *list = *p + 1;
	uint32_t c = next_char(n);
	if (**p == '?') {
		*p += 1;
		return true;
	}
	bool in = **p == '[' && match_list(&list, c);
	if (**p == '[' && list) {
		*p = list;
		return in;
	}
	return next_member(p) == c;
}

// A '*' that took too little takes one character more: only the last one need ever be tried again.
static bool match_name(const char *pattern, const char *name)
{
	const char *star = NULL, *retry = NULL, *p = pattern, *n = name;
	if (*n == '.' && *p != '.' && !(p[0] == '\\' && p[1] == '.'))
		return false;
	while (*n) {
		if (*p == '*') {
			star = ++p;
			retry = n;
		} else if (!*p || !match_char(&p, &n)) {
			if (!star)
				return false;
			next_char(&retry);
			p = star;
			n = retry;
		}
	}
	return p[strspn(p, "*")] == '\0';
}

// --- patterns -------------------------------------------------------------------

// The braces that begin at open: their end, and whether there is a comma between them. NULL: they are not closed.
static const char *close_brace(const char *open, bool *comma)
{
	int depth = 0;
	*comma = false;
	for (const char *at = open; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '{')
			depth++;
		else if (*at == ',' && depth == 1)
			*comma = true;
		else if (*at == '}' && --depth == 0)
			return at;
	}
	return NULL;
}

static const char *find_braces(const char *pattern, const char **end)
{
	bool comma;
	for (const char *at = pattern; *at; at++) {
		if (*at == '\\' && at[1])
			at++;
		else if (*at == '{' && (*end = close_brace(at, &comma)) && comma)
			return at;
	}
	return NULL;
}

// The alternative that begins at from: its end, a comma or the closing brace.
static const char *alternative_end(const char *from, const char *end)
{
	int depth = 0;
	for (; from < end && !(*from == ',' && depth == 0); from++) {
		if (*from == '\\')
			from++;
		else
			depth += (*from == '{') - (*from == '}');
	}
	return from;
}

// Adds what the pattern stands for. False when that is too much.
static bool expand(const char *pattern, json_t *to)
{
	const char *end, *open = find_braces(pattern, &end);
	if (!open) {
		json_array_append_new(to, json_string(pattern));
		return json_array_size(to) <= GLOB_ALTERNATIVES;
	}
	for (const char *from = open + 1; from <= end;) {
		const char *stop = alternative_end(from, end);
		autofree char *one =
			mem_printf("%.*s%.*s%s", (int)(open - pattern), pattern, (int)(stop - from), from, end + 1);
		if (!expand(one, to))
			return false;
		from = stop + 1;
	}
	return true;
}

static json_t *alternatives(const char *pattern, struct error *err)
{
	autojson json_t *list = json_array();
	if (expand(pattern, list))
		return steal(list);
	error_set(err, ERROR_USAGE, "the braces of '%s' stand for more than %d patterns", pattern, GLOB_ALTERNATIVES);
	return NULL;
}

int glob_check(const char *pattern, struct error *err)
{
	autojson json_t *list = alternatives(pattern, err);
	return list ? 0 : -1;
}

static void add_position(struct glob *g, char *name, size_t pattern)
{
	if ((g->count & (g->count - 1)) == 0)
		g->positions = mem_resize(g->positions, (g->count ? g->count * 2 : 1) * sizeof *g->positions);
	g->positions[g->count++] =
		(struct position){.name = name, .any = name && strcmp(name, "**") == 0, .pattern = pattern};
}

static void add_pattern(struct glob *g, const char *text, size_t pattern)
{
	while (*text) {
		size_t len = strcspn(text, "/");
		if (len && !(len == 1 && *text == '.'))
			add_position(g, mem_strndup(text, len), pattern);
		text += len + (text[len] == '/');
	}
	add_position(g, NULL, pattern);
}

struct glob *glob_new(const json_t *patterns, struct error *err)
{
	struct glob *g = mem_alloc(sizeof *g);
	g->patterns = json_incref((json_t *)patterns);
	g->seen = mem_alloc(json_array_size(patterns) + 1);
	size_t i, k;
	const json_t *pattern, *one;
	json_array_foreach (patterns, i, pattern) {
		autojson json_t *list = alternatives(json_string_value(pattern), err);
		if (!list) {
			glob_free(g);
			return NULL;
		}
		json_array_foreach (list, k, one)
			add_pattern(g, json_string_value(one), i);
	}
	return g;
}

void glob_free(struct glob *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->count; i++)
		free(g->positions[i].name);
	free(g->positions);
	free(g->seen);
	json_decref((json_t *)g->patterns);
	free(g);
}

// --- states ---------------------------------------------------------------------

size_t glob_words(const struct glob *g)
{
	return g->count / 64 + 1;
}

static bool is_set(const uint64_t *state, size_t i)
{
	return state[i / 64] >> (i % 64) & 1;
}

// ** may stand for no name at all, but not at the end: dir/** is not dir.
static void set(const struct glob *g, uint64_t *state, size_t i)
{
	state[i / 64] |= (uint64_t)1 << (i % 64);
	while (g->positions[i].any && g->positions[i + 1].name) {
		i++;
		state[i / 64] |= (uint64_t)1 << (i % 64);
	}
}

static bool is_first(const struct glob *g, size_t i)
{
	return i == 0 || !g->positions[i - 1].name;
}

void glob_start(const struct glob *g, uint64_t *state)
{
	memset(state, 0, glob_words(g) * sizeof *state);
	for (size_t i = 0; i < g->count; i++)
		if (is_first(g, i))
			set(g, state, i);
}

static void step_one(const struct glob *g, size_t i, const char *name, bool stays, uint64_t *to)
{
	const struct position *p = &g->positions[i];
	if (p->any && stays)
		set(g, to, i);
	if (p->any ? !g->positions[i + 1].name : p->name && match_name(p->name, name))
		set(g, to, i + 1);
}

void glob_step(const struct glob *g, const uint64_t *from, const char *name, bool stays, uint64_t *to)
{
	memset(to, 0, glob_words(g) * sizeof *to);
	for (size_t word = 0; word < glob_words(g); word++)
		for (uint64_t bits = from[word]; bits; bits &= bits - 1)
			step_one(g, word * 64 + (size_t)__builtin_ctzll(bits), name, stays, to);
}

bool glob_is_dead(const struct glob *g, const uint64_t *state)
{
	for (size_t i = 0; i < g->count; i++)
		if (is_set(state, i) && g->positions[i].name)
			return false;
	return true;
}

bool glob_accepts(struct glob *g, const uint64_t *state)
{
	bool accepts = false;
	for (size_t word = 0; word < glob_words(g); word++)
		for (uint64_t bits = state[word]; bits; bits &= bits - 1) {
			const struct position *p = &g->positions[word * 64 + (size_t)__builtin_ctzll(bits)];
			if (p->name)
				continue;
			accepts = true;
			g->seen[p->pattern] = true;
		}
	return accepts;
}

json_t *glob_unmatched(const struct glob *g)
{
	json_t *list = json_array(), *pattern;
	size_t i;
	json_array_foreach (g->patterns, i, pattern)
		if (!g->seen[i])
			json_array_append(list, pattern);
	return list;
}
