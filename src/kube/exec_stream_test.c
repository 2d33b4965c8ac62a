#include "base/clock.h"
#include "base/http_stream.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/exec_stream.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

// --- an API server whose connections are socket pairs -------------------------------

struct api_server {
	const char *refusal, *protocol;
	char *path;     // of the last request
	atomic_int far; // the server's end of the last connection, -1: none
	bool silent;    // it never answers
	atomic_size_t asked;
};

static struct api_server server;

const char *api_server_namespace(const struct api_server *s)
{
	return "lab";
}

struct http_stream *api_server_websocket(struct api_server *s, const char *path, const char *protocols,
	const atomic_bool *cancelled, char **protocol, struct error *err)
{
	free(s->path);
	s->path = mem_strdup(path);
	s->asked++;
	while (s->silent && !*cancelled)
		poll(NULL, 0, 1);
	if (*cancelled) {
		error_set(err, ERROR_CANCELLED, "cancelled");
		return NULL;
	}
	if (s->refusal) {
		error_set(err, ERROR_SYSTEM, "%s", s->refusal);
		return NULL;
	}
	int ends[2];
	socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
	*protocol = mem_strdup(s->protocol);
	struct http_stream *stream = mem_alloc(sizeof *stream);
	stream->fd = ends[0];
	s->far = ends[1];
	return stream;
}

// --- the server's side --------------------------------------------------------------

static int far_end(void)
{
	for (double end = clock_mono() + 10; server.far < 0; poll(NULL, 0, 1))
		assert_true(clock_mono() < end);
	return server.far;
}

static void put(int fd, const void *bytes, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = send(fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);
		assert_true(n > 0);
		at += (size_t)n;
	}
}

// A message on a channel.
static void tell_bytes(int channel, const void *bytes, size_t len)
{
	unsigned char head[5] = {
		0x82, 126, (unsigned char)((len + 1) >> 8), (unsigned char)(len + 1), (unsigned char)channel};
	unsigned char little[3] = {0x82, (unsigned char)(len + 1), (unsigned char)channel};
	if (len + 1 < 126)
		put(far_end(), little, sizeof little);
	else
		put(far_end(), head, sizeof head);
	put(far_end(), bytes, len);
}

static void tell(int channel, const char *text)
{
	tell_bytes(channel, text, strlen(text));
}

static void get(int fd, void *bytes, size_t len)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	for (size_t at = 0; at < len;) {
		assert_int_equal(poll(&wait, 1, 10000), 1);
		ssize_t n = read(fd, (char *)bytes + at, len - at);
		assert_true(n > 0);
		at += (size_t)n;
	}
}

// The next frame that came, unmasked: its opcode; *text is owned by the caller.
static int hear(unsigned char **bytes, size_t *len)
{
	unsigned char head[2], wide[2], mask[4];
	get(far_end(), head, 2);
	assert_true(head[0] & 0x80 && head[1] & 0x80);
	*len = head[1] & 0x7f;
	assert_int_not_equal(*len, 127);
	if (*len == 126) {
		get(far_end(), wide, 2);
		*len = (size_t)wide[0] << 8 | wide[1];
	}
	get(far_end(), mask, 4);
	*bytes = mem_alloc(*len + 1);
	get(far_end(), *bytes, *len);
	for (size_t i = 0; i < *len; i++)
		(*bytes)[i] ^= mask[i % 4];
	return head[0] & 15;
}

static void hears(int opcode, const char *expected, size_t expected_len)
{
	autofree unsigned char *bytes = NULL;
	size_t len;
	assert_int_equal(hear(&bytes, &len), opcode);
	assert_int_equal(len, expected_len);
	assert_memory_equal(bytes, expected, len);
}

// --- the caller's side ----------------------------------------------------------------

static int open_stream(void)
{
	autojson json_t *argv = mem_json("[s, s]", "/.muster/agent", "bridge");
	int fd = exec_stream_open(&server, "pod-1", "node", argv, NULL);
	assert_true(fd >= 0);
	return fd;
}

static void reads(int fd, const char *expected)
{
	autofree char *text = mem_alloc(strlen(expected) + 1);
	get(fd, text, strlen(expected));
	assert_string_equal(text, expected);
}

