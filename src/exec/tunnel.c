#include "exec/tunnel.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024, NOISE_MAX = 64 * 1024 };

static const double retry_first = 0.05, retry_max = 1, drain_seconds = 1;
// A node that is dead may answer after half a minute: after this those that wait for their turn go first.
static const double slow_after = 5;
static const char bridge_word[] = "muster-bridge ";

enum state {
	CLOSED,   // and nobody wants it open, or for good
	WAITING,  // to be opened at a time
	TALKING,  // in lines, until the bridge is ready
	CARRYING, // bytes; local is connected once there were any
	DRAINING, // the controller has hung up; the node is told
};

// Bytes that were read and are yet to be written.
struct way {
	char *bytes; // CHUNK; NULL until it is needed
	size_t at, end;
	bool over; // nothing more comes
};

struct tunnel {
	enum state state;
	json_t *config;
	int fd, local;
	enum tunnel_reach reach; // of the stream that is open
	bool ready;              // at least once
	bool gone;               // its bridge said that there is no agent
	bool wanted;
	bool closing;       // the executor does its part
	bool anew;          // asked for when its stream was over: opened again whatever the executor says
	double retry, time; // the next pause; when to open it, when talking began, or when draining is over
	struct str in;      // what it said so far in lines
	char *config_line;
	const char *out; // what it is answered
	size_t out_len;
	struct way up, down; // to the controller, to the node
	struct error err;    // why it is closed
};

struct tunnels {
	struct tunnel_options options;
	char *url;
	struct sockaddr_in controller;
	struct tunnel *list;
	pthread_t thread;
	pthread_mutex_t lock; // all of this, but while the thread waits or the executor does its part
	pthread_cond_t changed;
	int wake;
	bool stopping;
	double end; // of stopping
};

// --- opening and closing ----------------------------------------------------------

static void wake(struct tunnels *t)
{
	eventfd_write(t->wake, 1);
}

static void set_nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static size_t number(const struct tunnels *t, const struct tunnel *u)
{
	return (size_t)(u - t->list);
}

// The agent dials the controller itself, and was found or started: there is nothing to carry.
static bool is_done(const struct tunnel *u)
{
	return u->reach == TUNNEL_READY && json_is_true(json_object_get(u->config, "direct"));
}

// The executor may wait for an engine or for a process: nobody else is to wait for that.
static bool wanted_again(struct tunnels *t, struct tunnel *u)
{
	bool again = u->ready, done = is_done(u);
	if (t->options.ops->closed) {
		struct error err = u->err;
		enum tunnel_reach reach = u->reach;
		u->closing = true;
		pthread_mutex_unlock(&t->lock);
		again = t->options.ops->closed(number(t, u), reach, &err, t->options.data);
		pthread_mutex_lock(&t->lock);
		u->closing = false;
		u->err = err;
	}
	again = (again && !done) || u->anew;
	u->anew = false;
	return again && u->wanted && !u->gone && !t->stopping;
}

static void enter(struct tunnels *t, struct tunnel *u, enum state state)
{
	u->state = state;
	pthread_cond_broadcast(&t->changed);
}

// Between half the pause and one and a half: what was cut at once is not to come back at once.
static double scatter(double pause)
{
	unsigned random;
	crypto_random(&random, sizeof random);
	return pause * (0.5 + random % 1024 / 1024.0);
}

// The stream has ended, whoever ended it.
static void shut(struct tunnels *t, struct tunnel *u)
{
	mem_cleanup_fd(&u->fd);
	mem_cleanup_fd(&u->local);
	u->fd = u->local = -1;
	free(steal(u->up.bytes));
	free(steal(u->down.bytes));
	u->up = u->down = (struct way){0};
	str_fini(&u->in);
	u->out_len = 0;
	if (!wanted_again(t, u)) {
		enter(t, u, CLOSED);
		return;
	}
	bool ready = u->reach == TUNNEL_READY || u->reach == TUNNEL_CUT;
	double first = t->options.breath > 0 ? t->options.breath : retry_first;
	u->retry = ready ? first : u->retry * 2 < retry_max ? u->retry * 2 : retry_max;
	u->time = clock_mono() + scatter(u->retry);
	enter(t, u, WAITING);
}

