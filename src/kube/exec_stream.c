#include "kube/exec_stream.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/url.h"
#include "kube/websocket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Each stream has a thread: opening one waits for a connection, TLS and an answer, encryption of many streams takes
// more than one processor, and a stream that is stuck is stuck alone.
enum { STACK = 512 * 1024 };

enum { CHUNK = 32 * 1024, MESSAGE = 32 * 1024, WAITS_MAX = 1 << 20, TEXT_MAX = 64 * 1024, SAID_MAX = 900 };
enum { STDIN = 0, STDOUT = 1, STDERR = 2, STATUS = 3, CLOSE = 255 }; // the first byte of a message

static const double ping_every = 15, silence_max = 45, end_within = 5;

struct stream {
	struct stream *next;
	struct api_server *server;
	char *path;
	int fd; // our end of the pair
	struct http_stream *http;
	struct websocket *ws;
	bool can_close;        // the protocol knows an end of input
	atomic_bool cancelled; // nobody waits for it to be opened any more
	// From the API server: a message that is coming, and what is yet to be read at the other end of the pair.
	int channel; // -1 before the first byte
	struct str errors, status;
	char *complaint; // the last line of standard error
	bool text;       // all output so far was some
	struct str out;
	size_t out_at;
	bool eof;                  // the caller gives no more input
	bool ended;                // the command has, as far as the server says
	double heard, pinged, end; // end: when it is over in any case, 0: not known
};

// The streams that are open, of all servers.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct stream *streams;

static bool later(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

// --- words ------------------------------------------------------------------------

char *exec_stream_path(const char *namespace, const char *pod, const char *container, const json_t *argv)
{
	struct str path = {0};
	autofree char *in = url_quote(namespace), *of = url_quote(pod), *which = url_quote(container);
	str_printf(&path, "/api/v1/namespaces/%s/pods/%s/exec?container=%s&stdin=true&stdout=true&stderr=true", in, of,
		which);
	size_t i;
	const json_t *word;
	json_array_foreach (argv, i, word) {
		autofree char *quoted = url_quote(json_string_value(word));
		str_printf(&path, "&command=%s", quoted);
	}
	return str_steal(&path);
}

// The number in details.causes, -1 where there is none.
static int exit_code(const json_t *status)
{
	size_t i;
	const json_t *cause;
	json_array_foreach (json_object_get(json_object_get(status, "details"), "causes"), i, cause)
		if (strcmp(json_text_or(cause, "reason", ""), "ExitCode") == 0)
			return atoi(json_text_or(cause, "message", "-1"));
	return -1;
}

char *exec_stream_verdict(const json_t *status)
{
	static const char again[] = "Internal error occurred: ";
	const char *said = json_text_or(status, "status", ""), *text = json_text_or(status, "message", "");
	if (strcmp(said, "Success") == 0)
		return NULL;
	int code = exit_code(status);
	if (code >= 0)
		return mem_printf("the command ended with status %d%s", code, code == 137 ? " (killed)" : "");
	while (str_starts(text, again))
		text += strlen(again);
	return *text ? mem_printf("the API server says: %s", text)
		     : mem_printf("the API server ended the command without a message");
}

// A line among what can be read at the other end, if that is text so far. The line before may lack its end. It does
// nothing to a terminal.
static void say(struct stream *s, const char *line)
{
	autofree char *clean = str_utf8_clean(line, strlen(line));
	for (char *at = clean; *at; at++)
		*at = (unsigned char)*at < ' ' || *at == 0x7f ? ' ' : *at;
	if (s->text && *clean)
		str_printf(&s->out, "\n%.*s\n", SAID_MAX, clean);
}

// --- from the API server ----------------------------------------------------------

static bool is_text(const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i] < 0x20 && bytes[i] != '\n' && bytes[i] != '\r' && bytes[i] != '\t')
			return false;
	return true;
}

static void add_some(struct str *text, const void *bytes, size_t len)
{
	size_t room = TEXT_MAX - text->len;
	str_add(text, bytes, len < room ? len : room);
}

// Hands out the whole lines of standard error; all of it at the end.
static void say_errors(struct stream *s, bool all)
{
	size_t at = 0;
	while (at < s->errors.len) {
		const char *from = s->errors.text + at, *end = memchr(from, '\n', s->errors.len - at);
		if (!end && !all && s->errors.len - at < TEXT_MAX / 2)
			break;
		size_t len = end ? (size_t)(end - from) : s->errors.len - at;
		autofree char *line = mem_strndup(from, len);
		say(s, line);
		if (*line) {
			free(s->complaint);
			s->complaint = mem_strdup(line);
		}
		at += len + (end != NULL);
	}
	if (at)
		memmove(s->errors.text, s->errors.text + at, s->errors.len - at);
	s->errors.len -= at;
}

