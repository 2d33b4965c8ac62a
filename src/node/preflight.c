#include "node/preflight.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/event.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <nss.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

// Who connects sends ASK: a token only nodes of this run can make, who it is and whom it wants; and a 'p'. The other
// sends ANSWER: its token and who it is. Then, for each 'p', and for each 'b' with BLOCK bytes behind it, a pong: its
// clock in microseconds. Numbers are big-endian.
enum {
	TOKEN = CRYPTO_HEX - 1,
	PONG = 8,
	ASK = TOKEN + 8,
	ANSWER = TOKEN + 4 + PONG,
	ECHOES = 3,
	BLOCK = 256 * 1024,
	STRANGERS = 64, // connections that have not said who they are, at once
};

static const double flood_seconds = 0.3;

enum step { CONNECTING, ASKED, ECHOING, FLOODING };

// What is known about one peer, and the connection to it while there is one.
struct row {
	const struct preflight_peer *peer;
	char *where, *why;
	char address[64];
	int fd;
	enum step step;
	bool done;
	double since, deadline; // when it was dialled, and until when it has to answer
	char in[ANSWER];
	size_t have;
	double sent, latency, offset, bandwidth;
	int echoes;
	double flood_started;
	size_t blocks, acknowledged, block_left; // block_left: of the block being sent
};

// Somebody who has connected to us.
struct guest {
	int fd;
	bool known;
	char in[ASK];
	size_t have, block_left;
	struct guest *next;
};

struct preflight {
	const struct preflight_options *options;
	int epoll;
	char ask[CRYPTO_HEX], answer[CRYPTO_HEX];
	struct row *rows;
	size_t nrows, left;
	double deadline; // the first of a row
	struct guest *guests;
	size_t strangers;
};

static char block[BLOCK];

// --- small things -----------------------------------------------------------

static bool send_all(int fd, const void *bytes, size_t len)
{
	return send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len;
}

static void put32(char *at, size_t value)
{
	uint32_t raw = htobe32((uint32_t)value);
	memcpy(at, &raw, sizeof raw);
}

static size_t get32(const char *at)
{
	uint32_t raw;
	memcpy(&raw, at, sizeof raw);
	return be32toh(raw);
}

static bool token_is(const char *bytes, const char *token)
{
	char text[CRYPTO_HEX] = {0};
	memcpy(text, bytes, TOKEN);
	return crypto_equal(text, token);
}

static int watch(struct preflight *p, int fd, unsigned events, void *ptr, int op)
{
	struct epoll_event ev = {.events = events, .data.ptr = ptr};
	return epoll_ctl(p->epoll, op, fd, &ev);
}

// --- those who connect to us ------------------------------------------------

static void dismiss(struct preflight *p, struct guest *guest)
{
	for (struct guest **at = &p->guests; *at; at = &(*at)->next) {
		if (*at != guest)
			continue;
		*at = guest->next;
		break;
	}
	p->strangers -= !guest->known;
	close(guest->fd);
	free(guest);
}

// The one that has been silent for longest: a new guest is put in front.
static struct guest *oldest_stranger(struct preflight *p)
{
	struct guest *oldest = NULL;
	for (struct guest *g = p->guests; g; g = g->next)
		if (!g->known)
			oldest = g;
	return oldest;
}

