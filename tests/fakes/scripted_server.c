#include "fakes/scripted_server.h"

#include "base/crypto.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUESTS_MAX = 64, CONNECTIONS_MAX = 64 };

struct request {
	char *text, client[CRYPTO_HEX];
	int connection;
};

struct connection {
	struct scripted_server *server;
	int number, fd;
	SSL *outer, *inner; // NULL: none
	pthread_t thread;
};

struct scripted_server {
	enum scripted_kind kind;
	const struct scripted_answer *next;
	int fd, port;
	char *cert;
	SSL_CTX *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	struct request requests[REQUESTS_MAX];
	size_t nrequests;
	struct connection connections[CONNECTIONS_MAX];
	size_t nconnections;
	char *proxied;
	bool stopped;
};

// --- the certificate ----------------------------------------------------------

static void add_names(X509 *cert)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, "DNS:muster.test,DNS:localhost");
	X509_add_ext(cert, names, -1);
	X509_EXTENSION_free(names);
}

static int pick_protocol(
	SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in, unsigned inlen, void *data)
{
	static const unsigned char mine[] = "\010http/1.1";
	return SSL_select_next_proto((unsigned char **)out, len, mine, 9, in, inlen) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int accept_any(int good, X509_STORE_CTX *ctx)
{
	return 1;
}

// Somebody has issued the certificate whom nobody knows: who trusts it trusts it alone.
static void make_context(struct scripted_server *s)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *issuer = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), 7);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600L * 24);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(
		X509_get_issuer_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"somebody", -1, -1, 0);
	add_names(cert);
	X509_sign(cert, issuer, EVP_sha256());
	BIO *bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, cert);
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	s->cert = mem_strndup(text, (size_t)len);
	s->ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_use_certificate(s->ctx, cert);
	SSL_CTX_use_PrivateKey(s->ctx, key);
	SSL_CTX_set_alpn_select_cb(s->ctx, pick_protocol, NULL);
	SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, accept_any);
	BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_free(issuer);
}

// --- bytes ----------------------------------------------------------------------

static ssize_t take(struct connection *c, void *bytes, size_t len)
{
	SSL *ssl = c->inner ? c->inner : c->outer;
	return ssl ? SSL_read(ssl, bytes, (int)len) : recv(c->fd, bytes, len, 0);
}

static void give(struct connection *c, const char *bytes, size_t len)
{
	SSL *ssl = c->inner ? c->inner : c->outer;
	if (!len)
		return;
	if (ssl)
		SSL_write(ssl, bytes, (int)len);
	else
		send(c->fd, bytes, len, MSG_NOSIGNAL);
}

// A byte at a time: what follows belongs to somebody else.
static bool take_exactly(struct connection *c, unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (take(c, bytes + i, 1) != 1)
			return false;
	return true;
}

// A whole request: its header, and a body as long as it says. NULL at the end.
static char *take_request(struct connection *c)
{
	struct str text = {0};
	size_t body = 0;
	for (unsigned char byte; take(c, &byte, 1) == 1;) {
		str_add(&text, &byte, 1);
		const char *end = strstr(text.text, "\r\n\r\n"), *length = strstr(text.text, "Content-Length: ");
		if (end && length && length < end)
			body = strtoul(length + 16, NULL, 10);
		if (end && text.len >= (size_t)(end + 4 - text.text) + body)
			return str_steal(&text);
	}
	str_fini(&text);
	return NULL;
}

// --- a proxy's part ---------------------------------------------------------------

