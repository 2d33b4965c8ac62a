#include "common/pickle.h"

#include "common/die.h"
#include "common/mem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MEMO (1u << 20)
#define MAX_VALUES                                                                                                     \
	(1u << 20) // the real files have some 40,000; without a limit each byte of a hostile one would cost a hundred
		   // of memory

enum kind { NOTHING, NUMBER, TEXT, LIST, TUPLE, DICT, GLOBAL, OBJECT, ARRAY, DTYPE };

// One value. Everything a pickle makes stays until pickle_free: what refers to what is then no question of ownership.
struct value {
	enum kind kind;
	long number;
	const uint8_t *text; // TEXT: in the file, or in own; GLOBAL: "module\nname"
	size_t size;         // of text
	uint8_t *own;
	struct value **item; // LIST, TUPLE; DICT: key, value, key, value
	size_t items, room;
	struct value *shape, *dtype, *bytes; // ARRAY, once built
	bool fortran;
	struct value *before; // all values, for pickle_free
};

struct pickle {
	const char *path;
	const uint8_t *data;
	size_t size, at;
	struct value *all;
	size_t values, decoded; // how many, and the bytes their own text takes
	struct value **stack;   // NULL marks where a MARK was
	size_t depth, room;
	struct value **memo;
	size_t memos;
	struct value *root;
};

