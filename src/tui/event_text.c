#include "tui/event_text.h"

#include "base/mem.h"
#include "base/str.h"
#include "wire/event.h"

#include <string.h>

// With more nodes than this their news are told in sums.
enum { NODES_FEW = 8 };

static const char *text(const json_t *event, const char *key)
{
	const char *value = json_string_value(json_object_get(event, key));
	return value ? value : "";
}

static double number(const json_t *event, const char *key)
{
	return json_number_value(json_object_get(event, key));
}

static json_int_t integer(const json_t *event, const char *key)
{
	return json_integer_value(json_object_get(event, key));
}

static bool has(const json_t *event, const char *key)
{
	const json_t *value = json_object_get(event, key);
	return value && !json_is_null(value);
}

static bool is_false(const json_t *event, const char *key)
{
	return json_is_false(json_object_get(event, key));
}

char *event_text_count(size_t count, const char *what)
{
	return mem_printf("%zu %s%s", count, what, count == 1 ? "" : "s");
}

// "node 1: ", "rank 3 on node 1: " or nothing.
static char *who(const json_t *event)
{
	if (has(event, "rank") && has(event, "node"))
		return mem_printf("rank %lld on node %lld: ", integer(event, "rank"), integer(event, "node"));
	if (has(event, "rank"))
		return mem_printf("rank %lld: ", integer(event, "rank"));
	if (has(event, "node"))
		return mem_printf("node %lld: ", integer(event, "node"));
	return mem_strdup("");
}

// --- one function for each type that can be worth a line ---------------------

static enum event_text_kind tell_run(struct event_text *s, const json_t *event, struct str *out)
{
	s->begun = number(event, "ts");
	s->nodes = (size_t)integer(event, "nodes");
	s->size = (size_t)integer(event, "size");
	autofree char *nodes = event_text_count(s->nodes, "node");
	autofree char *ranks = event_text_count(s->size, "rank");
	if (!s->size)
		str_printf(out, "cluster %s: %s, executor %s", text(event, "id"), nodes, text(event, "executor"));
	else
		str_printf(
			out, "run %s: %s on %s, executor %s", text(event, "id"), ranks, nodes, text(event, "executor"));
	return EVENT_TEXT_NEWS;
}

static void tell_phase_end(struct event_text *s, const char *name, double seconds, struct str *out)
{
	if (strcmp(name, "bring-up") == 0 && s->hellos) {
		autofree char *nodes = event_text_count(s->hellos, "node");
		str_printf(out, "%s: %s ready", name, nodes);
	} else if (strcmp(name, "preflight") == 0 && s->pairs) {
		if (s->failed)
			str_printf(out, "preflight: %zu of %zu checks failed", s->failed, s->pairs);
		else
			str_printf(
				out, "preflight: all nodes reach each other, slowest reply %.2f ms", s->latency * 1000);
	} else if (strcmp(name, "collect") == 0 && s->files) {
		autofree char *files = event_text_count(s->files, "file");
		autofree char *bytes = str_bytes(s->bytes);
		str_printf(out, "collect: %s brought back, %s", files, bytes);
	} else {
		str_printf(out, "%s: done", name);
	}
	autofree char *took = str_seconds(seconds);
	str_printf(out, " (%s)", took);
}