// All that is left to read, to the end.
static char *rest(int fd)
{
	struct str text = {0};
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	for (;;) {
		char bytes[1000];
		assert_int_equal(poll(&wait, 1, 10000), 1);
		ssize_t n = read(fd, bytes, sizeof bytes);
		if (n <= 0)
			return str_steal(&text);
		str_add(&text, bytes, (size_t)n);
	}
}

static void ends_with(int fd, const char *expected)
{
	autofree char *text = rest(fd);
	assert_string_equal(text, expected);
	close(fd);
	exec_stream_stop(&server);
}

static int set_up(void **state)
{
	server = (struct api_server){.protocol = "v5.channel.k8s.io", .far = -1};
	return 0;
}

static int tear_down(void **state)
{
	exec_stream_stop(&server);
	if (server.far >= 0)
		close(server.far);
	free(server.path);
	return 0;
}

// --- tests ----------------------------------------------------------------------------

static const char success[] = "{\"metadata\":{},\"status\":\"Success\"}";
static const char status_7[] =
	"{\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: command terminated with "
	"exit "
	"code "
	"7\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\",\"message\":\"7\"}]}}";

static void carries_both_ways(void **state)
{
	int fd = open_stream();
	tell(1, "");
	put(fd, "hello", 5);
	hears(2, "\0hello", 6);
	tell(1, "one\n");
	tell(1, "two");
	reads(fd, "one\ntwo");
	assert_string_equal(server.path,
		"/api/v1/namespaces/lab/pods/pod-1/exec?container=node&stdin=true&stdout=true&stderr=true"
		"&command=%2F.muster%2Fagent&command=bridge");
	tell(3, success);
	tell(1, "after the status"); // known to happen
	put(far_end(), "\x88\x02\x03\xe8", 4);
	ends_with(fd, "after the status");
}

struct flood {
	int fd;
	size_t bytes;
	unsigned sum;
};

enum { TOTAL = 5 * 1000 * 1000 };

static void *drink(void *data)
{
	struct flood *f = data;
	unsigned char bytes[10000];
	for (ssize_t n; f->bytes < TOTAL && (n = read(f->fd, bytes, sizeof bytes)) > 0; f->bytes += (size_t)n)
		for (ssize_t i = 0; i < n; i++)
			f->sum = f->sum * 31 + bytes[i];
	return NULL;
}

// Also bytes that look like anything, and with both directions full.
static void carries_much(void **state)
{
	int fd = open_stream();
	struct flood f = {.fd = fd};
	pthread_t thread;
	pthread_create(&thread, NULL, drink, &f);
	static unsigned char bytes[20000];
	unsigned sum = 0;
	for (size_t at = 0; at < TOTAL; at += sizeof bytes) {
		for (size_t i = 0; i < sizeof bytes; i++) {
			bytes[i] = (unsigned char)((at + i) * 2654435761u >> 13);
			sum = sum * 31 + bytes[i];
		}
		tell_bytes(1, bytes, sizeof bytes);
	}
	pthread_join(thread, NULL);
	assert_int_equal(f.bytes, TOTAL);
	assert_int_equal(f.sum, sum);
	close(fd);
}

static void says_why_it_failed(void **state)
{
	static const struct {
		const char *errors, *status, *said;
	} rows[] = {
		{"", status_7, "\nthe command ended with status 7\n"},
		{"cannot open it\nno space\n", status_7,
			"\ncannot open it\n\nno space\n\nno space (the command ended with status 7)\n"},
		{"no end of line", status_7, "\nno end of line\n\nno end of line (the command ended with status 7)\n"},
		{"",
			"{\"status\":\"Failure\",\"message\":\"Internal error occurred: Internal error occurred: error "
			"executing "
			"command\\nin container\",\"code\":500}",
			"\nthe API server says: error executing command in container\n"},
		{"", "{\"status\":\"Failure\"}", "\nthe API server ended the command without a message\n"},
		{"", "no JSON", "\nthe command ended without a status\n"},
		{"warning\n", success, "\nwarning\n"},
		{"\x1b[2Jwarning\t\x7f\n", success, "\n [2Jwarning  \n"},
	};
	for (size_t i = 0; i < countof(rows); i++) {
		int fd = open_stream();
		far_end();
		if (*rows[i].errors)
			tell(2, rows[i].errors);
		tell(3, rows[i].status);
		put(far_end(), "\x88\x02\x03\xe8", 4);
		ends_with(fd, rows[i].said);
		close(server.far);
		server.far = -1;
	}
	server.refusal = "the API server says: pods \"pod-1\" is forbidden";
	ends_with(open_stream(), "\nthe API server says: pods \"pod-1\" is forbidden\n");
}