static void accept_guests(struct preflight *p)
{
	for (;;) {
		int fd = accept4(p->options->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (p->strangers >= STRANGERS + p->nrows)
			dismiss(p, oldest_stranger(p));
		struct guest *guest = mem_alloc(sizeof *guest);
		guest->fd = fd;
		guest->next = p->guests;
		p->guests = guest;
		p->strangers++;
		if (watch(p, fd, EPOLLIN, guest, EPOLL_CTL_ADD) < 0)
			dismiss(p, guest);
	}
}

static void put_pong(char *at)
{
	uint64_t now = htobe64((uint64_t)(clock_wall() * 1e6));
	memcpy(at, &now, sizeof now);
}

static bool send_pong(int fd)
{
	char pong[PONG];
	put_pong(pong);
	return send_all(fd, pong, sizeof pong);
}

// Takes bytes of the ask; true while all is well.
static bool greet(struct preflight *p, struct guest *guest, const char **bytes, size_t *len)
{
	size_t take = ASK - guest->have < *len ? ASK - guest->have : *len;
	memcpy(guest->in + guest->have, *bytes, take);
	guest->have += take;
	*bytes += take;
	*len -= take;
	if (guest->have < ASK)
		return true;
	if (!token_is(guest->in, p->ask))
		return false;
	guest->known = true;
	p->strangers--;
	char answer[ANSWER];
	memcpy(answer, p->answer, TOKEN);
	put32(answer + TOKEN, p->options->node);
	put_pong(answer + TOKEN + 4);
	return send_all(guest->fd, answer, sizeof answer);
}

static bool serve_bytes(struct preflight *p, struct guest *guest, const char *bytes, size_t len)
{
	while (len > 0) {
		if (!guest->known) {
			if (!greet(p, guest, &bytes, &len))
				return false;
		} else if (guest->block_left > 0) {
			size_t take = guest->block_left < len ? guest->block_left : len;
			bytes += take;
			len -= take;
			guest->block_left -= take;
			if (guest->block_left == 0 && !send_pong(guest->fd))
				return false;
		} else {
			char what = *bytes++;
			len--;
			if (what == 'b')
				guest->block_left = BLOCK;
			else if (what != 'p' || !send_pong(guest->fd))
				return false;
		}
	}
	return true;
}

static void serve(struct preflight *p, struct guest *guest)
{
	static char bytes[65536];
	ssize_t got = recv(guest->fd, bytes, sizeof bytes, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0 || !serve_bytes(p, guest, bytes, (size_t)got))
		dismiss(p, guest);
}

// --- those we connect to ----------------------------------------------------

static void end_row(struct preflight *p, struct row *row)
{
	// A reset instead of the four-way farewell: thousands of pairs would leave as many ports waiting on one
	// machine.
	if (row->fd >= 0) {
		setsockopt(row->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
		close(row->fd);
	}
	row->fd = -1;
	row->done = true;
	p->left--;
}

static void hurry(struct preflight *p, struct row *row, double deadline)
{
	row->deadline = deadline < row->deadline ? deadline : row->deadline;
	p->deadline = row->deadline < p->deadline ? row->deadline : p->deadline;
}

// Its other addresses are no better.
static void be_impatient(struct preflight *p, const struct row *answered)
{
	for (size_t i = 0; p->options->patience > 0 && i < p->nrows; i++)
		if (!p->rows[i].done && p->rows[i].peer->node == answered->peer->node)
			hurry(p, &p->rows[i], clock_mono() + p->options->patience);
}

static void fail_row(struct preflight *p, struct row *row, const char *why)
{
	const struct preflight_peer *peer = row->peer;
	bool named = strcmp(peer->name, row->address) != 0;
	row->why = mem_printf("node %zu cannot reach node %zu at %s%s%s%s: %s", p->options->node, peer->node,
		row->where, named ? " (name " : "", named ? peer->name : "", named ? ")" : "", why);
	end_row(p, row);
}

static void set_where(struct row *row, const char *address)
{
	snprintf(row->address, sizeof row->address, "%s", address);
	free(row->where);
	row->where = mem_printf(strchr(address, ':') ? "[%s]:%d" : "%s:%d", address, row->peer->port);
}

// The address of the peer's name: the one it told us when that is among them, else the first.
static struct addrinfo *resolve(struct preflight *p, struct row *row, struct addrinfo **list)
{
	const struct preflight_peer *peer = row->peer;
	set_where(row, peer->address);
	autofree char *port = mem_printf("%d", peer->port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	int rc = getaddrinfo(peer->name, port, &hints, list);
	if (rc != 0) {
		autofree char *why = mem_printf(
			"its name cannot be resolved: %s", rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
		fail_row(p, row, why);
		return NULL;
	}
	char text[64];
	for (struct addrinfo *a = *list; a; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0 &&
			strcmp(text, peer->address) == 0)
			return a;
	if (getnameinfo((*list)->ai_addr, (*list)->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
		set_where(row, text);
	return *list;
}

static void dial(struct preflight *p, struct row *row)
{
	if (row->peer->within > 0)
		hurry(p, row, clock_mono() + row->peer->within);
	row->since = clock_mono();
	struct addrinfo *list = NULL, *a = resolve(p, row, &list);
	if (!a)
		return;
	row->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (row->fd < 0 || (connect(row->fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS) ||
		watch(p, row->fd, EPOLLOUT, row, EPOLL_CTL_ADD) < 0)
		fail_row(p, row, strerror(errno));
	freeaddrinfo(list);
}

static void ask(struct preflight *p, struct row *row)
{
	int why = 0;
	socklen_t len = sizeof why;
	getsockopt(row->fd, SOL_SOCKET, SO_ERROR, &why, &len);
	char text[ASK];
	memcpy(text, p->ask, TOKEN);
	put32(text + TOKEN, p->options->node);
	put32(text + TOKEN + 4, row->peer->node);
	row->sent = clock_wall();
	errno = why;
	if (why || !send_all(row->fd, text, sizeof text) || watch(p, row->fd, EPOLLIN, row, EPOLL_CTL_MOD) < 0) {
		fail_row(p, row, strerror(errno));
		return;
	}
	row->step = ASKED;
}

static void ping(struct preflight *p, struct row *row)
{
	row->sent = clock_wall();
	if (!send_all(row->fd, "p", 1))
		fail_row(p, row, strerror(errno));
}

// Ends the flood when its time is over and every block has been acknowledged.
static void end_flood(struct preflight *p, struct row *row)
{
	double seconds = clock_mono() - row->flood_started;
	if (seconds < flood_seconds || row->block_left > 0 || row->acknowledged < row->blocks)
		return;
	row->bandwidth = (double)row->blocks * BLOCK / seconds;
	end_row(p, row);
}

// Sends blocks for a while, as fast as they are taken.
static void flood(struct preflight *p, struct row *row)
{
	for (int i = 0; i < 64; i++) { // then the guests get their turn
		if (row->block_left == 0) {
			if (clock_mono() - row->flood_started >= flood_seconds) {
				watch(p, row->fd, EPOLLIN, row, EPOLL_CTL_MOD);
				end_flood(p, row);
				return;
			}
			row->blocks++;
			row->block_left = BLOCK + 1;
		}
		block[0] = 'b'; // the other bytes of a block mean nothing
		size_t rest = row->block_left <= BLOCK ? row->block_left : 1;
		ssize_t sent = send(row->fd, block, rest, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0 && errno == EAGAIN)
			return;
		if (sent < 0) {
			fail_row(p, row, strerror(errno));
			return;
		}
		row->block_left -= (size_t)sent;
	}
}

static void on_pong(struct preflight *p, struct row *row, const char *pong)
{
	if (row->step == FLOODING) {
		row->acknowledged++;
		end_flood(p, row);
		return;
	}
	double now = clock_wall(), latency = now - row->sent;
	uint64_t raw;
	memcpy(&raw, pong, sizeof raw);
	if (row->echoes == 0 || latency < row->latency) {
		row->latency = latency;
		row->offset = (double)be64toh(raw) * 1e-6 - (row->sent + now) / 2;
	}
	if (++row->echoes < (p->options->bandwidth ? ECHOES : 1)) {
		ping(p, row);
	} else if (p->options->bandwidth) {
		row->step = FLOODING;
		row->flood_started = clock_mono();
		watch(p, row->fd, EPOLLIN | EPOLLOUT, row, EPOLL_CTL_MOD);
	} else {
		end_row(p, row);
		be_impatient(p, row);
	}
}

static void on_answer(struct preflight *p, struct row *row)
{
	size_t node = get32(row->in + TOKEN);
	if (node != row->peer->node) {
		autofree char *why = mem_printf("node %zu answers there", node);
		fail_row(p, row, why);
	} else {
		row->step = ECHOING;
		on_pong(p, row, row->in + TOKEN + 4);
	}
}

static void listen_to(struct preflight *p, struct row *row)
{
	size_t want = row->step == ASKED ? ANSWER : PONG;
	ssize_t got = recv(row->fd, row->in + row->have, want - row->have, MSG_DONTWAIT);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		fail_row(p, row,
			got < 0 ? strerror(errno) : "it accepts the connection and closes it without an answer");
		return;
	}
	row->have += (size_t)got;
	// The first wrong byte tells: a stranger may say less than an answer and wait.
	if (row->step == ASKED && memcmp(row->in, p->answer, row->have < TOKEN ? row->have : TOKEN) != 0) {
		fail_row(p, row, "a program that is not part of this run answers there");
		return;
	}
	if (row->have < want)
		return;
	row->have = 0;
	if (row->step == ASKED)
		on_answer(p, row);
	else
		on_pong(p, row, row->in);
}

static void on_row(struct preflight *p, struct row *row, unsigned events)
{
	if (row->done)
		return;
	if (row->step == CONNECTING)
		ask(p, row);
	else if (events & ~(unsigned)EPOLLOUT)
		listen_to(p, row);
	if (!row->done && row->step == FLOODING && events & EPOLLOUT)
		flood(p, row);
}

// Those whose time is over; the first of the others is the next deadline.
static void give_up(struct preflight *p)
{
	double now = clock_mono();
	p->deadline = INFINITY;
	for (size_t i = 0; i < p->nrows; i++) {
		struct row *row = &p->rows[i];
		if (row->done)
			continue;
		if (row->deadline > now) {
			hurry(p, row, row->deadline);
			continue;
		}
		if (!row->where)
			set_where(row, row->peer->address);
		autofree char *why = mem_printf(row->step == CONNECTING
							? "no connection within %g s: packets are dropped"
							: "it accepts the connection but does not answer within %g s",
			round((row->deadline - row->since) * 10) / 10);
		fail_row(p, row, why);
	}
}

// --- the result -------------------------------------------------------------

static double free_memory(void)
{
	autofree char *text = fs_read("/proc/meminfo", 65536, NULL, NULL);
	const char *line = text ? strstr(text, "MemAvailable:") : NULL;
	if (line)
		return strtod(line + strlen("MemAvailable:"), NULL) * 1024;
	struct sysinfo info;
	if (sysinfo(&info) < 0)
		return 0;
	return ((double)info.freeram + (double)info.bufferram) * info.mem_unit;
}

static double free_disk(const char *dir)
{
	struct statvfs v;
	return statvfs(dir, &v) < 0 ? 0 : (double)v.f_bavail * (double)v.f_frsize;
}

// Microseconds are enough, and there is a row for every pair of nodes.
static json_t *rounded(double seconds)
{
	return json_real(round(seconds * 1e6) / 1e6);
}

static json_t *print_row(const struct row *row)
{
	const struct preflight_peer *peer = row->peer;
	if (row->why)
		return mem_json("{s:I, s:s, s:s, s:i, s:b, s:s}", "to", (json_int_t)peer->node, "name", peer->name,
			"address", row->address, "port", peer->port, "ok", 0, "why", row->why);
	json_t *out = mem_json("{s:I, s:b, s:o, s:o}", "to", (json_int_t)peer->node, "ok", 1, "latency",
		rounded(row->latency), "offset", rounded(row->offset));
	if (row->bandwidth > 0)
		json_object_set_new(out, "bandwidth", json_real(row->bandwidth));
	return out;
}

static int report(struct preflight *p, struct error *err)
{
	json_t *rows = json_array();
	for (size_t i = 0; i < p->nrows; i++)
		json_array_append_new(rows, print_row(&p->rows[i]));
	autojson json_t *event = event_make("preflight", "s:I, s:f, s:f, s:o", "node", (json_int_t)p->options->node,
		"disk", free_disk(p->options->dir), "memory", free_memory(), "rows", rows);
	autofree char *line = event_print(event);
	return fs_write_fd(p->options->out, line, strlen(line), err);
}

// --- the loop ---------------------------------------------------------------

// Dials whoever is next: all at once, or one after the other when the bandwidth is measured. Returns where to go on.
static size_t dial_next(struct preflight *p, size_t next)
{
	while (next < p->nrows && (!p->options->bandwidth || p->left == p->nrows - next))
		dial(p, &p->rows[next++]);
	return next;
}

static void dispatch(struct preflight *p, const struct epoll_event *ev)
{
	char *ptr = ev->data.ptr;
	if (ptr == (char *)p)
		accept_guests(p);
	else if (ptr >= (char *)p->rows && ptr < (char *)(p->rows + p->nrows))
		on_row(p, (struct row *)ptr, ev->events);
	else
		serve(p, (struct guest *)ptr);
}

static int wait_milliseconds(const struct preflight *p)
{
	double left = p->deadline - clock_mono();
	return p->left == 0 ? -1 : left <= 0 ? 0 : (int)ceil(left * 1000);
}

static int run(struct preflight *p, struct error *err)
{
	// A guest that accept_guests dismisses may still have an event in the same batch: one event at a time has no
	// such trap, and costs one system call more.
	struct epoll_event ev;
	bool reported = false;
	p->deadline = clock_mono() + p->options->deadline;
	for (size_t i = 0; i < p->nrows; i++) {
		p->rows[i].since = clock_mono();
		p->rows[i].deadline = p->deadline;
	}
	for (size_t next = 0;;) {
		next = dial_next(p, next);
		if (p->left > 0 && clock_mono() >= p->deadline)
			give_up(p);
		if (p->left == 0 && !reported) {
			if (report(p, err) < 0)
				return -1;
			reported = true;
		}
		int n = epoll_wait(p->epoll, &ev, 1, wait_milliseconds(p));
		if (n < 0 && errno != EINTR)
			return error_errno(err, "preflight cannot wait");
		if (n > 0 && !ev.data.ptr)
			return 0; // the control
		if (n > 0)
			dispatch(p, &ev);
	}
}

static void clean_up(struct preflight *p)
{
	while (p->guests)
		dismiss(p, p->guests);
	for (size_t i = 0; i < p->nrows; i++) {
		if (p->rows[i].fd >= 0)
			close(p->rows[i].fd);
		free(p->rows[i].where);
		free(p->rows[i].why);
	}
	free(p->rows);
	if (p->epoll >= 0)
		close(p->epoll);
}

int preflight_run(const struct preflight_options *options, struct error *err)
{
	struct preflight p = {.options = options, .epoll = epoll_create1(EPOLL_CLOEXEC)};
	// What else nsswitch.conf may name is loaded from shared objects, which a static program had better not do; and
	// a name server that is gone must not take longer than the deadline.
	__nss_configure_lookup("hosts", "files dns");
	setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
	crypto_token(options->nonce, "preflight:ask", p.ask);
	crypto_token(options->nonce, "preflight:answer", p.answer);
	p.rows = mem_alloc((options->npeers + 1) * sizeof *p.rows);
	for (size_t i = 0; i < options->npeers; i++)
		if (options->peers[i].node != options->node)
			p.rows[p.nrows++] = (struct row){.peer = &options->peers[i], .fd = -1};
	p.left = p.nrows;
	int flags = fcntl(options->listener, F_GETFL);
	int rc;
	if (p.epoll < 0 || flags < 0 || fcntl(options->listener, F_SETFL, flags | O_NONBLOCK) < 0 ||
		watch(&p, options->listener, EPOLLIN, &p, EPOLL_CTL_ADD) < 0 ||
		watch(&p, options->control, EPOLLIN, NULL, EPOLL_CTL_ADD) < 0)
		rc = error_errno(err, "preflight cannot start");
	else
		rc = run(&p, err);
	clean_up(&p);
	return rc;
}
