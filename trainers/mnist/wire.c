#include "mnist/wire.h"

#include "common/die.h"
#include "common/mem.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define LINGER_MS 2000
#define QUEUE 64           // frames waiting for one peer, at most; what is more is lost, and asked for again
#define BUFFER (1 << 20)   // of the kernel, if it gives that much
#define LISTEN_TRIES 100   // a tenth of a second each: a server that was killed may not be quite dead
#define HEARTBEAT_MS 10000 // a peer whose host has vanished is noticed
#define MAX_PARTS 3

struct wire {
	void *context;
	zmq_pollitem_t *items; // a socket each
	uint32_t count, next;  // NEXT: where the search begins, so that everybody is heard
};

// A packet that is a message of ZeroMQ's.
struct held {
	struct packet packet;
	zmq_msg_t message;
};

// ---- addresses

static void split(const char *address, char host[256], char port[16])
{
	const char *colon = strrchr(address, ':');
	size_t size = colon ? (size_t)(colon - address) : 0;
	int bracket = size > 2 && address[0] == '[' && colon[-1] == ']';
	if (!size || size >= 256 || strlen(colon + 1) >= 16)
		die("'%s': expected HOST:PORT", address);
	snprintf(host, 256, "%.*s", (int)size - 2 * bracket, address + bracket);
	snprintf(port, 16, "%s", colon + 1);
}

static int same_host(const struct sockaddr *a, const struct sockaddr *b)
{
	if (!b || a->sa_family != b->sa_family)
		return 0;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
	return a->sa_family == AF_INET6 && memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
						   &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 16) == 0;
}

static int is_loopback(const struct sockaddr *a)
{
	return a->sa_family == AF_INET &&
	       ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
}

// The first address of HOST, as a number; whether it is one of this host's. Returns -1 when the name says nothing
// (yet).
static int look_up(const char *address, char number[300], int *here)
{
	char host[256], port[16];
	split(address, host, port);
	struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM};
	int code = getaddrinfo(host, port, &hints, &found);
	if (code)
		return -1;
	char name[256];
	code = getnameinfo(found->ai_addr, found->ai_addrlen, name, sizeof name, NULL, 0, NI_NUMERICHOST);
	*here = is_loopback(found->ai_addr);
	struct ifaddrs *own = NULL;
	if (getifaddrs(&own) == 0)
		for (struct ifaddrs *i = own; i; i = i->ifa_next)
			*here |= same_host(found->ai_addr, i->ifa_addr);
	snprintf(number, 300, found->ai_family == AF_INET6 ? "[%s]:%s" : "%s:%s", name, port);
	freeifaddrs(own);
	freeaddrinfo(found);
	return code ? -1 : 0;
}

// An address is this host's when it is in this network namespace, and the names of abstract sockets are of the network
// namespace too.
static void local_name(const char *number, char out[400])
{
	snprintf(out, 400, "ipc://@mnist-ps-%s", number);
}

// ---- sockets

static void option(void *socket, int name, int value)
{
	if (zmq_setsockopt(socket, name, &value, sizeof value) < 0)
		die("ZeroMQ: option %d: %s", name, zmq_strerror(errno));
}

static void *new_socket(struct wire *w, int type, size_t largest)
{
	void *socket = zmq_socket(w->context, type);
	if (!socket)
		die("ZeroMQ: %s", zmq_strerror(errno));
	option(socket, ZMQ_LINGER, LINGER_MS);
	option(socket, ZMQ_SNDHWM, QUEUE);
	option(socket, ZMQ_RCVHWM, QUEUE);
	option(socket, ZMQ_SNDBUF, BUFFER);
	option(socket, ZMQ_RCVBUF, BUFFER);
	option(socket, ZMQ_RECONNECT_IVL, 20);
	option(socket, ZMQ_RECONNECT_IVL_MAX, 500);
	option(socket, ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS);
	option(socket, ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS);
	option(socket, ZMQ_IPV6, 1);
	int64_t limit = (int64_t)largest;
	if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit) < 0)
		die("ZeroMQ: largest message: %s", zmq_strerror(errno));
	return socket;
}

static struct wire *new_wire(uint32_t count)
{
	struct wire *w = mem_new(1, sizeof *w);
	w->context = zmq_ctx_new();
	if (!w->context || zmq_ctx_set(w->context, ZMQ_MAX_SOCKETS, (int)count + 10) < 0)
		die("ZeroMQ: %s", zmq_strerror(errno));
	w->items = mem_new(count, sizeof *w->items);
	w->count = count;
	return w;
}

