// Frames of mnist's servers and workers: the first byte says who hears them, then come frames, each led by two bytes of
// length. A server's first frame is always a good hello, so that the rest meets a training; runs and incarnations are
// put right where the frame has 0.
#include "mnist/net.h"
#include "mnist/server.h"
#include "mnist/worker.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct job async = {.hidden = 2, .servers = 40, .workers = 2, .steps = 3, .seed = 1, .rate = 0.01};
static const struct job sync = {
	.hidden = 2, .servers = 40, .workers = 2, .replicas = 2, .steps = 3, .seed = 1, .rate = 0.01};
static const uint64_t run = 7;

static void server_sends(void *arg, const struct server_peer *to, struct packet *packet)
{
	struct frame_head head;
	assert(packet->size >= sizeof head && to->size <= sizeof to->name);
	memcpy(&head, packet->data, sizeof head);
	assert(head.kind == FRAME_WELCOME || head.kind == FRAME_PARAMS || head.kind == FRAME_FAREWELL ||
		head.kind == FRAME_REFUSED);
	packet_drop(packet);
}

static void worker_sends(void *arg, uint32_t shard, struct packet *packet)
{
	assert(shard < 40);
	packet_drop(packet);
}

static void says(void *arg, const char *text)
{
	for (const char *c = text; *c; c++)
		assert(*c >= ' ');
}

// A block of its own, so that the address sanitizer sees one byte too many.
static struct packet *packet_for(const uint8_t *data, size_t size, uint64_t incarnation)
{
	struct packet *packet = packet_new(size);
	struct frame_head head;
	memcpy(packet->data, data, size);
	if (size < sizeof head)
		return packet;
	memcpy(&head, packet->data, sizeof head);
	head.run = head.run ? head.run : run;
	head.incarnation = head.incarnation ? head.incarnation : incarnation;
	memcpy(packet->data, &head, sizeof head);
	return packet;
}

static void hear_server(struct server *s, const uint8_t *data, size_t size, double now)
{
	struct server_peer peer = {.size = 5};
	uint64_t before = server_step(s);
	struct packet *packet = packet_for(data, size, 1);
	server_take(s, &peer, packet, now);
	packet_drop(packet);
	server_tick(s, now);
	assert(server_step(s) - before <= 1);
}

static void hear_worker(struct worker *w, const uint8_t *data, size_t size, double now)
{
	struct packet *packet = packet_for(data, size, 5);
	worker_take(w, sizeof(struct frame_head) <= size ? data[12] % 40 : 0, packet, now);
	packet_drop(packet);
	worker_tick(w, now);
	for (int i = 0; worker_ready(w) && i < NET_ROWS; i++)
		assert(worker_rows(w)[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	const struct job *job = data[0] & 1 ? &sync : &async;
	struct state state;
	struct server *server = NULL;
	struct worker *worker = NULL;
	state_open(&state, NULL, 39);
	if (data[0] & 2) {
		worker = worker_new(job, 1, 5, (struct worker_world){NULL, worker_sends, says}, 1);
	} else {
		server = server_new(39, 40, 2, &state, run, (struct server_world){NULL, server_sends, says});
		struct packet *hello = frame_new_hello(
			&(struct frame_head){.kind = FRAME_HELLO, .shard = 39, .run = run, .incarnation = 1}, job);
		server_take(server, &(struct server_peer){.size = 5}, hello, 1);
		packet_drop(hello);
		assert(state.file);
	}
	data++;
	size--;
	for (double now = 1; size >= 2; now += 0.3) {
		size_t length = data[0] | (size_t)data[1] << 8;
		data += 2;
		size -= 2;
		length = length < size ? length : size;
		if (server)
			hear_server(server, data, length, now);
		else
			hear_worker(worker, data, length, now);
		data += length;
		size -= length;
	}
	worker_free(worker);
	server_free(server);
	state_close(&state);
	return 0;
}