__attribute__((noreturn, format(printf, 2, 3))) static void bad(const struct pickle *p, const char *format, ...)
{
	char text[256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	die("%s: pickle, byte %zu: %s", p->path, p->at, text);
}

// ---- values

static struct value *value_new(struct pickle *p, enum kind kind)
{
	if (p->values++ == MAX_VALUES)
		bad(p, "more than %u values", MAX_VALUES);
	struct value *v = mem_new(1, sizeof *v);
	v->kind = kind;
	v->before = p->all;
	p->all = v;
	return v;
}

static void value_append(struct value *v, struct value *item)
{
	if (v->items == v->room) {
		v->room = v->room ? v->room * 2 : 4;
		v->item = mem_grow(v->item, v->room, sizeof *v->item);
	}
	v->item[v->items++] = item;
}

static bool value_is(const struct value *v, enum kind kind, const char *text)
{
	return v && v->kind == kind && v->size == strlen(text) && memcmp(v->text, text, v->size) == 0;
}

// ---- the stack

static void push(struct pickle *p, struct value *v)
{
	if (p->depth == p->room) {
		p->room = p->room ? p->room * 2 : 64;
		p->stack = mem_grow(p->stack, p->room, sizeof *p->stack);
	}
	p->stack[p->depth++] = v;
}

static struct value *top(struct pickle *p)
{
	if (p->depth == 0 || !p->stack[p->depth - 1])
		bad(p, "nothing on the stack");
	return p->stack[p->depth - 1];
}

static struct value *pop(struct pickle *p)
{
	struct value *v = top(p);
	p->depth--;
	return v;
}

// Takes everything above the last mark, and the mark. Valid until the next push.
static struct value **pop_to_mark(struct pickle *p, size_t *count)
{
	size_t at = p->depth;
	while (at > 0 && p->stack[at - 1])
		at--;
	if (at == 0)
		bad(p, "no mark on the stack");
	*count = p->depth - at;
	p->depth = at - 1;
	return p->stack + at;
}

// ---- reading

static const uint8_t *take(struct pickle *p, size_t count)
{
	if (count > p->size - p->at)
		bad(p, "%zu bytes wanted, %zu left", count, p->size - p->at);
	p->at += count;
	return p->data + p->at - count;
}

static uint32_t little(struct pickle *p, int bytes)
{
	const uint8_t *b = take(p, (size_t)bytes);
	uint32_t n = 0;
	for (int i = bytes; i-- > 0;)
		n = n << 8 | b[i];
	return n;
}

static void push_number(struct pickle *p, long number)
{
	struct value *v = value_new(p, NUMBER);
	v->number = number;
	push(p, v);
}

// A Python long of up to eight bytes; longer ones have no place in these files.
static void push_long(struct pickle *p)
{
	uint32_t count = little(p, 1);
	if (count > 8)
		bad(p, "a number of %u bytes, expected at most 8", count);
	const uint8_t *b = take(p, count);
	uint64_t n = count && b[count - 1] & 0x80 ? UINT64_MAX : 0;
	for (uint32_t i = count; i-- > 0;)
		n = n << 8 | b[i];
	push_number(p, (long)n);
}

static void push_text(struct pickle *p, uint32_t size)
{
	struct value *v = value_new(p, TEXT);
	v->size = size;
	v->text = take(p, size);
	push(p, v);
}

static void push_global(struct pickle *p)
{
	const uint8_t *from = p->data + p->at;
	const uint8_t *mid = memchr(from, '\n', p->size - p->at);
	const uint8_t *end = mid ? memchr(mid + 1, '\n', (size_t)(p->data + p->size - mid - 1)) : NULL;
	if (!end)
		bad(p, "a name without an end");
	struct value *v = value_new(p, GLOBAL);
	v->text = from;
	v->size = (size_t)(end - from);
	p->at += v->size + 1;
	push(p, v);
}

// ---- making

static void push_tuple(struct pickle *p, struct value **item, size_t count)
{
	struct value *v = value_new(p, TUPLE);
	for (size_t i = 0; i < count; i++)
		value_append(v, item[i]);
	push(p, v);
}

static void tuple_of(struct pickle *p, int count)
{
	struct value *item[3];
	for (int i = count; i-- > 0;)
		item[i] = pop(p);
	push_tuple(p, item, (size_t)count);
}

static void append_items(struct pickle *p, enum kind kind, struct value **item, size_t count)
{
	struct value *v = top(p);
	if (v->kind != kind || (kind == DICT && count % 2))
		bad(p, "items for what is no %s", kind == DICT ? "dictionary" : "list");
	for (size_t i = 0; i < count; i++)
		value_append(v, item[i]);
}

// Python 3 writes bytes in protocol 2 as text in which each byte is one character, and a call of _codecs.encode(text,
// "latin1").
static struct value *from_latin1(struct pickle *p, const struct value *text)
{
	struct value *v = value_new(p, TEXT);
	p->decoded += text->size;
	if (p->decoded > p->size) // each text once; a hostile file could ask for one large text again and again
		bad(p, "more bytes are made of text than the file has");
	v->text = v->own = mem_new(text->size, 1);
	for (size_t i = 0; i < text->size; i++) {
		uint8_t c = text->text[i];
		if (c >= 0x80) { // UTF-8 of U+0080 to U+00FF: 110000xx 10xxxxxx
			if ((c & 0xfc) != 0xc0 || i + 1 == text->size || (text->text[i + 1] & 0xc0) != 0x80)
				bad(p, "text that is not latin1");
			c = (uint8_t)(c << 6 | (text->text[++i] & 0x3f));
		}
		v->own[v->size++] = c;
	}
	return v;
}

// "Calls" the few things these files call, by making what the call would have made; anything else becomes an object
// without meaning.
static void reduce(struct pickle *p)
{
	const struct value *args = pop(p), *f = pop(p);
	if (args->kind != TUPLE)
		bad(p, "a call without arguments");
	struct value *made;
	if (value_is(f, GLOBAL, "numpy.core.multiarray\n_reconstruct") ||
		value_is(f, GLOBAL, "numpy._core.multiarray\n_reconstruct")) {
		made = value_new(p, ARRAY);
	} else if (value_is(f, GLOBAL, "numpy\ndtype") && args->items > 0 && args->item[0]->kind == TEXT) {
		made = value_new(p, DTYPE);
		made->text = args->item[0]->text;
		made->size = args->item[0]->size;
	} else if (value_is(f, GLOBAL, "_codecs\nencode") && args->items == 2 && args->item[0]->kind == TEXT &&
		   value_is(args->item[1], TEXT, "latin1")) {
		made = from_latin1(p, args->item[0]);
	} else {
		made = value_new(p, OBJECT);
	}
	push(p, made);
}

// Gives the object below the state on top of the stack: for an array (version, shape, dtype, fortran order, bytes).
static void build(struct pickle *p)
{
	const struct value *state = pop(p);
	struct value *v = top(p);
	if (v->kind != ARRAY)
		return;
	if (state->kind != TUPLE || state->items != 5)
		bad(p, "an array's state is no tuple of 5");
	v->shape = state->item[1];
	v->dtype = state->item[2];
	v->fortran = state->item[3]->number != 0;
	v->bytes = state->item[4];
}

static void memo_put(struct pickle *p, uint32_t index)
{
	if (index >= MAX_MEMO)
		bad(p, "memo %u, expected below %u", index, MAX_MEMO);
	if (index >= p->memos) {
		size_t count = ((size_t)index + 1) * 2;
		p->memo = mem_grow(p->memo, count, sizeof *p->memo);
		memset(p->memo + p->memos, 0, (count - p->memos) * sizeof *p->memo);
		p->memos = count;
	}
	p->memo[index] = top(p);
}

static void memo_get(struct pickle *p, uint32_t index)
{
	if (index >= p->memos || !p->memo[index])
		bad(p, "memo %u was never put", index);
	push(p, p->memo[index]);
}

// ---- the opcodes, in three tables' worth of switch: simple values, containers, the rest. Each returns false for what
// it does not know.

static bool do_simple(struct pickle *p, uint8_t op)
{
	switch (op) {
	case 'N':
		push(p, value_new(p, NOTHING));
		return true;
	case 0x88:
		push_number(p, 1);
		return true; // NEWTRUE
	case 0x89:
		push_number(p, 0);
		return true; // NEWFALSE
	case 'K':
		push_number(p, little(p, 1));
		return true; // BININT1
	case 'M':
		push_number(p, little(p, 2));
		return true; // BININT2
	case 'J':
		push_number(p, (int32_t)little(p, 4));
		return true; // BININT
	case 0x8a:
		push_long(p);
		return true; // LONG1
	case 'G':
		take(p, 8);
		push(p, value_new(p, OBJECT));
		return true; // BINFLOAT
	case 'U':
		push_text(p, little(p, 1));
		return true; // SHORT_BINSTRING
	case 'T':
		push_text(p, little(p, 4));
		return true; // BINSTRING
	case 'X':
		push_text(p, little(p, 4));
		return true; // BINUNICODE
	case 'c':
		push_global(p);
		return true; // GLOBAL
	default:
		return false;
	}
}

static bool do_container(struct pickle *p, uint8_t op)
{
	struct value **item, *pair[2];
	size_t count;
	switch (op) {
	case '(':
		push(p, NULL);
		return true; // MARK
	case '}':
		push(p, value_new(p, DICT));
		return true;
	case ']':
		push(p, value_new(p, LIST));
		return true;
	case ')':
		push_tuple(p, NULL, 0);
		return true;
	case 0x85:
		tuple_of(p, 1);
		return true;
	case 0x86:
		tuple_of(p, 2);
		return true;
	case 0x87:
		tuple_of(p, 3);
		return true;
	case 't': // TUPLE; its items lie where the push goes, but they are copied before it
		item = pop_to_mark(p, &count);
		push_tuple(p, item, count);
		return true;
	case 'e':
		item = pop_to_mark(p, &count);
		append_items(p, LIST, item, count);
		return true; // APPENDS
	case 'u':
		item = pop_to_mark(p, &count);
		append_items(p, DICT, item, count);
		return true; // SETITEMS
	case 'a':
		pair[0] = pop(p);
		append_items(p, LIST, pair, 1);
		return true; // APPEND
	case 's':            // SETITEM
		pair[1] = pop(p);
		pair[0] = pop(p);
		append_items(p, DICT, pair, 2);
		return true;
	default:
		return false;
	}
}

static bool do_rest(struct pickle *p, uint8_t op)
{
	switch (op) {
	case 'R':
		reduce(p);
		return true;
	case 'b':
		build(p);
		return true;
	case 'q':
		memo_put(p, little(p, 1));
		return true; // BINPUT
	case 'r':
		memo_put(p, little(p, 4));
		return true; // LONG_BINPUT
	case 'h':
		memo_get(p, little(p, 1));
		return true; // BINGET
	case 'j':
		memo_get(p, little(p, 4));
		return true; // LONG_BINGET
	default:
		return false;
	}
}

struct pickle *pickle_parse(const char *path, const uint8_t *data, size_t size)
{
	struct pickle *p = mem_new(1, sizeof *p);
	*p = (struct pickle){.path = path, .data = data, .size = size};
	if (size < 2 || data[0] != 0x80 || data[1] != 2)
		bad(p, "not a pickle of protocol 2");
	p->at = 2;
	for (;;) {
		uint8_t op = *take(p, 1);
		if (op == '.')
			break;
		if (!do_simple(p, op) && !do_container(p, op) && !do_rest(p, op))
			bad(p, "opcode 0x%02x is not one that CIFAR-10's files use", op);
	}
	p->root = pop(p);
	return p;
}

void pickle_free(struct pickle *p)
{
	if (!p)
		return;
	for (struct value *v = p->all, *before; v; v = before) {
		before = v->before;
		free(v->own);
		free(v->item);
		free(v);
	}
	free(p->stack);
	free(p->memo);
	free(p);
}

static const struct value *dict_find(const struct pickle *p, const char *key)
{
	const struct value *d = p->root;
	if (d->kind != DICT)
		bad(p, "no dictionary");
	for (size_t i = 0; i + 1 < d->items; i += 2)
		if (value_is(d->item[i], TEXT, key))
			return d->item[i + 1];
	bad(p, "the dictionary has no \"%s\"", key);
}

void pickle_find_array(const struct pickle *p, const char *key, struct pickle_array *out)
{
	const struct value *v = dict_find(p, key);
	if (v->kind != ARRAY || !v->shape || v->shape->kind != TUPLE || v->bytes->kind != TEXT)
		bad(p, "\"%s\" is no numpy array", key);
	if (v->dtype->kind != DTYPE || (!value_is(v->dtype, DTYPE, "u1") && !value_is(v->dtype, DTYPE, "|u1")) ||
		v->fortran)
		bad(p, "\"%s\" is no array of bytes in C order", key);
	if (v->shape->items > PICKLE_MAX_DIMS)
		bad(p, "\"%s\" has %zu dimensions, expected at most %d", key, v->shape->items, PICKLE_MAX_DIMS);
	*out = (struct pickle_array){.dims = (int)v->shape->items, .data = v->bytes->text};
	size_t total = 1;
	for (int i = 0; i < out->dims; i++) {
		const struct value *n = v->shape->item[i];
		if (n->kind != NUMBER || n->number < 0 || __builtin_mul_overflow(total, (size_t)n->number, &total))
			bad(p, "\"%s\" has an impossible shape", key);
		out->dim[i] = (size_t)n->number;
	}
	if (total != v->bytes->size)
		bad(p, "\"%s\" has %zu bytes, its shape wants %zu", key, v->bytes->size, total);
}