static void listen_at(void *socket, const char *endpoint, const char *address)
{
	for (int i = 0; zmq_bind(socket, endpoint) < 0; i++) {
		if (errno != EADDRINUSE || i == LISTEN_TRIES)
			die("%s: cannot listen there: %s", address, zmq_strerror(errno));
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
}

struct wire *wire_listen(const char *address, size_t largest)
{
	struct wire *w = new_wire(1);
	char number[300], endpoint[400];
	int here;
	if (look_up(address, number, &here) < 0)
		die("%s: no such host", address);
	if (!here)
		die("%s: is no address of this host", address);
	w->items[0] = (zmq_pollitem_t){.socket = new_socket(w, ZMQ_ROUTER, largest), .events = ZMQ_POLLIN};
	snprintf(endpoint, sizeof endpoint, "tcp://%s", number);
	listen_at(w->items[0].socket, endpoint, address);
	local_name(number, endpoint);
	listen_at(w->items[0].socket, endpoint, address);
	return w;
}

struct wire *wire_dial(char *const *addresses, uint32_t count, size_t largest)
{
	struct wire *w = new_wire(count);
	for (uint32_t i = 0; i < count; i++) {
		char number[300], endpoint[400];
		int here = 0;
		w->items[i] = (zmq_pollitem_t){.socket = new_socket(w, ZMQ_DEALER, largest), .events = ZMQ_POLLIN};
		if (look_up(addresses[i], number, &here) == 0 && here)
			local_name(number, endpoint);
		else
			snprintf(endpoint, sizeof endpoint, "tcp://%s",
				addresses[i]); // by its name, which is looked up at each attempt
		if (zmq_connect(w->items[i].socket, endpoint) < 0)
			die("%s: %s", addresses[i], zmq_strerror(errno));
	}
	return w;
}

void wire_close(struct wire *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->count; i++)
		zmq_close(w->items[i].socket);
	while (zmq_ctx_term(w->context) < 0 && errno == EINTR)
		continue;
	free(w->items);
	free(w);
}

void wire_wait(struct wire *w, double seconds)
{
	if (zmq_poll(w->items, (int)w->count, (long)(seconds * 1000)) < 0 && errno != EINTR)
		die("ZeroMQ: %s", zmq_strerror(errno));
}

// ---- packets

static void release_held(struct packet *p)
{
	struct held *held = (void *)p;
	zmq_msg_close(&held->message);
	free(held);
}

// Takes the message. One that ZeroMQ left at an odd address is copied: numbers are read from it.
static struct packet *packet_of(zmq_msg_t *message)
{
	size_t size = zmq_msg_size(message);
	if ((uintptr_t)zmq_msg_data(message) % sizeof(uint64_t) != 0 || size < 64) {
		struct packet *copy = packet_new(size);
		memcpy(copy->data, zmq_msg_data(message), size);
		zmq_msg_close(message);
		return copy;
	}
	struct held *held = mem_new(1, sizeof *held);
	zmq_msg_init(&held->message);
	zmq_msg_move(&held->message, message);
	held->packet.data = zmq_msg_data(&held->message);
	held->packet.size = size;
	held->packet.release = release_held;
	atomic_init(&held->packet.holders, 1);
	return &held->packet;
}

// All parts of one message; returns how many, 0: there is no message. What is beyond MAX_PARTS is dropped.
static int receive(void *socket, zmq_msg_t parts[MAX_PARTS])
{
	int count = 0, more = 1;
	while (more) {
		zmq_msg_t part;
		zmq_msg_init(&part);
		if (zmq_msg_recv(&part, socket, ZMQ_DONTWAIT) < 0) {
			zmq_msg_close(&part);
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				die("ZeroMQ: %s", zmq_strerror(errno));
			return count;
		}
		more = zmq_msg_more(&part);
		if (count < MAX_PARTS) {
			zmq_msg_init(&parts[count]);
			zmq_msg_move(&parts[count++], &part);
		}
		zmq_msg_close(&part);
	}
	return count;
}

struct packet *wire_take_worker(struct wire *w, uint32_t *shard)
{
	for (uint32_t i = 0; i < w->count; i++) {
		zmq_msg_t parts[MAX_PARTS];
		*shard = (w->next + i) % w->count;
		int count = receive(w->items[*shard].socket, parts);
		if (count == 0)
			continue;
		w->next = *shard + 1;
		for (int k = 1; k < count; k++)
			zmq_msg_close(&parts[k]);
		return packet_of(&parts[0]);
	}
	return NULL;
}

// A router's messages begin with whom they are from.
struct packet *wire_take_server(struct wire *w, struct server_peer *peer)
{
	zmq_msg_t parts[MAX_PARTS];
	int count;
	while ((count = receive(w->items[0].socket, parts)) > 0) {
		peer->size = zmq_msg_size(&parts[0]);
		int good = count == 2 && peer->size <= sizeof peer->name;
		if (good)
			memcpy(peer->name, zmq_msg_data(&parts[0]), peer->size);
		zmq_msg_close(&parts[0]);
		if (good)
			return packet_of(&parts[1]);
		for (int k = 1; k < count; k++)
			zmq_msg_close(&parts[k]);
	}
	return NULL;
}

static void drop_sent(void *data, void *packet)
{
	packet_drop(packet);
}

static void send_packet(void *socket, struct packet *packet)
{
	zmq_msg_t message;
	if (zmq_msg_init_data(&message, packet->data, packet->size, drop_sent, packet) < 0)
		die("ZeroMQ: %s", zmq_strerror(errno));
	while (zmq_msg_send(&message, socket, ZMQ_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EHOSTUNREACH)
			die("ZeroMQ: %s", zmq_strerror(errno));
		zmq_msg_close(&message); // nobody is there, or does not listen
		return;
	}
}

void wire_send_server(struct wire *w, uint32_t shard, struct packet *packet)
{
	send_packet(w->items[shard].socket, packet);
}

void wire_send_worker(struct wire *w, const struct server_peer *peer, struct packet *packet)
{
	while (zmq_send(w->items[0].socket, peer->name, peer->size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		packet_drop(packet);
		return;
	}
	send_packet(w->items[0].socket, packet);
}
