#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/http.h"
#include "base/mem.h"
#include "base/str.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { BIG = 3000000 };

// What the server of a test says to a path; then it closes the connection, or keeps it open and silent.
struct page {
	const char *path, *answer;
	bool silent;
};

static const struct page pages[] = {
	{"/plain", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false},
	{"/query?a=b&c", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquery", false},
	{"/empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false},
	{"/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n",
		false},
	{"/chunked-torn", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n, w", false},
	{"/old", "HTTP/1.0 200 OK\r\n\r\nuntil the end", false},
	{"/torn", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", false},
	{"/slow", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", true},
	{"/mute", "", true},
	{"/gone", "", false},
	{"/none", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone", false},
	{"/broken", "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", false},
	{"/part", "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n\r\nx", false},
	{"/moved", "HTTP/1.1 302 Found\r\nLocation: /dir/next?at=/a/b\r\nContent-Length: 0\r\n\r\n", false},
	{"/dir/next?at=/a/b", "HTTP/1.1 301 Moved\r\nLocation: last\r\nContent-Length: 3\r\n\r\nabc", false},
	{"/dir/last", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast", false},
	{"/circle", "HTTP/1.1 302 Found\r\nLocation: /circle\r\nContent-Length: 0\r\n\r\n", false},
	{"/nowhere", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", false},
	{"/file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n", false},
	{"/wrapped", "HTTP/1.1 302 Found\r\nLocation: /dl?u=https://cdn.example/file\r\nContent-Length: 0\r\n\r\n",
		false},
	{"/dl?u=https://cdn.example/file", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfile", false},
	{"/dir/query", "HTTP/1.1 307 x\r\nLocation: ?at=/a/b\t \r\n\r\n", false},
	{"/dir/query?at=/a/b", "HTTP/1.1 308 x\r\nLocation: ../dir/./last\r\n\r\n", false},
	{"/blank", "HTTP/1.1 302 Found\r\nLocation: \r\n\r\n", false},
	{"/proxy", "HTTP/1.1 305 Use Proxy\r\nLocation: /plain\r\n\r\n", false},
	{"/early",
		"HTTP/1.1 103 Early Hints\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\nLocation: /x\r\n\r\n"
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		false},
	{"/folded", "HTTP/1.1 200 OK\r\nX: y\r\n\tz: 1\r\nContent-Length :\r\n 5\r\n\r\nhello", false},
	{"/chunked-hex", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", false},
	{"/long-status", "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello", false},
	{"/switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false},
	{"/garbage", "\001\002\003 what is this\r\n\r\n", false},
};

struct server {
	pid_t pid;
	int port;
};

static const struct page *find_page(const char *request)
{
	for (size_t i = 0; i < countof(pages); i++) {
		autofree char *line = mem_printf("GET %s HTTP/1.1\r\n", pages[i].path);
		if (str_starts(request, line))
			return &pages[i];
	}
	return NULL;
}

// At once, however many: the client's patience is short.
static void answer_interim(int fd, long count)
{
	autostr struct str block = {0};
	for (; count > 0; count--) {
		str_puts(&block, "HTTP/1.1 100 Continue\r\n\r\n");
		if (count % 1000 != 1)
			continue;
		if (fs_write_fd(fd, block.text, block.len, NULL) < 0)
			_exit(1);
		block.len = 0;
	}
}

static void answer(int fd)
{
	char request[4096] = {0};
	for (size_t have = 0; !strstr(request, "\r\n\r\n") && have < sizeof request - 1;) {
		size_t room = sizeof request - 1 - have;
		ssize_t got = read(fd, request + have, room);
		if (got <= 0)
			_exit(1);
		have += (size_t)got;
	}
	const struct page *page = find_page(request);
	autofree char *big = NULL;
	const char *text = page ? page->answer : "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
	if (str_starts(request, "GET /big ")) {
		big = mem_printf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%*s", BIG, BIG, "end");
		text = big;
	}
	if (str_starts(request, "GET /interim-")) {
		answer_interim(fd, atol(request + strlen("GET /interim-")));
		text = pages[0].answer;
	}
	for (size_t len = strlen(text); len > 0;) {
		ssize_t sent = write(fd, text, len);
		if (sent <= 0)
			_exit(1);
		text += sent;
		len -= (size_t)sent;
	}
	if (page && page->silent)
		pause();
	_exit(0);
}

static struct server start(void)
{
	struct server s;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	assert_int_equal(listen(fd, 16), 0);
	getsockname(fd, (struct sockaddr *)&a, &len);
	s.port = ntohs(a.sin_port);
	s.pid = fork();
	if (s.pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL); // a test that fails stops nothing
		signal(SIGCHLD, SIG_IGN);
		for (int peer; (peer = accept(fd, NULL, NULL)) >= 0; close(peer))
			if (fork() == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				answer(peer);
			}
		_exit(0);
	}
	setpgid(s.pid, s.pid);
	close(fd);
	return s;
}

static void stop(struct server *s)
{
	kill(-s->pid, SIGKILL);
	waitpid(s->pid, NULL, 0);
}

// Fetches into memory: the body, NULL on error.
static char *get(const struct server *s, const char *path, const struct http_options *options, struct error *err)
{
	char name[] = "/tmp/http-test-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	autofree char *url = mem_printf("http://127.0.0.1:%d%s", s->port, path);
	uint64_t bytes = 0;
	*err = (struct error){0};
	char *body = NULL;
	if (http_get(url, fd, options, &bytes, err) == 0) {
		body = mem_alloc(bytes + 1);
		assert_int_equal(pread(fd, body, bytes + 1, 0), bytes);
	} else {
		assert_true(strlen(err->text) > 0);
	}
	close(fd);
	return body;
}

static void expect(const struct server *s, const char *path, const char *want)
{
	struct error err;
	autofree char *body = get(s, path, NULL, &err);
	if (!body)
		fail_msg("%s: %s", path, err.text);
	assert_string_equal(body, want);
}

static void refuse(const struct server *s, const char *path, const char *why)
{
	struct error err;
	autofree char *body = get(s, path, &(struct http_options){.idle = 0.3}, &err);
	if (body || !strstr(err.text, why))
		fail_msg("%s: '%s' does not say '%s'", path, body ? body : err.text, why);
}

static void bodies_arrive_whole(void **state)
{
	struct server s = start();
	expect(&s, "/plain", "hello");
	expect(&s, "/plain#part", "hello");
	expect(&s, "/query?a=b&c", "query");
	expect(&s, "/empty", "");
	expect(&s, "/chunked", "hello, world");
	expect(&s, "/old", "until the end");
	expect(&s, "/early", "hello");
	expect(&s, "/folded", "hello");
	expect(&s, "/interim-1000", "hello");
	stop(&s);
}

static void redirects_are_followed(void **state)
{
	struct server s = start();
	expect(&s, "/moved", "last");
	expect(&s, "/wrapped", "file");
	expect(&s, "/dir/query", "last");
	refuse(&s, "/circle", "more than 10 redirects");
	refuse(&s, "/nowhere", "status 302 without a location");
	refuse(&s, "/blank", "status 302 without a location");
	refuse(&s, "/proxy", "status 305, expected 200");
	refuse(&s, "/file", "neither http:// nor https://");
	stop(&s);
}

static void what_goes_wrong_is_said(void **state)
{
	struct server s = start();
	refuse(&s, "/none", "status 404, expected 200");
	refuse(&s, "/broken", "status 500");
	refuse(&s, "/part", "status 206");
	refuse(&s, "/torn", "it ended after 9 of 100 bytes");
	refuse(&s, "/chunked-torn", "it ended early");
	refuse(&s, "/chunked-hex", "a chunk of the answer has the size '0x5'");
	refuse(&s, "/long-status", "the answer is not HTTP");
	refuse(&s, "/interim-2000000", "more than 1000 interim answers");
	refuse(&s, "/gone", "");
	refuse(&s, "/garbage", "");
	double before = clock_mono();
	refuse(&s, "/slow", "no data for 0.3 s");
	refuse(&s, "/mute", "no data for 0.3 s");
	assert_true(clock_mono() - before < 5);
	stop(&s);
	refuse(&s, "/plain", "onnect"); // nobody listens
}

static void bad_urls_are_refused(void **state)
{
	static const char *const urls[] = {"", "ftp://x/", "http://", "http:///path", "http://h:0/", "http://h:65536/",
		"http://h:1x/", "http://u@h/", "http://[::1/", "http://[::1]x/", "http://h/a b", "http://h/a\nb",
		"/etc/passwd"};
	for (size_t i = 0; i < countof(urls); i++) {
		struct error err = {0};
		assert_int_equal(http_get(urls[i], -1, NULL, NULL, &err), -1);
		assert_true(strlen(err.text) > 0);
		assert_null(strstr(err.text, "cannot fetch"));
	}
}

static void on_progress(uint64_t bytes, uint64_t total, void *data)
{
	uint64_t *last = data;
	assert_true(bytes > *last);
	assert_int_equal(total, BIG);
	*last = bytes;
}

static void progress_is_told(void **state)
{
	struct server s = start();
	struct error err;
	uint64_t last = 0;
	autofree char *body = get(&s, "/big", &(struct http_options){.on_progress = on_progress, .data = &last}, &err);
	assert_non_null(body);
	assert_int_equal(strlen(body), BIG);
	assert_true(str_ends(body, "  end"));
	assert_int_equal(last, BIG);
	stop(&s);
}

static void a_full_disk_is_said(void **state)
{
	struct server s = start();
	autofree char *url = mem_printf("http://127.0.0.1:%d/plain", s.port);
	FILE *full = fopen("/dev/full", "w");
	struct error err;
	assert_int_equal(http_get(url, fileno(full), NULL, NULL, &err), -1);
	assert_non_null(strstr(err.text, "No space left on device"));
	fclose(full);
	stop(&s);
}

// --- https ------------------------------------------------------------------

// openssl's own server, with a new certificate for localhost, in the directory dir; it answers a path with the file of
// that name.
static struct server start_tls(const char *dir)
{
	autofree char *script = mem_printf("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
					   "-nodes -keyout key -out cert -subj /CN=test "
					   "-addext subjectAltName=DNS:localhost -days 2 >log 2>&1 && printf 'HTTP/1.0 "
					   "200 OK\\r\\n\\r\\nhello' >plain && "
					   "exec openssl s_server -accept 127.0.0.1:0 -cert cert -key key -HTTP 2>log",
		dir);
	struct server s = {0};
	int out[2];
	assert_int_equal(pipe(out), 0);
	s.pid = fork();
	if (s.pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		execl("/bin/sh", "sh", "-c", script, NULL);
		_exit(127);
	}
	setpgid(s.pid, s.pid);
	close(out[1]);
	FILE *lines = fdopen(out[0], "r");
	char line[200];
	while (s.port == 0 && fgets(line, sizeof line, lines))
		sscanf(line, "ACCEPT 127.0.0.1:%d", &s.port);
	fclose(lines);
	assert_true(s.port > 0);
	return s;
}

static void refuse_https(const struct server *s, const char *host, const char *bundle, const char *why)
{
	autofree char *url = mem_printf("https://%s:%d/plain", host, s->port);
	setenv("SSL_CERT_FILE", bundle, 1);
	struct error err = {0};
	FILE *out = tmpfile();
	assert_int_equal(http_get(url, fileno(out), &(struct http_options){.idle = 1}, NULL, &err), -1);
	if (!strstr(err.text, why) || !strstr(err.text, url))
		fail_msg("'%s' does not say '%s'", err.text, why);
	fclose(out);
}

static void only_trusted_servers_are_believed(void **state)
{
	char dir[] = "/tmp/http-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	struct server s = start_tls(dir), plain = start();
	autofree char *cert = fs_join(dir, "cert"), *other = fs_join(dir, "other");
	autofree char *url = mem_printf("https://localhost:%d/plain", s.port);
	struct crypto_identity id;
	assert_int_equal(crypto_identity_make(&id, NULL), 0);
	assert_int_equal(fs_write(other, id.cert, id.cert_len, 0644, NULL), 0);
	crypto_identity_fini(&id);

	setenv("SSL_CERT_FILE", cert, 1);
	struct error err = {0};
	FILE *out = tmpfile();
	if (http_get(url, fileno(out), NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
	char body[10] = {0};
	assert_int_equal(pread(fileno(out), body, sizeof body, 0), 5);
	assert_string_equal(body, "hello");
	fclose(out);
	refuse_https(&s, "localhost", other, "not trusted");
	refuse_https(&s, "127.0.0.1", cert, "not trusted"); // it is localhost's
	refuse_https(&s, "localhost", "/nonexistent/bundle", "SSL_CERT_FILE names '/nonexistent/bundle'");
	refuse_https(&s, "localhost", "/dev/null", "cannot read certificates");
	refuse_https(&plain, "localhost", cert, "TLS");
	unsetenv("SSL_CERT_FILE");
	stop(&s);
	stop(&plain);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

// --- requests to a service, behind a unix socket ------------------------------

// Answers by the path, and says back what it was sent; /up becomes an echo.
static void serve_one(int fd)
{
	static char request[100000];
	size_t have = 0, want = SIZE_MAX;
	for (char *end; have < want && have < sizeof request - 1;) {
		ssize_t got = read(fd, request + have, sizeof request - 1 - have);
		if (got <= 0)
			break;
		have += (size_t)got;
		char *length = strstr(request, "Content-Length: ");
		if ((end = strstr(request, "\r\n\r\n")))
			want = (size_t)(end + 4 - request) +
			       (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
	}
	if (str_starts(request, "POST /up HTTP/1.1\r\n")) {
		static const char yes[] = "HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nfirst";
		fs_write_fd(fd, yes, strlen(yes), NULL);
		for (char byte; read(fd, &byte, 1) == 1;)
			fs_write_fd(fd, &byte, 1, NULL);
		_exit(0);
	}
	if (str_starts(request, "GET /mute"))
		pause();
	const char *status = str_starts(request, "DELETE") ? "404 Not Found" : "200 OK";
	autofree char *head = mem_printf("HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n", status, have);
	fs_write_fd(fd, head, strlen(head), NULL);
	fs_write_fd(fd, request, have, NULL);
	_exit(0);
}

static pid_t serve(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	strcpy(a.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 16), 0);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int peer = accept(fd, NULL, NULL);
			if (fork() == 0)
				serve_one(peer);
			close(peer);
		}
	}
	close(fd);
	return pid;
}

static int count_piece(const char *bytes, size_t len, void *data, struct error *err)
{
	size_t *left = data;
	if (len > *left)
		return error_set(err, ERROR_SYSTEM, "more than was wanted");
	*left -= len;
	return 0;
}

static void a_service_is_asked(void **state)
{
	char dir[] = "/tmp/http.XXXXXX";
	assert_non_null(mkdtemp(dir));
	autofree char *path = fs_join(dir, "socket");
	struct http_service service = {.socket = path};
	struct error err = {0};
	autostr struct str text = {0};
	struct http_request get = {.method = "GET", .path = "/x?y=1"};
	assert_int_equal(http_call(&service, &get, &text, NULL, &err), -1);
	assert_non_null(strstr(err.text, path));
	struct server s = {.pid = serve(path)};
	assert_int_equal(http_call(&service, &get, &text, NULL, &err), 200);
	assert_true(str_starts(text.text, "GET /x?y=1 HTTP/1.1\r\nHost: localhost\r\n"));
	text.len = 0;
	struct http_request delete = {.method = "DELETE", .path = "/x"};
	assert_int_equal(
		http_call(&service, &delete, &text, NULL, &err), 404); // the status says it, the text tells why
	assert_true(str_starts(text.text, "DELETE /x "));
	text.len = 0;
	struct http_request post = {
		.method = "POST", .path = "/x", .type = "application/json", .body = "{\"a\": 1}", .len = 8};
	assert_int_equal(http_call(&service, &post, &text, NULL, &err), 200);
	assert_non_null(strstr(text.text, "Content-Type: application/json\r\nContent-Length: 8\r\n"));
	assert_true(str_ends(text.text, "\r\n\r\n{\"a\": 1}"));

	FILE *file = tmpfile();
	for (int i = 0; i < 10000; i++)
		fputs("12345678", file);
	fflush(file);
	size_t left = 100000;
	struct http_request put = {.method = "PUT",
		.path = "/x",
		.type = "application/x-tar",
		.file = fileno(file),
		.on_body = count_piece,
		.data = &left};
	assert_int_equal(http_call(&service, &put, &text, NULL, &err), 200);
	assert_in_range(left, 10000, 20000); // 80000 bytes and the header came back
	assert_int_equal(http_call(&service, &put, &text, NULL, &err), -1);
	assert_string_equal(err.text, "more than was wanted");
	fclose(file);

	atomic_bool cancelled = true;
	struct http_request mute = {.method = "GET", .path = "/mute", .cancelled = &cancelled};
	assert_int_equal(http_call(&service, &mute, &text, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_CANCELLED);

	struct http_request up = {.method = "POST", .path = "/up", .upgrade = "tcp"};
	struct http_stream *stream = NULL;
	assert_int_equal(http_call(&service, &up, &text, &stream, &err), 101);
	assert_int_equal(http_stream_write(stream, " second", 7), 7);
	char back[13] = {0};
	for (size_t have = 0; have < 12;) {
		ssize_t n = http_stream_read(stream, back + have, 12 - have);
		assert_true(n > 0);
		have += (size_t)n;
	}
	assert_string_equal(back, "first second");
	http_stream_close(stream);
	stop(&s);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

// Behind it is a queue of connections that nobody accepts.
static void a_service_that_does_not_read_is_given_up(void **state)
{
	char dir[] = "/tmp/http.XXXXXX";
	assert_non_null(mkdtemp(dir));
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s/socket", dir);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(fd, 16), 0);
	autofree char *body = mem_alloc(BIG);
	atomic_bool cancelled = false;
	struct http_service service = {.socket = a.sun_path};
	struct http_request post = {.method = "POST",
		.path = "/x",
		.type = "text/plain",
		.body = body,
		.len = BIG,
		.idle = 0.3,
		.cancelled = &cancelled};
	autostr struct str text = {0};
	struct error err = {0};
	assert_int_equal(http_call(&service, &post, &text, NULL, &err), -1);
	assert_string_equal(err.text, "no data for 0.3 s"); // it may have said why before it stopped reading
	cancelled = true;
	assert_int_equal(http_call(&service, &post, &text, NULL, &err), -1);
	assert_int_equal(err.code, ERROR_CANCELLED);
	close(fd);
	assert_int_equal(fs_remove(dir, NULL), 0);
}

// A server may answer with a change of protocol only who asked for one.
static void a_change_of_protocol_is_refused(void **state)
{
	struct server s = start();
	struct http_service service = {.host = "127.0.0.1", .port = s.port};
	struct http_request get = {.method = "GET", .path = "/switch"};
	autostr struct str text = {0};
	struct error err = {0};
	assert_int_equal(http_call(&service, &get, &text, NULL, &err), -1);
	assert_non_null(strstr(err.text, "changes the protocol"));
	stop(&s);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	unsetenv("http_proxy");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bodies_arrive_whole),
		cmocka_unit_test(redirects_are_followed),
		cmocka_unit_test(what_goes_wrong_is_said),
		cmocka_unit_test(bad_urls_are_refused),
		cmocka_unit_test(progress_is_told),
		cmocka_unit_test(a_full_disk_is_said),
		cmocka_unit_test(only_trusted_servers_are_believed),
		cmocka_unit_test(a_service_is_asked),
		cmocka_unit_test(a_service_that_does_not_read_is_given_up),
		cmocka_unit_test(a_change_of_protocol_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