static void open_stream(struct tunnels *t, struct tunnel *u)
{
	enter(t, u, TALKING);
	u->time = clock_mono();
	u->err = (struct error){0};
	u->reach = TUNNEL_SILENT;
	pthread_mutex_unlock(&t->lock);
	struct error err = {0};
	int fd = t->options.ops->open(number(t, u), t->options.data, &err);
	pthread_mutex_lock(&t->lock);
	u->fd = fd;
	u->err = err;
	if (u->fd < 0)
		shut(t, u);
	else
		set_nonblocking(u->fd);
}

// How many more may be opened now. *next becomes when that may change by itself, if that is sooner.
static size_t turns(const struct tunnels *t, double *next)
{
	size_t talking = 0;
	double now = clock_mono(), first = INFINITY;
	for (size_t i = 0; i < t->options.count; i++) {
		const struct tunnel *u = &t->list[i];
		if (u->state != TALKING || now - u->time >= slow_after)
			continue;
		talking++;
		first = fmin(first, u->time + slow_after);
	}
	if (talking < t->options.at_once)
		return t->options.at_once - talking;
	*next = fmin(*next, first);
	return 0;
}

static void open_due(struct tunnels *t)
{
	double never = INFINITY;
	size_t left = turns(t, &never);
	for (size_t i = 0; i < t->options.count && left; i++) {
		struct tunnel *u = &t->list[i];
		if (u->state != WAITING || u->time > clock_mono())
			continue;
		open_stream(t, u);
		left -= u->state == TALKING;
	}
}

// --- talking ----------------------------------------------------------------------

static void answer(struct tunnel *u, const void *bytes, size_t len)
{
	u->out = bytes;
	u->out_len = bytes ? len : 0;
}

static void send_config(struct tunnel *u)
{
	if (u->ready)
		json_object_set_new(u->config, "again", json_true());
	u->reach = TUNNEL_TOLD;
	autofree char *text = json_dumps(u->config, JSON_COMPACT);
	free(u->config_line);
	u->config_line = mem_printf("%s\n", text);
	answer(u, u->config_line, strlen(u->config_line));
}

static void start_draining(struct tunnels *t, struct tunnel *u)
{
	shutdown(u->fd, SHUT_WR);
	u->time = clock_mono() + drain_seconds;
	enter(t, u, DRAINING);
}

static void say_ready(struct tunnels *t, struct tunnel *u)
{
	if (!t->options.ops->ready)
		return;
	pthread_mutex_unlock(&t->lock);
	t->options.ops->ready(number(t, u), t->options.data);
	pthread_mutex_lock(&t->lock);
}

static void on_line(struct tunnels *t, struct tunnel *u, const char *line)
{
	const char *word = str_starts(line, bridge_word) ? line + strlen(bridge_word) : NULL;
	if (!word) {
		size_t len = 0;
		const void *bytes = NULL;
		if (t->options.ops->answer) {
			pthread_mutex_unlock(&t->lock);
			bytes = t->options.ops->answer(number(t, u), line, &len, t->options.data);
			pthread_mutex_lock(&t->lock);
		}
		if (bytes)
			answer(u, bytes, len);
		else if (*line && !u->gone)
			error_set(&u->err, ERROR_SYSTEM, "%s", line);
	} else if (strcmp(word, "config") == 0)
		send_config(u);
	else if (strcmp(word, "ready") == 0) {
		u->ready = true;
		u->reach = TUNNEL_READY;
		u->err = (struct error){0};
		if (is_done(u))
			start_draining(t, u);
		else
			enter(t, u, CARRYING);
		say_ready(t, u);
	} else if (str_starts(word, "gone")) {
		u->gone = true;
		u->reach = TUNNEL_GONE;
		error_set(&u->err, ERROR_SYSTEM, "%s", word[4] ? word + 5 : "its bridge gives no reason");
	}
}

// Hands the whole lines out. What follows the last of them, once the bridge is ready, are bytes already.
static void read_lines(struct tunnels *t, struct tunnel *u)
{
	size_t at = 0;
	for (char *end; u->state == TALKING && (end = memchr(u->in.text + at, '\n', u->in.len - at));
		at = (size_t)(end - u->in.text) + 1) {
		size_t len = (size_t)(end - u->in.text) - at;
		autofree char *line = str_utf8_clean(u->in.text + at, len - (len && end[-1] == '\r'));
		on_line(t, u, line);
	}
	if (u->state == CARRYING && at < u->in.len) {
		u->up.bytes = mem_alloc(CHUNK);
		u->up.end = u->in.len - at;
		memcpy(u->up.bytes, u->in.text + at, u->up.end);
	}
	memmove(u->in.text, u->in.text + at, u->in.len - at);
	u->in.len -= at;
}

