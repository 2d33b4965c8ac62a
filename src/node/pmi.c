#include "node/pmi.h"

#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// A client has a buffer of 1024 bytes for a line: command, names and value must fit it together. MPICH wants more than
// 256 for a value and cuts longer ones into several keys.
enum {
	NAME_MAX_ = 64,
	KEY_MAX = 64,
	VALUE_MAX = 768,
	LINE_MAX_ = 4096,
	KEYS_MAX = 1 << 20, // of the whole run
	WORDS_MAX = 16,
};

struct client {
	char line[LINE_MAX_];
	size_t len;
	bool skipping; // the rest of a line that was too long
	bool block;    // between mcmd= and endcmd
	bool waiting;  // in the barrier
};

struct pmi {
	struct pmi_options options;
	char name[NAME_MAX_];
	char *mapping; // NULL: none
	json_t *keys;  // all that is known here
	json_t *puts;  // of this node's ranks since the last barrier
	size_t waiting;
	struct client *clients;
};

// A line taken apart: "cmd=put kvsname=x key=y value=z".
struct words {
	const char *name[WORDS_MAX], *value[WORDS_MAX];
	size_t n;
};

struct command {
	const char *name;
	const char *answer; // the cmd= of its answer, also of its refusal
	void (*run)(struct pmi *pmi, size_t local, const char *answer, const struct words *words);
};

// Which machine each rank is on, as MPICH reads it: blocks of (first machine, how many machines, ranks on each), ranks
// counted through. Returns NULL when that does not fit into a value.
static char *make_mapping(const size_t *hosts, size_t size)
{
	autostr struct str out = {0};
	str_puts(&out, "(vector");
	for (size_t at = 0; at < size;) {
		size_t each = 1, blocks = 1;
		while (at + each < size && hosts[at + each] == hosts[at])
			each++;
		size_t end = at + each;
		for (; end + each <= size; end += each, blocks++) {
			size_t same = 0;
			while (end + same < size && hosts[end + same] == hosts[at] + blocks)
				same++;
			if (same != each)
				break;
		}
		str_printf(&out, ",(%zu,%zu,%zu)", hosts[at], blocks, each);
		if (out.len > VALUE_MAX - 2)
			return NULL;
		at = end;
	}
	str_puts(&out, ")");
	return str_steal(&out);
}

// MPICH wants machines numbered 0, 1, ... in the order in which ranks first name them.
static size_t *renumber(const size_t *hosts, size_t size)
{
	size_t *out = mem_alloc(size * sizeof *out);
	size_t next = 0;
	for (size_t i = 0; i < size; i++) {
		size_t j = 0;
		while (j < i && hosts[j] != hosts[i])
			j++;
		out[i] = j < i ? out[j] : next++;
	}
	return out;
}

struct pmi *pmi_new(const struct pmi_options *options)
{
	struct pmi *pmi = mem_alloc(sizeof *pmi);
	pmi->options = *options;
	strncpy(pmi->name, options->name, sizeof pmi->name - 1);
	if (options->hosts) {
		autofree size_t *hosts = renumber(options->hosts, options->size);
		pmi->mapping = make_mapping(hosts, options->size);
	}
	pmi->options.hosts = NULL;
	pmi->options.name = pmi->name;
	pmi->keys = json_object();
	pmi->puts = json_object();
	pmi->clients = mem_alloc(options->nlocal * sizeof *pmi->clients);
	return pmi;
}

void pmi_free(struct pmi *pmi)
{
	if (!pmi)
		return;
	json_decref(pmi->keys);
	json_decref(pmi->puts);
	free(pmi->mapping);
	free(pmi->clients);
	free(pmi);
}

