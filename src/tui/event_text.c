#include "tui/event_text.h"

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/event.h"

#include <string.h>

// With more nodes than this their news are told in sums.
enum { NODES_FEW = 8 };

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
	if (json_has(event, "rank") && json_has(event, "node"))
		return mem_printf("rank %lld on node %lld: ", json_int(event, "rank"), json_int(event, "node"));
	if (json_has(event, "rank"))
		return mem_printf("rank %lld: ", json_int(event, "rank"));
	if (json_has(event, "node"))
		return mem_printf("node %lld: ", json_int(event, "node"));
	return mem_strdup("");
}

// --- one function for each type that can be worth a line ---------------------

static enum event_text_kind tell_run(struct event_text *s, const json_t *event, struct str *out)
{
	s->begun = json_number(event, "ts");
	s->nodes = (size_t)json_int(event, "nodes");
	s->size = (size_t)json_int(event, "size");
	autofree char *nodes = event_text_count(s->nodes, "node");
	autofree char *ranks = event_text_count(s->size, "rank");
	if (!s->size)
		str_printf(out, "cluster %s: %s, executor %s", json_text_or(event, "id", ""), nodes,
			json_text_or(event, "executor", ""));
	else
		str_printf(out, "run %s: %s on %s, executor %s", json_text_or(event, "id", ""), ranks, nodes,
			json_text_or(event, "executor", ""));
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
	if (json_has(event, "node"))
		return EVENT_TEXT_NONE;
	const char *name = json_text_or(event, "name", "");
	if (strcmp(json_text_or(event, "edge", ""), "end") == 0) {
		tell_phase_end(s, name, json_number(event, "seconds"), out);
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
	str_printf(out, "node %lld: ready at %s", json_int(event, "node"), json_text_or(event, "address", ""));
	if (json_has(facts, "cores"))
		str_printf(out, ", %g cores", json_number(facts, "cores"));
	if (json_has(facts, "memory")) {
		autofree char *memory = str_bytes(json_number(facts, "memory"));
		str_printf(out, ", %s", memory);
	}
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_lost(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "node %lld: lost: %s", json_int(event, "node"), json_text_or(event, "why", ""));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_terminated(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "node %lld: told to stop (SIG%s); it ends its ranks and sends its outputs",
		json_int(event, "node"), json_text_or(event, "signal", "TERM"));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_back(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *away = str_seconds(json_number(event, "seconds"));
	str_printf(out, "node %lld: back after %s", json_int(event, "node"), away);
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_mpi(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "mpi: %s: %s",
		strcmp(json_text_or(event, "family", ""), "openmpi") == 0 ? "Open MPI" : "the MPICH family",
		json_text_or(event, "why", ""));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_address(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "node %lld uses the address %s instead of %s: %s", json_int(event, "node"),
		json_text_or(event, "address", ""), json_text_or(event, "instead", ""), json_text_or(event, "why", ""));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_preflight(struct event_text *s, const json_t *event, struct str *out)
{
	size_t i;
	json_t *row;
	json_array_foreach (json_object_get(event, "rows"), i, row) {
		s->pairs++;
		if (json_number(row, "latency") > s->latency)
			s->latency = json_number(row, "latency");
		if (!is_false(row, "ok"))
			continue;
		s->failed++;
		if (s->failed > NODES_FEW)
			continue;
		str_printf(out, "%spreflight: node %lld cannot reach node %lld (%s, %s port %lld): %s",
			out->len ? "; " : "", json_int(event, "node"), json_int(row, "to"),
			json_text_or(row, "name", ""), json_text_or(row, "address", ""), json_int(row, "port"),
			json_text_or(row, "why", ""));
	}
	return out->len ? EVENT_TEXT_TROUBLE : EVENT_TEXT_NONE;
}

static enum event_text_kind tell_input(struct event_text *s, const json_t *event, struct str *out)
{
	if (!json_object_get(event, "ok"))
		return EVENT_TEXT_NONE;
	autofree char *from = who(event);
	if (is_false(event, "ok")) {
		str_printf(out, "%sinput %s from %s: %s", from, json_text_or(event, "name", ""),
			json_text_or(event, "from", ""), json_text_or(event, "why", ""));
		return EVENT_TEXT_TROUBLE;
	}
	if (s->nodes > NODES_FEW && json_int(event, "node") != 0)
		return EVENT_TEXT_NONE;
	autofree char *bytes = str_bytes(json_number(event, "bytes"));
	autofree char *took = str_seconds(json_number(event, "seconds"));
	str_printf(out, "%sinput %s: %s (%s)", from, json_text_or(event, "name", ""), bytes, took);
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_image(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *took = str_seconds(json_number(event, "seconds"));
	if (json_has(event, "ok"))
		str_printf(out, "image %s is ready (%s)", json_text_or(event, "name", ""), took);
	else
		str_printf(out, "image %s: %s", json_text_or(event, "name", ""), json_text_or(event, "step", ""));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_pod(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *took = str_seconds(json_number(event, "seconds"));
	autofree char *count = event_text_count((size_t)json_whole(event, "total"), "pod");
	if (json_whole(event, "total") < 0 || json_whole(event, "running") < 0)
		return EVENT_TEXT_NONE;
	if (json_has(event, "ok"))
		str_printf(out, "%s running (%s)", count, took);
	else
		str_printf(out, "%ld of %s running: %s", json_whole(event, "running"), count,
			json_text_or(event, "step", ""));
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
	autofree char *took = str_seconds(json_number(event, "seconds"));
	if (json_int(event, "status") != 0 || !json_has(event, "status")) {
		str_printf(out, "%ssetup '%s' ", from, json_text_or(event, "name", ""));
		if (json_has(event, "status"))
			str_printf(out, "ended with status %lld after %s", json_int(event, "status"), took);
		else
			str_printf(out, "failed after %s", took);
		tell_last(event, out);
		return EVENT_TEXT_TROUBLE;
	}
	if (s->nodes > NODES_FEW && json_int(event, "node") != 0)
		return EVENT_TEXT_NONE;
	if (json_has(event, "skipped"))
		str_printf(out, "%ssetup '%s' skipped: %s", from, json_text_or(event, "name", ""),
			json_text_or(event, "skipped", ""));
	else
		str_printf(out, "%ssetup '%s' done (%s)", from, json_text_or(event, "name", ""), took);
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_exit(struct event_text *s, const json_t *event, struct str *out)
{
	const char *why = json_text_or(event, "why", "");
	if (strcmp(why, "told to stop") == 0 ||
		(json_int(event, "status") == 0 && json_has(event, "status") && !json_has(event, "signal")))
		return EVENT_TEXT_NONE;
	autofree char *from = who(event);
	autofree char *took = str_seconds(json_number(event, "seconds"));
	str_puts(out, from);
	if (json_has(event, "signal")) {
		const char *name = sigabbrev_np((int)json_int(event, "signal"));
		str_printf(out, "killed by signal %lld%s%s", json_int(event, "signal"), name ? ", SIG" : "",
			name ? name : "");
	} else {
		str_printf(out, "ended with status %lld", json_int(event, "status"));
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
		s->bytes += json_number(event, "bytes");
		return EVENT_TEXT_NONE;
	}
	autofree char *from = who(event);
	str_printf(out, "%soutput %s was not brought back: %s", from, json_text_or(event, "path", ""),
		json_text_or(event, "why", ""));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_warn(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *from = who(event);
	str_printf(out, "warning: %s%s", from, json_text_or(event, "why", ""));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_fail(struct event_text *s, const json_t *event, struct str *out)
{
	bool named = json_flag(event, "named");
	autofree char *from = named ? mem_strdup("") : who(event);
	str_puts(out, "failed");
	if (json_has(event, "phase"))
		str_printf(out, " in %s", json_text_or(event, "phase", ""));
	str_printf(out, ": %s%s", from, json_text_or(event, "why", ""));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_refused(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "refused a connection from %s: %s", json_text_or(event, "peer", ""),
		json_text_or(event, "why", ""));
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_signal(struct event_text *s, const json_t *event, struct str *out)
{
	const json_t *signal = json_object_get(event, "signal");
	if (json_is_string(signal))
		str_printf(out, "%s sent to all ranks", json_string_value(signal));
	else
		str_printf(out, "signal %lld sent to all ranks", json_integer_value(signal));
	if (json_has(event, "why"))
		str_printf(out, ": %s", json_text_or(event, "why", ""));
	return EVENT_TEXT_NEWS;
}

static enum event_text_kind tell_retry(struct event_text *s, const json_t *event, struct str *out)
{
	str_printf(out, "trying again, attempt %lld: %s", json_int(event, "attempt"), json_text_or(event, "why", ""));
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
		str_printf(
			out, "%s %s %s", i ? "," : "", json_text_or(thing, "what", ""), json_text_or(thing, "id", ""));
	}
	str_puts(out, left > NODES_FEW ? " ...; `muster reap` removes them" : "; `muster reap` removes them");
	return EVENT_TEXT_TROUBLE;
}

static enum event_text_kind tell_end(struct event_text *s, const json_t *event, struct str *out)
{
	autofree char *took = str_seconds(json_number(event, "seconds"));
	str_printf(out, "%s after %s", json_text_or(event, "outcome", ""), took);
	if (json_has(event, "why"))
		str_printf(out, ": %s", json_text_or(event, "why", ""));
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
	{"terminated", tell_terminated},
	{"back", tell_back},
	{"preflight", tell_preflight},
	{"mpi", tell_mpi},
	{"address", tell_address},
	{"image", tell_image},
	{"pod", tell_pod},
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
	double elapsed = s->begun > 0 ? json_number(event, "ts") - s->begun : 0;
	return mem_printf("[%6.2f s] %s", elapsed > 0 ? elapsed : 0, out.text);
}