static bool later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void talk(struct tunnels *t, struct tunnel *u)
{
	while (u->out_len) {
		ssize_t n = send(u->fd, u->out, u->out_len, MSG_NOSIGNAL);
		if (n < 0)
			break; // its end is found where it is read
		u->out += n;
		u->out_len -= (size_t)n;
	}
	char bytes[CHUNK];
	ssize_t n = read(u->fd, bytes, sizeof bytes / 2);
	if (n < 0 && later())
		return;
	if (n > 0)
		str_add(&u->in, bytes, (size_t)n);
	if (n > 0 || u->in.len)
		read_lines(t, u);
	if (u->state != TALKING)
		return;
	if (n > 0 && u->in.len < NOISE_MAX)
		return;
	if (u->in.len)
		error_set(&u->err, ERROR_SYSTEM, "%s",
			n > 0 ? "the login shell printed 64 KiB before the bridge's greeting: check its start-up files"
			      : u->in.text);
	shut(t, u);
}

static void check_time(struct tunnels *t, struct tunnel *u)
{
	if (t->options.within <= 0 || clock_mono() - u->time < t->options.within)
		return;
	if (!*u->err.text)
		error_set(&u->err, ERROR_SYSTEM, "no answer from the node within %g s", t->options.within);
	shut(t, u);
}

// --- carrying ---------------------------------------------------------------------