static enum event_text_kind tell_phase(struct event_text *s, const json_t *event, struct str *out)
{
	if (has(event, "node"))
		return EVENT_TEXT_NONE;
	const char *name = text(event, "name");
	if (strcmp(text(event, "edge"), "end") == 0) {
		tell_phase_end(s, name, number(event, "seconds"), out);
		return EVENT_TEXT_NEWS;
	}
	str_puts(out, name);
	if (strcmp(name, "bring-up") == 0 && s->nodes) {
		autofree char *nodes = event_text_count(s->nodes, "node");
		str_printf(out, ": %s", nodes);
	}
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_hello(struct event_text *s, const json_t *event, struct str *out)
{
	s->hellos++;
	if (s->nodes > NODES_FEW)
		return EVENT_TEXT_NONE;
	const json_t *facts = json_object_get(event, "facts");
	str_printf(out, "node %lld: ready at %s", integer(event, "node"), text(event, "address"));
	if (has(facts, "cores"))
		str_printf(out, ", %g cores", number(facts, "cores"));
	if (has(facts, "memory")) {
		autofree char *memory = str_bytes(number(facts, "memory"));
		str_printf(out, ", %s", memory);
	}
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_lost(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "node %lld: lost: %s", integer(event, "node"), text(event, "why"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_back(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *away = str_seconds(number(event, "seconds"));
	str_printf(out, "node %lld: back after %s", integer(event, "node"), away);
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_mpi(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "mpi: %s: %s", strcmp(text(event, "family"), "openmpi") == 0 ? "Open MPI" : "the MPICH family",
		text(event, "why"));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_address(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "node %lld uses the address %s instead of %s: %s", integer(event, "node"),
		text(event, "address"), text(event, "instead"), text(event, "why"));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_preflight(struct event_text *s, const json_t *event, struct str *out)
{
	size_t i;
	json_t *row;
	json_array_foreach (json_object_get(event, "rows"), i, row) {
		s->pairs++;
		if (number(row, "latency") > s->latency)
			s->latency = number(row, "latency");
		if (!is_false(row, "ok"))
			continue;
		s->failed++;
		if (s->failed > NODES_FEW)
			continue;
		str_printf(out, "%spreflight: node %lld cannot reach node %lld (%s, %s port %lld): %s",
			out->len ? "; " : "", integer(event, "node"), integer(row, "to"), text(row, "name"),
			text(row, "address"), integer(row, "port"), text(row, "why"));
	}
	return out->len ? EVENT_TEXT_TROUBLE : EVENT_TEXT_NONE;
}

static enum event_text_kind tell_input(struct event_text *s, const json_t *event, struct str *out)
{
	if (!json_object_get(event, "ok"))
		return EVENT_TEXT_NONE;
	autofree char *from = who(event);
	if (is_false(event, "ok")) {
		str_printf(out, "%sinput %s from %s: %s", from, text(event, "name"), text(event, "from"),
			text(event, "why"));
		return EVENT_TEXT_TROUBLE;
	}
	if (s->nodes > NODES_FEW && integer(event, "node") != 0)
		return EVENT_TEXT_NONE;
	autofree char *bytes = str_bytes(number(event, "bytes"));
	autofree char *took = str_seconds(number(event, "seconds"));
	str_printf(out, "%sinput %s: %s (%s)", from, text(event, "name"), bytes, took);
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_image(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *took = str_seconds(number(event, "seconds"));
	if (has(event, "ok"))
		str_printf(out, "image %s is ready (%s)", text(event, "name"), took);
	else
		str_printf(out, "image %s: %s", text(event, "name"), text(event, "step"));
	return EVENT_TEXT_NEWS;
}

static void tell_last(const json_t *event, struct str *out)
{
	const json_t *last = json_object_get(event, "last");
	const char *line = json_string_value(json_array_get(last, json_array_size(last) - 1));
	if (line && *line)
		str_printf(out, "; its last line: %s", line);
}

static enum event_text_kind tell_setup(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *from = who(event);
	autofree char *took = str_seconds(number(event, "seconds"));
	if (integer(event, "status") != 0 || !has(event, "status")) {
		str_printf(out, "%ssetup '%s' ", from, text(event, "name"));
		if (has(event, "status"))
			str_printf(out, "ended with status %lld after %s", integer(event, "status"), took);
		else
			str_printf(out, "failed after %s", took);
		tell_last(event, out);
		return EVENT_TEXT_TROUBLE;
	}
	if (s->nodes > NODES_FEW && integer(event, "node") != 0)
		return EVENT_TEXT_NONE;
	if (has(event, "skipped"))
		str_printf(out, "%ssetup '%s' skipped: %s", from, text(event, "name"), text(event, "skipped"));
	else
		str_printf(out, "%ssetup '%s' done (%s)", from, text(event, "name"), took);
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_exit(struct event_text *s, const json_t *event, struct str *out)
{
	const char *why = text(event, "why");
	if (strcmp(why, "told to stop") == 0 ||
		(integer(event, "status") == 0 && has(event, "status") && !has(event, "signal")))
		return EVENT_TEXT_NONE;
	autofree char *from = who(event);
	autofree char *took = str_seconds(number(event, "seconds"));
	str_puts(out, from);
	if (has(event, "signal")) {
		const char *name = sigabbrev_np((int)integer(event, "signal"));
		str_printf(out, "killed by signal %lld%s%s", integer(event, "signal"), name ? ", SIG" : "",
			name ? name : "");
	} else {
		str_printf(out, "ended with status %lld", integer(event, "status"));
	}
	str_printf(out, " after %s", took);
	if (*why)
		str_printf(out, " (%s)", why);
	tell_last(event, out);
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_output(struct event_text *s, const json_t *event, struct str *out)
{
	if (!is_false(event, "ok")) {
		s->files++;
		s->bytes += number(event, "bytes");
		return EVENT_TEXT_NONE;
	}
	autofree char *from = who(event);
	str_printf(out, "%soutput %s was not brought back: %s", from, text(event, "path"), text(event, "why"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_warn(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *from = who(event);
	str_printf(out, "warning: %s%s", from, text(event, "why"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_fail(struct event_text *s, const json_t *event, struct str *out)
{
	bool named = json_is_true(json_object_get(event, "named"));
	autofree char *from = named ? mem_strdup("") : who(event);
	str_puts(out, "failed");
	if (has(event, "phase"))
		str_printf(out, " in %s", text(event, "phase"));
	str_printf(out, ": %s%s", from, text(event, "why"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_refused(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "refused a connection from %s: %s", text(event, "peer"), text(event, "why"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_signal(struct event_text *s, const json_t *event, struct str *out)
{
	const json_t *signal = json_object_get(event, "signal");
	if (json_is_string(signal))
		str_printf(out, "%s sent to all ranks", json_string_value(signal));
	else
		str_printf(out, "signal %lld sent to all ranks", json_integer_value(signal));
	if (has(event, "why"))
		str_printf(out, ": %s", text(event, "why"));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_retry(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "trying again, attempt %lld: %s", integer(event, "attempt"), text(event, "why"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_receipt(struct event_text *s, const json_t *event, struct str *out)
{
	size_t left = json_array_size(json_object_get(event, "left"));
	if (!left)
		return EVENT_TEXT_NONE;
	autofree char *count = event_text_count(left, "thing");
	str_printf(out, "%s left behind:", count);
	for (size_t i = 0; i < left && i < NODES_FEW; i++) {
		const json_t *thing = json_array_get(json_object_get(event, "left"), i);
		str_printf(out, "%s %s %s", i ? "," : "", text(thing, "what"), text(thing, "id"));
	}
	str_puts(out, left > NODES_FEW ? " ...; `muster reap` removes them" : "; `muster reap` removes them");
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_end(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *took = str_seconds(number(event, "seconds"));
	str_printf(out, "%s after %s", text(event, "outcome"), took);
	if (has(event, "why"))
		str_printf(out, ": %s", text(event, "why"));
	return EVENT_TEXT_END;
}

static const struct teller {
	const char *type;
	enum event_text_kind (*tell)(struct event_text *s, const json_t *event, struct str *out);
} tellers[] = {
	{"run", tell_run},
	{"phase", tell_phase},
	{"hello", tell_hello},
	{"lost", tell_lost},
	{"back", tell_back},
	{"preflight", tell_preflight},
	{"mpi", tell_mpi},
	{"address", tell_address},
	{"image", tell_image},
	{"input", tell_input},
	{"setup", tell_setup},
	{"exit", tell_exit},
	{"output", tell_output},
	{"warn", tell_warn},
	{"fail", tell_fail},
	{"refused", tell_refused},
	{"signal", tell_signal},
	{"retry", tell_retry},
	{"receipt", tell_receipt},
	{"end", tell_end},
};

char *event_text_line(struct event_text *s, const json_t *event, enum event_text_kind *kind)
{
	autostr struct str out = {0};
	*kind = EVENT_TEXT_NONE;
	for (size_t i = 0; i < countof(tellers); i++)
		if (event_is(event, tellers[i].type))
			*kind = tellers[i].tell(s, event, &out);
	if (*kind == EVENT_TEXT_NONE)
		return NULL;
	double elapsed = s->begun > 0 ? number(event, "ts") - s->begun : 0;
	return mem_printf("[%6.2f s] %s", elapsed > 0 ? elapsed : 0, out.text);
}