static SSL *start_tls(struct connection *c, SSL *through)
{
	SSL *ssl = SSL_new(c->server->ctx);
	if (through) {
		BIO *bio = BIO_new(BIO_f_ssl());
		BIO_set_ssl(bio, through, BIO_NOCLOSE);
		SSL_set_bio(ssl, bio, bio);
	} else {
		SSL_set_fd(ssl, c->fd);
	}
	if (SSL_accept(ssl) == 1)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

static bool be_http_proxy(struct connection *c)
{
	char *asked = take_request(c);
	if (!asked)
		return false;
	pthread_mutex_lock(&c->server->lock);
	free(c->server->proxied);
	c->server->proxied = asked;
	pthread_mutex_unlock(&c->server->lock);
	const char *answer = strstr(asked, "refused:")     ? "HTTP/1.1 403 Not this one\r\nContent-Length: 2\r\n\r\nno"
			     : strstr(asked, "talkative:") ? "HTTP/1.1 200 Connection established\r\n\r\n"
							     "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
							   : "HTTP/1.1 200 Connection established\r\n\r\n";
	give(c, answer, strlen(answer));
	return !strstr(asked, "refused:");
}

static bool be_socks_proxy(struct connection *c)
{
	unsigned char head[2], bytes[256], user[256] = "", password[256] = "", port[2];
	if (!take_exactly(c, head, 2) || !take_exactly(c, bytes, head[1]))
		return false;
	bool login = memchr(bytes, 2, head[1]);
	give(c, login ? "\005\002" : "\005\000", 2);
	if (login) {
		if (!take_exactly(c, head, 2) || !take_exactly(c, user, head[1]) || !take_exactly(c, bytes, 1) ||
			!take_exactly(c, password, bytes[0]))
			return false;
		give(c, strcmp((char *)password, "wrong") == 0 ? "\001\001" : "\001\000", 2);
	}
	if (!take_exactly(c, bytes, 5) || !take_exactly(c, (bytes[5 + bytes[4]] = 0, bytes + 5), bytes[4]) ||
		!take_exactly(c, port, 2))
		return false;
	pthread_mutex_lock(&c->server->lock);
	free(c->server->proxied);
	c->server->proxied =
		mem_printf("socks %s:%s %s:%d", user, password, (char *)bytes + 5, port[0] * 256 + port[1]);
	bool refused = strstr(c->server->proxied, "refused:");
	pthread_mutex_unlock(&c->server->lock);
	give(c, refused ? "\005\005\000\001\000\000\000\000\000\000" : "\005\000\000\001\000\000\000\000\000\000", 10);
	return !refused;
}

static bool prepare(struct connection *c)
{
	enum scripted_kind kind = c->server->kind;
	if (kind == SCRIPTED_PLAIN)
		return true;
	if (kind == SCRIPTED_CONNECT_S && !(c->outer = start_tls(c, NULL)))
		return false;
	if (kind == SCRIPTED_SOCKS ? !be_socks_proxy(c) : kind != SCRIPTED_TLS && !be_http_proxy(c))
		return false;
	c->inner = start_tls(c, c->outer);
	return c->inner;
}

// --- requests -----------------------------------------------------------------------

static void note_client(struct connection *c, char hex[CRYPTO_HEX])
{
	X509 *cert = c->inner ? SSL_get1_peer_certificate(c->inner) : NULL;
	unsigned char *der = NULL;
	int len = cert ? i2d_X509(cert, &der) : 0;
	if (len > 0)
		crypto_fingerprint(der, (size_t)len, hex, NULL);
	OPENSSL_free(der);
	X509_free(cert);
}

static struct scripted_answer note(struct connection *c, char *request)
{
	struct scripted_server *s = c->server;
	pthread_mutex_lock(&s->lock);
	if (s->nrequests < REQUESTS_MAX) {
		struct request *r = &s->requests[s->nrequests++];
		r->text = request;
		r->connection = c->number;
		note_client(c, r->client);
	}
	struct scripted_answer answer = *s->next;
	if (answer.text || !answer.hang_up)
		s->next++;
	pthread_mutex_unlock(&s->lock);
	return answer;
}

static void say(struct connection *c, const char *answer, const char *request)
{
	const char *mark = strstr(answer, "@ACCEPT@"), *field = strstr(request, "Sec-WebSocket-Key: ");
	if (!mark || !field) {
		give(c, answer, strlen(answer));
		return;
	}
	field += strlen("Sec-WebSocket-Key: ");
	autofree char *key = mem_strndup(field, strcspn(field, "\r\n")), *accept = crypto_websocket_accept(key);
	autofree char *text = mem_printf("%.*s%s%s", (int)(mark - answer), answer, accept, mark + strlen("@ACCEPT@"));
	give(c, text, strlen(text));
}

static void *serve(void *data)
{
	struct connection *c = data;
	sigset_t pipe; // only here: the client must do without
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, NULL);
	bool open = prepare(c);
	while (open) {
		char *request = take_request(c);
		if (!request)
			break;
		struct scripted_answer answer = note(c, request);
		open = answer.text && !answer.hang_up;
		if (answer.text)
			say(c, answer.text, request);
	}
	if (c->inner)
		SSL_shutdown(c->inner);
	shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static void *listen_for(void *data)
{
	struct scripted_server *s = data;
	for (;;) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && errno == EINTR)
			continue;
		pthread_mutex_lock(&s->lock);
		bool stop = fd < 0 || s->stopped || s->nconnections == CONNECTIONS_MAX;
		if (!stop) {
			struct connection *c = &s->connections[s->nconnections];
			*c = (struct connection){.server = s, .number = (int)s->nconnections++, .fd = fd};
			pthread_create(&c->thread, NULL, serve, c);
		}
		pthread_mutex_unlock(&s->lock);
		if (stop)
			return NULL;
	}
}

