#include "mnist/frame.h"

#include "mnist/net.h"

#include <string.h>

#define HEAD sizeof(struct frame_head)

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little endian");
_Static_assert(sizeof(struct frame_head) == 64 && sizeof(struct job) == 40, "frames have no gaps");

// Bytes of the bits of ROWS rows.
static size_t bits_size(size_t rows)
{
	return (rows + 511) / 512 * 64;
}

int frame_has_row(const struct frame *f, size_t row)
{
	return f->bits[row / 8] >> row % 8 & 1;
}

size_t frame_limit(void)
{
	return HEAD + bits_size(NET_ROWS) + sizeof(float) * NET_ROWS * net_width(NET_MAX_HIDDEN);
}

static const char *check_head(const struct frame_head *h, const struct frame_expect *e)
{
	if (memcmp(h->magic, "MNPS", 4) != 0)
		return "is none of ours";
	if (h->version != FRAME_VERSION)
		return "is of another version";
	if (h->kind < 1 || h->kind >= FRAME_KINDS)
		return "is of no kind";
	if (h->worker >= e->workers || h->shard >= e->shards)
		return "names a task that there is not";
	if (h->flags > (FRAME_DONE | FRAME_LATE | FRAME_GREET) || h->zero)
		return "has bits set that mean nothing";
	return NULL;
}

static const char *parse_push(struct frame *f, const unsigned char *body, size_t size, const struct frame_expect *e)
{
	size_t bits = bits_size(e->rows), count = 0;
	if (!e->rows)
		return "comes before anything is known of the job";
	if (size < bits)
		return "is too short";
	f->bits = body;
	for (size_t row = 0; row < bits * 8; row++) {
		int there = frame_has_row(f, row);
		if (there && row >= e->rows)
			return "has a row that there is not";
		count += (size_t)there;
	}
	if (size != bits + count * e->width * sizeof(float))
		return "is not as long as its rows";
	f->floats = (const float *)(const void *)(body + bits);
	f->rows = count;
	return NULL;
}

static const char *parse_params(struct frame *f, const unsigned char *body, size_t size, const struct frame_expect *e)
{
	if (!e->rows || size != e->rows * e->width * sizeof(float))
		return "is not as long as the shard";
	f->floats = (const float *)(const void *)body;
	f->rows = e->rows;
	return NULL;
}

static const char *parse_hello(struct frame *f, const unsigned char *body, size_t size)
{
	if (size != sizeof f->job)
		return "has no job in it";
	memcpy(&f->job, body, size);
	return job_check(&f->job);
}

// It goes to a terminal: what is not printable becomes a question mark.
static const char *parse_text(struct frame *f, const unsigned char *body, size_t size)
{
	if (size > FRAME_MAX_TEXT)
		return "says too much";
	for (size_t i = 0; i < size; i++)
		f->text[i] = body[i] >= ' ' && body[i] < 127 ? (char)body[i] : '?';
	f->text[size] = 0;
	return NULL;
}

const char *frame_parse(struct frame *f, const void *data, size_t size, const struct frame_expect *e)
{
	f->bits = NULL;
	f->floats = NULL;
	f->rows = 0;
	if (size < HEAD)
		return "is too short";
	memcpy(&f->head, data, HEAD);
	const unsigned char *body = (const unsigned char *)data + HEAD;
	const char *wrong = check_head(&f->head, e);
	if (wrong)
		return wrong;
	size -= HEAD;
	switch (f->head.kind) {
	case FRAME_HELLO:
		return parse_hello(f, body, size);
	case FRAME_PUSH:
		return parse_push(f, body, size, e);
	case FRAME_PARAMS:
		return parse_params(f, body, size, e);
	case FRAME_REFUSED:
		return parse_text(f, body, size);
	default:
		return size ? "is too long" : NULL;
	}
}

static struct packet *make(const struct frame_head *head, size_t body)
{
	struct packet *p = packet_new(HEAD + body);
	struct frame_head h = *head;
	memcpy(h.magic, "MNPS", 4);
	h.version = FRAME_VERSION;
	memcpy(p->data, &h, HEAD);
	return p;
}

struct packet *frame_new(const struct frame_head *head)
{
	return make(head, 0);
}

struct packet *frame_new_hello(const struct frame_head *head, const struct job *job)
{
	struct packet *p = make(head, sizeof *job);
	memcpy(p->data + HEAD, job, sizeof *job);
	return p;
}

struct packet *frame_new_refused(const struct frame_head *head, const char *text)
{
	size_t size = strnlen(text, FRAME_MAX_TEXT);
	struct packet *p = make(head, size);
	memcpy(p->data + HEAD, text, size);
	return p;
}

struct packet *frame_new_params(const struct frame_head *head, size_t floats, float **out)
{
	struct packet *p = make(head, floats * sizeof(float));
	*out = (float *)(void *)(p->data + HEAD);
	return p;
}

struct packet *frame_new_push(const struct frame_head *head, size_t rows, size_t width,
	int (*has)(const void *arg, size_t row), const void *arg, float **out)
{
	unsigned char bits[(NET_ROWS + 511) / 512 * 64] = {0};
	size_t count = 0;
	for (size_t row = 0; row < rows; row++)
		if (has(arg, row)) {
			bits[row / 8] |= (unsigned char)(1 << row % 8);
			count++;
		}
	struct packet *p = make(head, bits_size(rows) + count * width * sizeof(float));
	memcpy(p->data + HEAD, bits, bits_size(rows));
	*out = (float *)(void *)(p->data + HEAD + bits_size(rows));
	return p;
}
