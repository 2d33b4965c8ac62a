// The whole HTTP client against a server that plays the input. The first line is what the client does: a letter (see
// the switch below) and how many bytes each packet of the server has; the rest is what the server says, one answer for
// each connection, with lines of "%%" between them. Whatever host a redirect names, no packet leaves this process: the
// client's source is taken in with calls of its own for what opens connections.
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static int scripted_socket(void);
static int scripted_getaddrinfo(const struct addrinfo *hints, struct addrinfo **list);

#define socket(...) scripted_socket()
#define connect(...) 0
#define getaddrinfo(host, port, hints, list) scripted_getaddrinfo(hints, list)
#define freeaddrinfo(list)
#include "base/http.c"
#include "base/http_stream.c"

enum { CONNECTIONS_MAX = 12, PACKETS_MAX = 40, BODY = 10000 };

// What is left of what the server says, and its ends of the connections.
static struct {
	const uint8_t *at, *end;
	size_t packet;
	int ends[CONNECTIONS_MAX];
	size_t count;
} script;

static int scripted_getaddrinfo(const struct addrinfo *hints, struct addrinfo **list)
{
	static struct sockaddr_in address = {.sin_family = AF_INET};
	static struct addrinfo info = {
		.ai_family = AF_INET, .ai_addr = (struct sockaddr *)&address, .ai_addrlen = sizeof address};
	*list = &info;
	return 0;
}

static void play(int fd)
{
	const uint8_t *mark = memmem(script.at, (size_t)(script.end - script.at), "\n%%\n", 4);
	const uint8_t *end = mark ? mark : script.end;
	for (size_t i = 0, len; script.at < end; i++, script.at += len) {
		len = (size_t)(end - script.at);
		if (i < PACKETS_MAX && script.packet > 0 && script.packet < len)
			len = script.packet;
		send(fd, script.at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	script.at = mark ? mark + 4 : script.end;
	shutdown(fd, SHUT_WR);
}

// Everything the server says lies in the connection at once, so it needs no thread.
static int scripted_socket(void)
{
	int pair[2];
	if (script.count == CONNECTIONS_MAX)
		abort(); // more than ten redirects
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -1;
	script.ends[script.count++] = pair[1];
	play(pair[1]);
	return pair[0];
}

static void need(bool what)
{
	if (!what)
		abort();
}

static void get(size_t size)
{
	autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct error err = {0};
	uint64_t bytes = 0;
	int rc = http_get("http://first/x/y?z", null, NULL, &bytes, &err);
	need(bytes <= size);
	need(rc == 0 || *err.text);
}

static int refuse_third(const char *bytes, size_t len, void *data, struct error *err)
{
	size_t *pieces = data;
	return ++*pieces > 2 ? error_set(err, ERROR_SYSTEM, "enough") : 0;
}

static void call(struct http_request *request, size_t size)
{
	struct http_service service = {.host = "service", .port = 80};
	autostr struct str text = {0};
	struct http_stream *stream = NULL;
	struct error err = {0};
	int status = http_call(&service, request, &text, &stream, &err);
	need(text.len <= size);
	need(status < 0 ? *err.text != '\0' : status >= 101 && status <= 999);
	need((stream != NULL) == ((request->upgrade != NULL) && status >= 0 && status < 300));
	char bytes[100];
	for (size_t left = size; stream && http_stream_read(stream, bytes, sizeof bytes) > 0; left--)
		need(left > 0);
	http_stream_close(stream);
}

static void run(uint8_t what, size_t size)
{
	static char body[BODY];
	atomic_bool cancelled = false;
	size_t pieces = 0;
	struct http_request r = {.method = "GET", .path = "/x"};
	struct http_request post = {.method = "POST", .path = "/x", .type = "text/plain", .body = body, .len = BODY};
	switch (what) {
	case 'c':
		call(&r, size);
		break;
	case 'h':
		r.method = "HEAD";
		call(&r, size);
		break;
	case 'p':
		post.cancelled = &cancelled;
		call(&post, size);
		break;
	case 's':
		post.on_body = refuse_third;
		post.data = &pieces;
		call(&post, size);
		break;
	case 'u':
		post.upgrade = "tcp";
		call(&post, size);
		break;
	default:
		get(size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size < 20 ? size : 20);
	if (!line || size > 65536)
		return 0;
	setenv("SSL_CERT_FILE", "/nonexistent/bundle", 1); // a redirect to https ends there
	autofree char *first = mem_strndup((const char *)data, (size_t)(line - data));
	script.at = line + 1;
	script.end = data + size;
	script.packet = strlen(first) > 1 ? strtoul(first + 1, NULL, 10) : 0;
	run(*data, size);
	while (script.count > 0)
		close(script.ends[--script.count]);
	return 0;
}