static void reply(struct pmi *pmi, size_t local, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void reply(struct pmi *pmi, size_t local, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	va_start(ap, fmt);
	int len = vsnprintf(line, sizeof line - 1, fmt, ap);
	va_end(ap);
	line[len++] = '\n';
	pmi->options.reply(local, line, (size_t)len, pmi->options.data);
}

static void refuse(struct pmi *pmi, size_t local, const char *answer, const char *why)
{
	reply(pmi, local, "cmd=%s rc=-1 msg=%s", answer, why);
}

static const char *word(const struct words *words, const char *name)
{
	for (size_t i = 0; i < words->n; i++)
		if (strcmp(words->name[i], name) == 0)
			return words->value[i];
	return NULL;
}

static void on_init(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	const char *version = word(words, "pmi_version");
	if (!version || strcmp(version, "1") != 0)
		refuse(pmi, local, answer, "only_pmi_version_1_is_spoken_here");
	else
		reply(pmi, local, "cmd=%s pmi_version=1 pmi_subversion=1 rc=0", answer);
}

static void on_maxes(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	reply(pmi, local, "cmd=%s kvsname_max=%d keylen_max=%d vallen_max=%d rc=0", answer, NAME_MAX_, KEY_MAX,
		VALUE_MAX);
}

static void on_appnum(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	reply(pmi, local, "cmd=%s appnum=0 rc=0", answer);
}

static void on_universe(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	reply(pmi, local, "cmd=%s size=%zu rc=0", answer, pmi->options.size);
}

static void on_name(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	reply(pmi, local, "cmd=%s kvsname=%s rc=0", answer, pmi->name);
}

// The key of a put or get when the request is sound; else it has been refused.
static const char *sound_key(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	const char *name = word(words, "kvsname"), *key = word(words, "key");
	const char *why = !name || strcmp(name, pmi->name) != 0 ? "unknown_kvsname"
			  : !key || !*key                       ? "no_key"
			  : strlen(key) >= KEY_MAX              ? "key_too_long"
								: NULL;
	if (why)
		refuse(pmi, local, answer, why);
	return why ? NULL : key;
}

static void on_put(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	const char *key = sound_key(pmi, local, answer, words);
	if (!key)
		return;
	const char *value = word(words, "value");
	if (!value || strlen(value) > VALUE_MAX) {
		refuse(pmi, local, answer, value ? "value_too_long" : "no_value");
	} else if (json_object_get(pmi->keys, key)) {
		refuse(pmi, local, answer, "duplicate_key");
	} else if (json_object_size(pmi->keys) >= KEYS_MAX) {
		refuse(pmi, local, answer, "too_many_keys");
	} else {
		json_t *text = json_string(value);
		json_object_set(pmi->puts, key, text);
		json_object_set_new(pmi->keys, key, text);
		reply(pmi, local, "cmd=%s rc=0 msg=success", answer);
	}
}

static void on_get(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	const char *key = sound_key(pmi, local, answer, words);
	if (!key)
		return;
	const char *value = strcmp(key, "PMI_process_mapping") == 0
				    ? pmi->mapping
				    : json_string_value(json_object_get(pmi->keys, key));
	if (value)
		reply(pmi, local, "cmd=%s rc=0 msg=success value=%s", answer, value);
	else
		reply(pmi, local, "cmd=%s rc=-1 msg=key_not_found value=unknown", answer);
}

static void on_barrier(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	struct client *c = &pmi->clients[local];
	if (c->waiting) {
		refuse(pmi, local, answer, "already_in_the_barrier");
		return;
	}
	c->waiting = true;
	if (++pmi->waiting < pmi->options.nlocal)
		return;
	autojson json_t *puts = pmi->puts;
	pmi->puts = json_object();
	pmi->options.fence(puts, pmi->options.data);
}

static void on_finalize(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	reply(pmi, local, "cmd=%s rc=0", answer);
}

static void on_abort(struct pmi *pmi, size_t local, const char *answer, const struct words *words)
{
	const char *code = word(words, "exitcode");
	char *end;
	errno = 0;
	long n = code ? strtol(code, &end, 10) : 1;
	pmi->options.abort(local, errno == 0 && n >= -255 && n <= 255 ? (int)n : 1, pmi->options.data);
}

// Those without a function belong to PMI-1 and are not offered: their clients wait for an answer of that name.
static const struct command commands[] = {
	{"init", "response_to_init", on_init},
	{"get_maxes", "maxes", on_maxes},
	{"get_appnum", "appnum", on_appnum},
	{"get_universe_size", "universe_size", on_universe},
	{"get_my_kvsname", "my_kvsname", on_name},
	{"put", "put_result", on_put},
	{"get", "get_result", on_get},
	{"barrier_in", "barrier_out", on_barrier},
	{"finalize", "finalize_ack", on_finalize},
	{"abort", NULL, on_abort},
	{"publish_name", "publish_result", NULL},
	{"unpublish_name", "unpublish_result", NULL},
	{"lookup_name", "lookup_result", NULL},
	{"spawn", "spawn_result", NULL},
};

static void run_command(struct pmi *pmi, size_t local, const char *name, const struct words *words)
{
	for (size_t i = 0; i < countof(commands); i++) {
		const struct command *c = &commands[i];
		if (strcmp(c->name, name) != 0)
			continue;
		if (c->run)
			c->run(pmi, local, c->answer, words);
		else
			refuse(pmi, local, c->answer, "not_offered_here");
		return;
	}
	refuse(pmi, local, "error", "unknown_command");
}

// Everything between blanks is a word NAME=VALUE; what has no '=' is not looked at.
static void split(char *line, struct words *words)
{
	char *rest;
	for (char *w = strtok_r(line, " ", &rest); w && words->n < WORDS_MAX; w = strtok_r(NULL, " ", &rest)) {
		char *equals = strchr(w, '=');
		if (!equals)
			continue;
		*equals = '\0';
		words->name[words->n] = w;
		words->value[words->n++] = equals + 1;
	}
}

static bool is_printable(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (line[i] < ' ' || line[i] > '~')
			return false;
	return true;
}

static void take_line(struct pmi *pmi, size_t local, char *line, size_t len)
{
	struct client *c = &pmi->clients[local];
	if (len > 0 && line[len - 1] == '\r')
		line[--len] = '\0';
	if (!is_printable(line, len)) {
		refuse(pmi, local, "error", "bytes_that_are_no_text");
		return;
	}
	if (c->block) { // a spawn is many lines and gets one refusal at their end
		c->block = strcmp(line, "endcmd") != 0;
		if (!c->block)
			run_command(pmi, local, "spawn", &(struct words){0});
		return;
	}
	if (str_starts(line, "mcmd=")) {
		c->block = true;
		return;
	}
	struct words words = {0};
	split(line, &words);
	if (words.n > 0 && strcmp(words.name[0], "cmd") == 0)
		run_command(pmi, local, words.value[0], &words);
	else
		refuse(pmi, local, "error", "no_command");
}

void pmi_input(struct pmi *pmi, size_t local, const char *bytes, size_t len)
{
	struct client *c = &pmi->clients[local];
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n') {
			if (c->len < sizeof c->line - 1)
				c->line[c->len++] = bytes[i];
			else
				c->skipping = true;
			continue;
		}
		c->line[c->len] = '\0';
		size_t had = c->len;
		bool skipping = c->skipping;
		c->len = 0;
		c->skipping = false;
		if (skipping)
			refuse(pmi, local, "error", "line_too_long");
		else
			take_line(pmi, local, c->line, had);
	}
}

static void merge(struct pmi *pmi, json_t *puts)
{
	const char *key;
	json_t *value;
	json_object_foreach (puts, key, value) {
		size_t len = json_string_length(value);
		if (!json_is_string(value) || len > VALUE_MAX || !is_printable(json_string_value(value), len) ||
			strchr(json_string_value(value), ' '))
			continue;
		if (strlen(key) < KEY_MAX && json_object_size(pmi->keys) < KEYS_MAX && !json_object_get(pmi->keys, key))
			json_object_set(pmi->keys, key, value);
	}
}

void pmi_fence_done(struct pmi *pmi, const json_t *all)
{
	size_t i;
	json_t *puts;
	json_array_foreach (all, i, puts)
		merge(pmi, puts);
	if (pmi->waiting < pmi->options.nlocal)
		return; // nobody asked
	pmi->waiting = 0;
	for (size_t local = 0; local < pmi->options.nlocal; local++)
		pmi->clients[local].waiting = false;
	for (size_t local = 0; local < pmi->options.nlocal; local++)
		reply(pmi, local, "cmd=barrier_out rc=0");
}
