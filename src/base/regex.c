#define PCRE2_CODE_UNIT_WIDTH 8
#include "base/regex.h"

#include "base/mem.h"

#include <math.h>
#include <pcre2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t match_limit = 100000; // steps
static const uint32_t heap_limit = 1024;    // KiB, for machines where code may not be made at run time

struct regex {
	pcre2_code *code;
	pcre2_match_data *match;
	pcre2_match_context *context;
	uint32_t groups;
	const char *line;
};

struct regex *regex_new(const char *text, struct error *err)
{
	int why;
	PCRE2_SIZE at;
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, 0, &why, &at, NULL);
	if (!code) {
		PCRE2_UCHAR words[200];
		pcre2_get_error_message(why, words, sizeof words);
		error_set(err, ERROR_USAGE, "at character %zu: %s", (size_t)at + 1, (const char *)words);
		return NULL;
	}
	struct regex *p = mem_alloc(sizeof *p);
	p->code = code;
	pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &p->groups);
	p->match = pcre2_match_data_create_from_pattern(code, NULL);
	p->context = pcre2_match_context_create(NULL);
	pcre2_set_match_limit(p->context, match_limit);
	pcre2_set_heap_limit(p->context, heap_limit);
	return p;
}

void regex_free(struct regex *p)
{
	if (!p)
		return;
	pcre2_match_context_free(p->context);
	pcre2_match_data_free(p->match);
	pcre2_code_free(p->code);
	free(p);
}

size_t regex_groups(const struct regex *p)
{
	return p->groups;
}

int regex_group(const struct regex *p, const char *name)
{
	int n = pcre2_substring_number_from_name(p->code, (PCRE2_SPTR)name);
	return n > 0 ? n : 0;
}

bool regex_find(struct regex *p, const char *line, size_t len)
{
	p->line = line;
	return pcre2_match(p->code, (PCRE2_SPTR)line, len, 0, 0, p->match, p->context) > 0;
}

const char *regex_text(const struct regex *p, int group, size_t *len)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(p->match);
	if (group < 0 || (uint32_t)group > p->groups || at[2 * group] == PCRE2_UNSET ||
		at[2 * group + 1] < at[2 * group])
		return NULL;
	*len = at[2 * group + 1] - at[2 * group];
	return p->line + at[2 * group];
}

bool regex_number(const struct regex *p, int group, double *value)
{
	size_t len;
	const char *at = group > 0 ? regex_text(p, group, &len) : NULL;
	char text[64], *end;
	if (!at || len >= sizeof text)
		return false;
	memcpy(text, at, len);
	text[len] = '\0';
	*value = strtod(text, &end);
	return end != text && isfinite(*value);
}