// --- starting and stopping --------------------------------------------------------------

struct scripted_server *scripted_server_start(enum scripted_kind kind, const struct scripted_answer *answers)
{
	struct scripted_server *s = mem_alloc(sizeof *s);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	s->kind = kind;
	s->next = answers;
	pthread_mutex_init(&s->lock, NULL);
	make_context(s);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->fd, (struct sockaddr *)&a, len) < 0 || listen(s->fd, 64) < 0 ||
		getsockname(s->fd, (struct sockaddr *)&a, &len) < 0)
		abort();
	s->port = ntohs(a.sin_port);
	pthread_create(&s->thread, NULL, listen_for, s);
	return s;
}

void scripted_server_hang_up(struct scripted_server *s)
{
	pthread_mutex_lock(&s->lock);
	for (size_t i = 0; i < s->nconnections; i++)
		shutdown(s->connections[i].fd, SHUT_RDWR);
	pthread_mutex_unlock(&s->lock);
}

void scripted_server_stop(struct scripted_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->stopped = true;
	pthread_mutex_unlock(&s->lock);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	scripted_server_hang_up(s);
	for (size_t i = 0; i < s->nconnections; i++) {
		struct connection *c = &s->connections[i];
		pthread_join(c->thread, NULL);
		SSL_free(c->inner);
		SSL_free(c->outer);
		close(c->fd);
	}
	for (size_t i = 0; i < s->nrequests; i++)
		free(s->requests[i].text);
	SSL_CTX_free(s->ctx);
	close(s->fd);
	free(s->cert);
	free(s->proxied);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

int scripted_server_port(const struct scripted_server *s)
{
	return s->port;
}

const char *scripted_server_cert(const struct scripted_server *s)
{
	return s->cert;
}

static const struct request *find(struct scripted_server *s, size_t i)
{
	pthread_mutex_lock(&s->lock);
	const struct request *r = i < s->nrequests ? &s->requests[i] : NULL;
	pthread_mutex_unlock(&s->lock);
	return r;
}

const char *scripted_server_request(struct scripted_server *s, size_t i)
{
	const struct request *r = find(s, i);
	return r ? r->text : NULL;
}

int scripted_server_connection(struct scripted_server *s, size_t i)
{
	const struct request *r = find(s, i);
	return r ? r->connection : -1;
}

const char *scripted_server_client(struct scripted_server *s, size_t i)
{
	const struct request *r = find(s, i);
	return r ? r->client : "";
}

const char *scripted_server_proxied(struct scripted_server *s)
{
	pthread_mutex_lock(&s->lock);
	const char *text = s->proxied;
	pthread_mutex_unlock(&s->lock);
	return text;
}