static void on_bytes(const unsigned char *bytes, size_t len, void *data)
{
	struct stream *s = data;
	if (s->channel < 0) {
		s->channel = *bytes++;
		len--;
	}
	if (s->channel == STDOUT) {
		s->text = s->text && is_text(bytes, len);
		str_add(&s->out, bytes, len);
	} else if (s->channel == STDERR) {
		add_some(&s->errors, bytes, len);
		say_errors(s, false);
	} else if (s->channel == STATUS)
		add_some(&s->status, bytes, len);
}

// The Status comes when the command has ended, or never. The last of the output may come after it.
static void on_status(struct stream *s)
{
	autojson json_t *status = json_loadb(s->status.text, s->status.len, 0, NULL);
	say_errors(s, true);
	autofree char *verdict =
		status ? exec_stream_verdict(status) : mem_printf("the command ended without a status");
	autofree char *line = verdict && s->complaint && exit_code(status) >= 0
				      ? mem_printf("%s (%s)", s->complaint, verdict)
				      : steal(verdict);
	if (line)
		say(s, line);
	s->ended = true;
	s->end = clock_mono() + end_within;
}

static void on_end(void *data)
{
	struct stream *s = data;
	if (s->channel == STATUS && !s->ended)
		on_status(s);
	s->channel = -1;
}

static const struct websocket_ops ops = {on_bytes, on_end};