// False when nobody takes them any more.
static bool move(struct way *way, int from, int to)
{
	if (!way->bytes)
		way->bytes = mem_alloc(CHUNK);
	if (way->at == way->end && !way->over) {
		ssize_t n = read(from, way->bytes, CHUNK);
		way->over = n == 0 || (n < 0 && !later());
		way->at = 0;
		way->end = n > 0 ? (size_t)n : 0;
	}
	while (way->at < way->end) {
		ssize_t n = send(to, way->bytes + way->at, way->end - way->at, MSG_NOSIGNAL);
		if (n < 0 && errno != EINTR)
			return later();
		way->at += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool is_empty(const struct way *way)
{
	return way->at == way->end;
}

static bool connect_local(const struct tunnels *t, struct tunnel *u)
{
	int at_once = 1; // what comes in small pieces would wait 40 ms for an acknowledgement that comes late
	u->local = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(u->local, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
	if (u->local < 0 || connect(u->local, (const struct sockaddr *)&t->controller, sizeof t->controller))
		return false;
	set_nonblocking(u->local);
	return true;
}

// The first bytes: the agent has dialled.
static void begin(struct tunnels *t, struct tunnel *u)
{
	if (!u->up.bytes)
		u->up.bytes = mem_alloc(CHUNK);
	ssize_t n = is_empty(&u->up) ? read(u->fd, u->up.bytes, CHUNK) : (ssize_t)u->up.end;
	if (n < 0 && later())
		return;
	u->up.end = n > 0 ? (size_t)n : 0;
	if (n <= 0 || !connect_local(t, u))
		shut(t, u);
}

// The controller has hung up. What it said before goes to the node as far as the stream takes it now: it may never
// again.
static void end_line(struct tunnels *t, struct tunnel *u)
{
	while (move(&u->down, u->local, u->fd) && is_empty(&u->down) && !u->down.over)
		;
	start_draining(t, u);
}

static void carry(struct tunnels *t, struct tunnel *u, short local)
{
	bool up = move(&u->up, u->fd, u->local);
	if (!up || (local & (POLLRDHUP | POLLHUP | POLLERR)))
		end_line(t, u);
	else if (!move(&u->down, u->local, u->fd) || (u->up.over && is_empty(&u->up)))
		shut(t, u);
}

static void drain(struct tunnels *t, struct tunnel *u)
{
	char bytes[CHUNK];
	ssize_t n;
	while ((n = read(u->fd, bytes, sizeof bytes)) > 0)
		;
	bool ended = n == 0 || !later();
	if (!ended && clock_mono() <= u->time)
		return;
	u->reach = ended || is_done(u) ? u->reach : TUNNEL_CUT;
	shut(t, u);
}

// --- the thread -------------------------------------------------------------------

static short events_of(const struct tunnel *u, bool local)
{
	if (u->state == TALKING)
		return (short)(POLLIN | (u->out_len ? POLLOUT : 0));
	if (u->state == DRAINING)
		return POLLIN;
	const struct way *from = local ? &u->down : &u->up, *to = local ? &u->up : &u->down;
	return (short)((is_empty(from) && !from->over ? POLLIN : 0) | (is_empty(to) ? 0 : POLLOUT) |
		       (local ? POLLRDHUP : 0));
}

// Two places a tunnel, the last one is the wake-up. Returns how long to wait at most, in ms.
static int prepare(const struct tunnels *t, struct pollfd *fds)
{
	double next = t->stopping ? t->end : clock_mono() + 3600;
	bool turn = turns(t, &next) > 0;
	for (size_t i = 0; i < t->options.count; i++) {
		const struct tunnel *u = &t->list[i];
		short events = events_of(u, false); // with none of them an end would be told again and again
		fds[2 * i] = (struct pollfd){.fd = events ? u->fd : -1, .events = events};
		fds[2 * i + 1] =
			(struct pollfd){.fd = u->state == CARRYING ? u->local : -1, .events = events_of(u, true)};
		bool timed = u->state == DRAINING || (u->state == WAITING && turn);
		next = timed ? fmin(next, u->time) : next;
		next = u->state == TALKING && t->options.within > 0 ? fmin(next, u->time + t->options.within) : next;
	}
	fds[2 * t->options.count] = (struct pollfd){.fd = t->wake, .events = POLLIN};
	double wait = (next - clock_mono()) * 1000;
	return wait < 0 ? 0 : (int)wait + 1;
}

static void serve(struct tunnels *t, const struct pollfd *fds)
{
	for (size_t i = 0; i < t->options.count; i++) {
		struct tunnel *u = &t->list[i];
		short stream = fds[2 * i].revents, local = fds[2 * i + 1].revents;
		if (u->state == TALKING && stream)
			talk(t, u);
		else if (u->state == TALKING)
			check_time(t, u);
		else if (u->state == CARRYING && u->local >= 0 && (stream || local))
			carry(t, u, local);
		else if (u->state == DRAINING && (stream || clock_mono() > u->time))
			drain(t, u);
		// Bytes may have come together with the word that it is ready.
		if (u->state == CARRYING && u->local < 0 && (stream || !is_empty(&u->up)))
			begin(t, u);
	}
}

// Only what has carried something is worth waiting for: its agent may be about to leave.
static bool all_shut(struct tunnels *t)
{
	bool over = clock_mono() >= t->end, all = true;
	for (size_t i = 0; i < t->options.count; i++) {
		struct tunnel *u = &t->list[i];
		bool stays = (u->state == CARRYING && u->local >= 0) || u->state == DRAINING;
		if (u->state == WAITING)
			enter(t, u, CLOSED);
		else if (u->state != CLOSED && (over || !stays))
			shut(t, u);
		all = all && u->state == CLOSED;
	}
	return all;
}

static void *tunnel_main(void *data)
{
	struct tunnels *t = data;
	size_t count = 2 * t->options.count + 1;
	autofree struct pollfd *fds = mem_alloc(count * sizeof *fds);
	pthread_mutex_lock(&t->lock);
	while (!t->stopping || !all_shut(t)) {
		if (!t->stopping)
			open_due(t);
		int wait = prepare(t, fds);
		pthread_mutex_unlock(&t->lock);
		poll(fds, count, wait);
		pthread_mutex_lock(&t->lock);
		eventfd_t many;
		if (fds[count - 1].revents)
			eventfd_read(t->wake, &many);
		serve(t, fds);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

// --- for the executor -------------------------------------------------------------

static int parse_url(const char *url, struct sockaddr_in *a, struct error *err)
{
	const char *colon = strrchr(url, ':');
	autofree char *host =
		colon && str_starts(url, "wss://") ? mem_strndup(url + 6, (size_t)(colon - url - 6)) : mem_strdup("");
	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(colon ? (uint16_t)atoi(colon + 1) : 0)};
	if (inet_pton(AF_INET, host, &a->sin_addr) != 1)
		return error_set(
			err, ERROR_SYSTEM, "'%s' is not a controller address, expected wss://ADDRESS:PORT", url);
	return 0;
}

static void dispose(struct tunnels *t)
{
	for (size_t i = 0; i < t->options.count; i++) {
		json_decref(t->list[i].config);
		free(t->list[i].config_line);
		str_fini(&t->list[i].in);
	}
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->lock);
	mem_cleanup_fd(&t->wake);
	free(t->list);
	free(t);
}

struct tunnels *tunnel_start(const struct tunnel_options *options, struct error *err)
{
	struct tunnels *t = mem_alloc(sizeof *t);
	t->options = *options;
	t->list = mem_alloc((options->count + 1) * sizeof *t->list);
	for (size_t i = 0; i < options->count; i++)
		t->list[i] = (struct tunnel){.fd = -1, .local = -1};
	pthread_mutex_init(&t->lock, NULL);
	thread_cond_init(&t->changed);
	t->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = t->wake < 0 ? error_errno(err, "cannot make an event descriptor")
			     : parse_url(options->url, &t->controller, err);
	if (!rc && (errno = pthread_create(&t->thread, NULL, tunnel_main, t)))
		rc = error_errno(err, "cannot start a thread");
	if (!rc)
		return t;
	dispose(t);
	return NULL;
}

void tunnel_open(struct tunnels *t, size_t node, json_t *config)
{
	pthread_mutex_lock(&t->lock);
	struct tunnel *u = &t->list[node];
	u->wanted = true;
	if (u->state == CARRYING && !u->closing)
		json_decref(config);
	else {
		json_decref(u->config);
		u->config = config;
		u->ready = u->gone = false;
		u->anew = u->closing || u->state == DRAINING;
	}
	if (u->state == CLOSED || u->state == WAITING) {
		u->retry = retry_first;
		u->time = 0;
		u->err = (struct error){0};
		enter(t, u, WAITING);
		wake(t);
	}
	pthread_mutex_unlock(&t->lock);
}

// Until something changes; but not for long, as somebody may cancel without a word to us.
static void wait_a_little(struct tunnels *t)
{
	thread_cond_wait(&t->changed, &t->lock, 0.1);
}

bool tunnel_close(struct tunnels *t, size_t node, double seconds)
{
	double end = clock_mono() + seconds;
	pthread_mutex_lock(&t->lock);
	struct tunnel *u = &t->list[node];
	u->wanted = false;
	if (u->state == WAITING)
		enter(t, u, CLOSED);
	while (u->state != CLOSED && clock_mono() < end)
		wait_a_little(t);
	bool ended = u->state == CLOSED;
	pthread_mutex_unlock(&t->lock);
	return ended;
}

// The first that will never be ready, else the first that is not yet; the count: all are.
static size_t find_unready(const struct tunnels *t)
{
	size_t first = t->options.count;
	for (size_t i = t->options.count; i-- > 0;) {
		const struct tunnel *u = &t->list[i];
		bool lost = u->state == CLOSED && (!u->ready || u->gone);
		if (u->wanted && lost)
			return i;
		if (u->wanted && !u->ready)
			first = i;
	}
	return first;
}

// Checks once; 0: all are ready, 1: not yet.
static int look(struct tunnels *t, double end, const atomic_bool *cancelled, size_t *node, struct error *err)
{
	*node = find_unready(t);
	if (*node == t->options.count)
		return 0;
	const struct tunnel *u = &t->list[*node];
	if (u->state == CLOSED) {
		if (err)
			*err = u->err;
		return err && !*err->text ? error_set(err, ERROR_SYSTEM, "the connection was closed without a message")
					  : -1;
	}
	if (clock_mono() > end)
		return error_set(err, ERROR_SYSTEM, "no agent in time%s%s", *u->err.text ? ": " : "", u->err.text);
	if (!cancelled || !*cancelled)
		return 1;
	*node = t->options.count;
	return error_set(err, ERROR_CANCELLED, "cancelled while the agents were started");
}

int tunnel_wait(struct tunnels *t, double seconds, const atomic_bool *cancelled, size_t *node, struct error *err)
{
	double end = clock_mono() + seconds;
	pthread_mutex_lock(&t->lock);
	int rc;
	while ((rc = look(t, end, cancelled, node, err)) == 1)
		wait_a_little(t);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

void tunnel_stop(struct tunnels *t, double seconds)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	t->end = clock_mono() + seconds;
	wake(t);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	dispose(t);
}