static void nothing_is_mixed_with_bytes(void **state)
{
	int fd = open_stream();
	tell_bytes(1, "\nready\n\x16\x03\x01", 10);
	reads(fd, "\nready\n\x16\x03\x01");
	tell(2, "an error\n");
	tell(1, "more");
	tell(3, status_7);
	put(far_end(), "\x88\x02\x03\xe8", 4);
	ends_with(fd, "more");
}

static void a_broken_connection_is_named(void **state)
{
	int fd = open_stream();
	tell(1, "half a line");
	close(far_end());
	server.far = -1;
	ends_with(fd, "half a line\nthe connection to the API server broke\n");
	fd = open_stream();
	put(far_end(), "\x88\x02\x03\xe9", 4); // it goes away
	ends_with(fd, "\nthe API server closed the connection\n");
	close(far_end());
	server.far = -1;
	fd = open_stream();
	put(far_end(), "HTTP/1.1 502 Bad Gateway\r\n", 26);
	ends_with(fd, "\nwhat came over the connection are no WebSocket frames\n");
}

// With v5 the end of the input is told, and the output goes on; v4 has no words for it.
static void end_of_input(void **state)
{
	int fd = open_stream();
	put(fd, "last", 4);
	shutdown(fd, SHUT_WR);
	hears(2, "\0last", 5);
	hears(2, "\xff\0", 2);
	tell(1, "goes on");
	reads(fd, "goes on");
	tell(3, success);
	put(far_end(), "\x88\x02\x03\xe8", 4);
	ends_with(fd, "");
	close(far_end());
	server.far = -1;
	server.protocol = "v4.channel.k8s.io";
	fd = open_stream();
	put(fd, "last", 4);
	shutdown(fd, SHUT_WR);
	hears(2, "\0last", 5);
	hears(8, "\x03\xe8", 2);
	put(far_end(), "\x88\x02\x03\xe8", 4);
	ends_with(fd, "");
}

static void closing_ends_the_connection(void **state)
{
	int fd = open_stream();
	put(fd, "last", 4);
	hears(2, "\0last", 5);
	close(fd);
	autofree unsigned char *bytes = NULL;
	size_t len;
	int opcode = hear(&bytes, &len);
	if (opcode == 2) { // the end of the input, if it was seen first
		free(bytes);
		opcode = hear(&bytes, &len);
	}
	assert_int_equal(opcode, 8);
	exec_stream_stop(&server);
}

static double processor_time(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

// The server has gone, and the reader is yet to read what it said: that wait is idle, and nothing gets lost.
static void a_slow_reader_costs_nothing(void **state)
{
	int fd = open_stream();
	static unsigned char bytes[20000];
	size_t sent = 0;
	struct pollfd room = {.fd = far_end(), .events = POLLOUT};
	while (poll(&room, 1, 100) == 1) { // until the pair is full, and the connection too
		tell_bytes(1, bytes, sizeof bytes);
		sent += sizeof bytes;
	}
	close(far_end());
	server.far = -1;
	double before = processor_time();
	poll(NULL, 0, 500);
	assert_true(processor_time() - before < 0.25);
	struct str heard = {0};
	char part[10000];
	for (ssize_t n; (n = read(fd, part, sizeof part)) > 0;)
		str_add(&heard, part, (size_t)n);
	assert_int_equal(heard.len, sent);
	str_fini(&heard);
	close(fd);
}

static void one_that_is_being_opened_is_given_up(void **state)
{
	server.silent = true;
	int fd = open_stream();
	for (double end = clock_mono() + 10; !server.asked; poll(NULL, 0, 1))
		assert_true(clock_mono() < end);
	close(fd);
	exec_stream_stop(&server);
}

static void pings_are_answered(void **state)
{
	int fd = open_stream();
	put(far_end(), "\x89\x02hi", 4);
	hears(10, "hi", 2);
	close(fd);
}

#define each(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		each(carries_both_ways),
		each(carries_much),
		each(says_why_it_failed),
		each(nothing_is_mixed_with_bytes),
		each(a_broken_connection_is_named),
		each(end_of_input),
		each(closing_ends_the_connection),
		each(a_slow_reader_costs_nothing),
		each(one_that_is_being_opened_is_given_up),
		each(pings_are_answered),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