// The last words, for a reader who may not come.
static void part(struct stream *s, const char *why)
{
	say_errors(s, true);
	say(s, why);
	if (s->out_at < s->out.len)
		(void)!send(s->fd, s->out.text + s->out_at, s->out.len - s->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// False when nobody takes it any more.
static bool hand_out(struct stream *s)
{
	while (s->out_at < s->out.len) {
		ssize_t n = send(s->fd, s->out.text + s->out_at, s->out.len - s->out_at, MSG_NOSIGNAL);
		if (n < 0)
			return later(n);
		s->out_at += (size_t)n;
	}
	s->out_at = s->out.len = 0;
	return true;
}

// From the connection to the pair: no more than there is room for. False at the end.
static bool come(struct stream *s)
{
	if (!hand_out(s))
		return false;
	if (s->out.len)
		return true;
	if (websocket_is_closed(s->ws)) {
		part(s, s->ended || s->eof ? "" : "the API server closed the connection");
		return false;
	}
	unsigned char bytes[CHUNK];
	ssize_t n = http_stream_read(s->http, bytes, sizeof bytes);
	if (later(n))
		return true;
	struct error err = {0};
	if (n <= 0 && !s->ended)
		error_set(&err, ERROR_SYSTEM, "the connection to the API server broke%s%s", n ? ": " : "",
			n ? strerror(errno) : "");
	if (n <= 0 || websocket_take(s->ws, bytes, (size_t)n, &err) < 0) {
		part(s, err.text);
		return false;
	}
	s->heard = clock_mono();
	return hand_out(s);
}

// --- to the API server --------------------------------------------------------------

static void end_input(struct stream *s)
{
	static const unsigned char closed[] = {CLOSE, STDIN};
	s->eof = true;
	if (s->can_close)
		websocket_send(s->ws, closed, sizeof closed);
	else
		websocket_close(s->ws);
	s->end = s->end ? s->end : clock_mono() + end_within;
}

// False when nobody takes it any more. What waits are one message and answers to pings: who sends pings and reads no
// answers is up to no good.
static bool hand_over(struct stream *s)
{
	size_t len;
	for (const void *next; (next = websocket_next(s->ws, &len));) {
		ssize_t n = http_stream_write(s->http, next, len);
		if (n <= 0)
			return later(n) && len < WAITS_MAX;
		websocket_sent(s->ws, (size_t)n);
	}
	return true;
}

// From the pair to the connection. False at the end.
static bool go(struct stream *s)
{
	size_t waits;
	if (!hand_over(s))
		return false;
	if (websocket_next(s->ws, &waits) || s->eof)
		return true;
	unsigned char message[1 + MESSAGE];
	*message = STDIN;
	ssize_t n = read(s->fd, message + 1, MESSAGE);
	if (later(n))
		return true;
	if (n > 0)
		websocket_send(s->ws, message, 1 + (size_t)n);
	else
		end_input(s);
	return hand_over(s);
}

// --- the thread -------------------------------------------------------------------

// Tests the line when it is time; seconds until there is something to do. Negative: it is over. What waits for the
// reader of the pair is nobody's silence.
static double keep_alive(struct stream *s, bool reads)
{
	double now = clock_mono();
	s->heard = reads ? s->heard : now;
	if (s->end && now >= s->end)
		return -1;
	if (now - s->heard >= silence_max) {
		part(s, "the API server has been silent for 45 s");
		return -1;
	}
	if (now - s->pinged >= ping_every) {
		s->pinged = now;
		websocket_ping(s->ws);
	}
	double wait = s->pinged + ping_every - now;
	return s->end && s->end - now < wait ? s->end - now : wait;
}

static void carry(struct stream *s)
{
	s->heard = s->pinged = clock_mono();
	for (;;) {
		size_t to_server;
		bool to_pair = s->out_at < s->out.len;
		double wait = keep_alive(s, !to_pair);
		if (wait < 0)
			return;
		websocket_next(s->ws, &to_server);
		struct pollfd fds[] = {
			{.fd = to_pair && !to_server ? -1 : http_stream_fd(s->http), // its end can wait for the reader
				.events = (short)((to_pair ? 0 : POLLIN) | (to_server ? POLLOUT : 0))},
			{.fd = s->fd, .events = (short)((to_server || s->eof ? 0 : POLLIN) | (to_pair ? POLLOUT : 0))},
		};
		if (to_pair || !http_stream_pending(s->http))
			poll(fds, countof(fds), (int)(wait * 1000) + 1);
		bool hung_up = fds[1].revents & (POLLHUP | POLLERR);
		if (!go(s) || !come(s) || hung_up)
			return;
	}
}

// Whoever listens at the other end has gone, or it is all said: the server is told so as far as it listens.
static void close_stream(struct stream *s)
{
	size_t len;
	websocket_close(s->ws);
	const void *last = websocket_next(s->ws, &len);
	if (last)
		http_stream_write(s->http, last, len);
	http_stream_close(s->http);
	websocket_free(s->ws);
}

static void serve(struct stream *s)
{
	struct error err = {0};
	autofree char *protocol = NULL;
	s->http = api_server_websocket(
		s->server, s->path, "v5.channel.k8s.io,v4.channel.k8s.io", &s->cancelled, &protocol, &err);
	if (!s->http) {
		part(s, err.text);
		return;
	}
	fcntl(http_stream_fd(s->http), F_SETFL, O_NONBLOCK);
	s->can_close = protocol && str_starts(protocol, "v5.");
	s->ws = websocket_new(&ops, s);
	carry(s);
	close_stream(s);
}

static void stream_free(struct stream *s)
{
	close(s->fd);
	str_fini(&s->out);
	str_fini(&s->errors);
	str_fini(&s->status);
	free(s->complaint);
	free(s->path);
	free(s);
}

static void forget(const struct stream *s)
{
	pthread_mutex_lock(&lock);
	struct stream **at = &streams;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void *stream_main(void *data)
{
	struct stream *s = data;
	serve(s);
	forget(s);
	stream_free(s);
	return NULL;
}

static int start_thread(struct stream *s)
{
	pthread_t thread;
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int rc = thread_start(&thread, &attr, stream_main, s);
	pthread_attr_destroy(&attr);
	return rc;
}

int exec_stream_open(
	struct api_server *server, const char *pod, const char *container, const json_t *argv, struct error *err)
{
	int ends[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return error_errno(err, "cannot make a socket pair");
	struct stream *s = mem_alloc(sizeof *s);
	*s = (struct stream){.server = server,
		.path = exec_stream_path(api_server_namespace(server), pod, container, argv),
		.fd = ends[1],
		.channel = -1,
		.text = true};
	fcntl(s->fd, F_SETFL, O_NONBLOCK);
	pthread_mutex_lock(&lock);
	s->next = streams;
	streams = s;
	pthread_mutex_unlock(&lock);
	errno = start_thread(s);
	if (!errno)
		return ends[0];
	error_errno(err, "cannot start a thread");
	close(ends[0]);
	forget(s);
	stream_free(s);
	return -1;
}

// False when there is none.
static bool cancel_streams(const struct api_server *server)
{
	bool some = false;
	for (struct stream *s = streams; s; s = s->next)
		if (s->server == server)
			some = s->cancelled = true;
	return some;
}

void exec_stream_stop(struct api_server *server)
{
	pthread_mutex_lock(&lock);
	while (cancel_streams(server))
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
}
