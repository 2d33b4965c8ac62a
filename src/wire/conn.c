#include "wire/conn.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/heartbeat.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { HEADER = 12, TEXT_LIMIT = 64 * 1024, PROTOCOL_RX = 17 * 1024, PIECE = 16 * 1024, CLOSE_WITHIN = 10 };

static const double look_again = 0.1; // at one that has something to say after all
static const char protocol_name[] = "muster-1";

// A message that is printed; LWS_PRE bytes of room stand before it. Connections may share one: lws puts the same head
// before it each time.
struct conn_message {
	unsigned refs;
	size_t len;
	bool binary;
	unsigned char bytes[];
};

// A message that waits to be sent.
struct frame {
	struct frame *next;
	struct conn_message *message;
};

struct conn {
	struct lws *wsi;
	const struct conn_ops *ops;
	void *data;
	char *fingerprint; // of a dialled connection
	char peer[80];
	struct frame *first, **last;
	size_t sent; // of the first message
	size_t queued, limit;
	struct str text;              // a text message that is still coming in
	unsigned char header[HEADER]; // of the binary frame that is coming in
	size_t header_len;
	uint64_t offset;
	char *close_why;
	double heard, heartbeat; // the last sign of life, and after how long without one it is asked for
	struct loop_timer *silent;
	bool open, dialling, closing, ping;
};

static struct conn gone; // stands for a connection that was told off already and that lws is about to forget

struct listener {
	struct loop *loop;
	const struct conn_ops *ops;
	void (*on_refused)(const char *peer, void *data);
	void *data;
	unsigned heartbeat;
	struct lws_protocols protocols[2];
	char peer[80]; // of the connection that is being accepted: lws tells first the descriptor, then what it made of
		       // it
};

void conn_message_free(struct conn_message *message)
{
	if (message && --message->refs == 0)
		free(message);
}

static void drop_frame(struct conn *conn)
{
	struct frame *f = conn->first;
	conn->first = f->next;
	if (!conn->first)
		conn->last = &conn->first;
	conn->queued -= f->message->len;
	conn_message_free(f->message);
	free(f);
}

static void conn_free(struct conn *conn)
{
	while (conn->first)
		drop_frame(conn);
	loop_timer_free(conn->silent);
	str_fini(&conn->text);
	free(conn->fingerprint);
	free(conn->close_why);
	free(conn);
}

static int refuse(struct conn *conn, const char *why)
{
	if (!conn->close_why)
		conn->close_why = mem_strdup(why);
	return -1; // lws closes the connection
}

// lws can do this too, but hears a ping without telling anybody, and takes leave of a silent side for seconds. After a
// pause of this process there may be something to read.
static void on_silence(void *data)
{
	struct conn *conn = data;
	double quiet = clock_mono() - conn->heard, most = heartbeat_silence(conn->heartbeat);
	char byte;
	if (quiet < conn->heartbeat)
		loop_timer_set(conn->silent, conn->heartbeat - quiet);
	else if (quiet < most) {
		conn->ping = true;
		lws_callback_on_writable(conn->wsi);
		loop_timer_set(conn->silent, most - quiet);
	} else if (recv(lws_get_socket_fd(conn->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		loop_timer_set(conn->silent, look_again);
	else {
		autofree char *why = mem_printf("silent for %g s", most);
		refuse(conn, why);
		shutdown(lws_get_socket_fd(conn->wsi), SHUT_RDWR);
	}
}

static struct conn *conn_new(struct loop *loop, unsigned heartbeat, const struct conn_ops *ops, void *data)
{
	struct conn *conn = mem_alloc(sizeof *conn);
	conn->heartbeat = heartbeat;
	conn->silent = loop_timer_new(loop, on_silence, conn);
	conn->ops = ops;
	conn->data = data;
	conn->last = &conn->first;
	conn->limit = TEXT_LIMIT;
	return conn;
}

// --- in -----------------------------------------------------------------------

static int on_text_piece(struct conn *conn, const void *in, size_t len, bool last)
{
	if (conn->text.len + len > conn->limit)
		return refuse(conn, "a message is too long");
	str_add(&conn->text, in, len);
	if (!last)
		return 0;
	json_error_t why;
	autojson json_t *msg = json_loadb(conn->text.text, conn->text.len, JSON_REJECT_DUPLICATES, &why);
	conn->text.len = 0;
	if (conn->text.size > TEXT_LIMIT)
		str_fini(&conn->text);
	if (!json_is_object(msg))
		return refuse(conn, "a message is not a JSON object");
	conn->ops->on_text(conn, msg, conn->data);
	return 0;
}

static int on_binary_piece(struct conn *conn, const unsigned char *in, size_t len, bool first)
{
	if (first)
		conn->header_len = 0;
	while (conn->header_len < HEADER && len) {
		conn->header[conn->header_len++] = *in++;
		len--;
		if (conn->header_len == HEADER) {
			uint64_t offset;
			memcpy(&offset, conn->header + 4, sizeof offset);
			conn->offset = be64toh(offset);
		}
	}
	if (!len)
		return 0;
	uint32_t stream;
	memcpy(&stream, conn->header, sizeof stream);
	conn->ops->on_bytes(conn, ntohl(stream), conn->offset, in, len, conn->data);
	conn->offset += len;
	return 0;
}

static int on_receive(struct conn *conn, const void *in, size_t len)
{
	if (conn->closing)
		return 0;
	struct lws *wsi = conn->wsi;
	if (lws_frame_is_binary(wsi))
		return on_binary_piece(conn, in, len, lws_is_first_fragment(wsi));
	return on_text_piece(conn, in, len, lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0);
}

// --- out ----------------------------------------------------------------------

static struct conn_message *message_new(size_t len, bool binary)
{
	struct conn_message *m = malloc(sizeof *m + LWS_PRE + len);
	if (!m)
		abort();
	m->refs = 1;
	m->len = len;
	m->binary = binary;
	return m;
}

void conn_send_message(struct conn *conn, struct conn_message *message)
{
	struct frame *f = mem_alloc(sizeof *f);
	message->refs++;
	f->message = message;
	*conn->last = f;
	conn->last = &f->next;
	conn->queued += message->len;
	if (conn->open)
		lws_callback_on_writable(conn->wsi);
}

// The connection alone has it.
static void give(struct conn *conn, struct conn_message *message)
{
	conn_send_message(conn, message);
	conn_message_free(message);
}

static void put_header(unsigned char *at, uint32_t stream, uint64_t offset)
{
	stream = htonl(stream);
	offset = htobe64(offset);
	memcpy(at, &stream, sizeof stream);
	memcpy(at + sizeof stream, &offset, sizeof offset);
}

struct conn_message *conn_message_new(const json_t *msg)
{
	size_t len = json_dumpb(msg, NULL, 0, JSON_COMPACT);
	struct conn_message *m = message_new(len, false);
	json_dumpb(msg, (char *)m->bytes + LWS_PRE, len, JSON_COMPACT);
	return m;
}

void conn_send(struct conn *conn, const json_t *msg)
{
	give(conn, conn_message_new(msg));
}

void conn_send_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len)
{
	struct conn_message *m = message_new(HEADER + len, true);
	put_header(m->bytes + LWS_PRE, stream, offset);
	memcpy(m->bytes + LWS_PRE + HEADER, bytes, len);
	give(conn, m);
}

// What is sent at once: a message or a piece of one.
struct piece {
	unsigned char *bytes; // LWS_PRE bytes before them are free
	size_t len;
	bool binary, first, last;
};

// Puts the head of a client's frame before its bytes and returns where it begins. Clients must mask what they send with
// a key that proxies cannot guess; inside TLS no proxy reads along, and with the key 0 masking changes nothing. lws
// would go over every byte on both sides.
static unsigned char *put_client_head(const struct piece *p)
{
	size_t width = p->len < 126 ? 0 : p->len < 65536 ? 2 : 8;
	unsigned char *at = p->bytes - 2 - width - 4;
	uint64_t big = htobe64(p->len);
	at[0] = (unsigned char)((p->last ? 0x80 : 0) | (!p->first ? 0 : p->binary ? 2 : 1));
	at[1] = (unsigned char)(0x80 | (width == 0 ? p->len : width == 2 ? 126 : 127));
	memcpy(at + 2, (char *)&big + sizeof big - width, width);
	memset(p->bytes - 4, 0, 4);
	return at;
}

static int put_piece(struct conn *conn, const struct piece *p)
{
	int how = !p->first ? LWS_WRITE_CONTINUATION : p->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT;
	unsigned char *at = p->bytes;
	if (conn->fingerprint) {
		at = put_client_head(p);
		how = LWS_WRITE_RAW;
	} else if (!p->last)
		how |= LWS_WRITE_NO_FIN;
	if (lws_write(conn->wsi, at, (size_t)(p->bytes - at) + p->len, (enum lws_write_protocol)how) < 0)
		return refuse(conn, "cannot write to the connection");
	return 0;
}

// A long message goes in pieces: what the socket does not take, lws copies, and there may be thousands of connections.
static int send_frame(struct conn *conn)
{
	static unsigned char buf[LWS_PRE + PIECE]; // one thread, one loop
	struct conn_message *m = conn->first->message;
	struct piece p = {.bytes = m->bytes + LWS_PRE,
		.len = m->len,
		.binary = m->binary,
		.first = conn->sent == 0,
		.last = true};
	if (m->len > PIECE && !m->binary) {
		p.len = m->len - conn->sent < PIECE ? m->len - conn->sent : PIECE;
		p.last = conn->sent + p.len == m->len;
		p.bytes = memcpy(buf + LWS_PRE, m->bytes + LWS_PRE + conn->sent, p.len);
	}
	int rc = put_piece(conn, &p);
	conn->sent = p.last ? 0 : conn->sent + p.len;
	if (p.last)
		drop_frame(conn);
	return rc;
}

static int send_stream(struct conn *conn)
{
	static unsigned char buf[LWS_PRE + HEADER + CONN_CHUNK]; // one thread, one loop
	uint32_t stream;
	uint64_t offset;
	size_t len = conn->ops->fill
			     ? conn->ops->fill(conn, &stream, &offset, buf + LWS_PRE + HEADER, CONN_CHUNK, conn->data)
			     : 0;
	if (!len)
		return 0;
	put_header(buf + LWS_PRE, stream, offset);
	struct piece p = {.bytes = buf + LWS_PRE, .len = HEADER + len, .binary = true, .first = true, .last = true};
	if (put_piece(conn, &p) < 0)
		return -1;
	lws_callback_on_writable(conn->wsi);
	return 0;
}

static int send_ping(struct conn *conn)
{
	unsigned char buf[LWS_PRE + 1] = {0}; // lws forgets to answer a ping with nothing in it
	conn->ping = false;
	lws_callback_on_writable(conn->wsi); // for what else there is
	return lws_write(conn->wsi, buf + LWS_PRE, 1, LWS_WRITE_PING) < 0
		       ? refuse(conn, "cannot write to the connection")
		       : 0;
}

static int on_writable(struct conn *conn)
{
	if (conn->ping)
		return send_ping(conn);
	if (conn->first) {
		if (send_frame(conn) < 0)
			return -1;
		if (conn->first || conn->closing || conn->ops->fill)
			lws_callback_on_writable(conn->wsi);
		return 0;
	}
	if (conn->closing)
		return -1;
	return send_stream(conn);
}

// --- life ---------------------------------------------------------------------

static void finish(struct conn *conn, const char *why)
{
	lws_set_opaque_user_data(conn->wsi, &gone);
	conn->ops->on_close(conn, conn->close_why ? conn->close_why : why, conn->data);
	conn_free(conn);
}

static int on_established(struct conn *conn, struct lws *wsi)
{
	conn->wsi = wsi;
	if (conn->fingerprint && !crypto_peer_matches(lws_get_ssl(wsi), conn->fingerprint))
		return refuse(conn, "the controller's certificate does not match the fingerprint");
	conn->open = true;
	conn->heard = clock_mono();
	loop_timer_set(conn->silent, conn->heartbeat);
	if (!conn->closing)
		conn->ops->on_open(conn, conn->data);
	lws_callback_on_writable(wsi);
	return 0;
}

static void find_peer(char *peer, size_t size, int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof a;
	char host[64] = "?";
	int port = 0;
	if (getpeername(fd, (struct sockaddr *)&a, &len) == 0) {
		if (a.ss_family == AF_INET6) {
			struct sockaddr_in6 *s = (struct sockaddr_in6 *)&a;
			inet_ntop(AF_INET6, &s->sin6_addr, host, sizeof host);
			port = ntohs(s->sin6_port);
		} else {
			struct sockaddr_in *s = (struct sockaddr_in *)&a;
			inet_ntop(AF_INET, &s->sin_addr, host, sizeof host);
			port = ntohs(s->sin_port);
		}
	}
	snprintf(peer, size, "%s:%d", host, port);
}

static void on_accepted(struct lws *wsi, struct listener *l)
{
	struct conn *conn = conn_new(l->loop, l->heartbeat, l->ops, l->data);
	conn->wsi = wsi;
	memcpy(conn->peer, l->peer, sizeof conn->peer);
	lws_set_opaque_user_data(wsi, conn);
}

// A peer that connected and went away before it spoke WebSocket over TLS.
static void on_stillborn(struct lws *wsi, struct conn *conn, struct listener *l)
{
	if (l->on_refused)
		l->on_refused(conn->peer, l->data);
	lws_set_opaque_user_data(wsi, &gone);
	conn_free(conn);
}

static int on_client_error(struct conn *conn, const char *why, size_t len)
{
	autofree char *text = mem_strndup(why ? why : "cannot connect", why ? len : 14);
	if (conn->dialling)
		refuse(conn, text); // conn_dial is still at work and reports it
	else
		finish(conn, text);
	return 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS ||
		reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS)
		crypto_spare(user); // there is no connection yet: this is for all of them
	struct conn *conn = lws_get_opaque_user_data(wsi);
	struct listener *l = lws_get_vhost_user(lws_get_vhost(wsi));
	if (!conn) {
		if (reason == LWS_CALLBACK_FILTER_NETWORK_CONNECTION)
			find_peer(l->peer, sizeof l->peer, (int)(intptr_t)in);
		else if (reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED)
			on_accepted(wsi, l);
		else if (reason == LWS_CALLBACK_WSI_DESTROY && l && l->on_refused)
			l->on_refused(
				l->peer, l->data); // refused by TLS before lws had even said that there is a client
		return 0;
	}
	if (conn == &gone)
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_HTTP:
		return -1; // somebody asks for a web page
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
	case LWS_CALLBACK_ESTABLISHED:
		return on_established(conn, wsi);
	case LWS_CALLBACK_CLIENT_RECEIVE:
	case LWS_CALLBACK_RECEIVE:
		conn->heard = clock_mono();
		return on_receive(conn, in, len);
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
	case LWS_CALLBACK_RECEIVE_PONG:
		conn->heard = clock_mono();
		return 0;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return on_writable(conn);
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		return on_client_error(conn, in, len);
	case LWS_CALLBACK_CLIENT_CLOSED:
	case LWS_CALLBACK_CLOSED:
		finish(conn, "the connection was closed");
		return 0;
	case LWS_CALLBACK_WSI_DESTROY:
		if (!conn->open && l)
			on_stillborn(wsi, conn, l);
		return 0;
	}
	return 0;
}

// lws is to ping nobody and to give nobody up: on_silence does.
static const lws_retry_bo_t never = {.secs_since_valid_ping = UINT16_MAX - 1, .secs_since_valid_hangup = UINT16_MAX};

static const struct lws_protocols client_protocols[] = {
	{.name = protocol_name, .callback = on_event, .rx_buffer_size = PROTOCOL_RX}, {0}};

static struct lws_vhost *client_vhost(struct lws_context *context)
{
	struct lws_vhost *vhost = lws_get_vhost_by_name(context, "dial");
	if (vhost)
		return vhost;
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN,
		.protocols = client_protocols,
		.vhost_name = "dial",
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.client_tls_1_3_plus_cipher_list =
			"TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
		.connect_timeout_secs = 10,
		.timeout_secs = 10,
	};
	return lws_create_vhost(context, &info);
}

// "wss://HOST:PORT" into its parts; of "unix:PATH" the host is what lws calls it, "+PATH".
static int parse_url(const char *url, char **host, int *port, struct error *err)
{
	if (str_starts(url, "unix:") && url[5]) {
		*host = mem_printf("+%s", url + 5);
		*port = 0;
		return 0;
	}
	const char *colon = strrchr(url, ':');
	char *end = NULL;
	long n = colon ? strtol(colon + 1, &end, 10) : 0;
	if (!str_starts(url, "wss://") || colon <= url + 6 || *end || n < 1 || n > 65535)
		return error_set(err, ERROR_USAGE,
			"'%s' is not a controller address; expected wss://HOST:PORT or unix:PATH", url);
	*host = mem_strndup(url + 6, (size_t)(colon - url - 6));
	*port = (int)n;
	return 0;
}

struct conn *conn_dial(struct loop *loop, const char *url, const char *fingerprint, unsigned heartbeat,
	const struct conn_ops *ops, void *data, struct error *err)
{
	autofree char *host = NULL;
	int port = 0;
	if (parse_url(url, &host, &port, err) < 0)
		return NULL;
	struct lws_context *context = loop_context(loop);
	struct lws_vhost *vhost = client_vhost(context);
	if (!vhost) {
		error_set(err, ERROR_SYSTEM, "cannot prepare a TLS connection");
		return NULL;
	}
	struct conn *conn = conn_new(loop, heartbeat, ops, data);
	conn->fingerprint = mem_strdup(fingerprint);
	snprintf(conn->peer, sizeof conn->peer, "%s", strchr(url, ':') + (port ? 3 : 1));
	struct lws_client_connect_info info = {
		.context = context,
		.vhost = vhost,
		.address = host,
		.port = port,
		.host = port ? host : "localhost",
		.path = "/",
		.protocol = protocol_name,
		.local_protocol_name = protocol_name,
		.ssl_connection = LCCSCF_USE_SSL | LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK |
				  LCCSCF_ALLOW_INSECURE,
		.opaque_user_data = conn,
		.retry_and_idle_policy = &never,
		.alpn = "http/1.1",
		.pwsi = &conn->wsi,
	};
	conn->dialling = true;
	struct lws *wsi = lws_client_connect_via_info(&info);
	conn->dialling = false;
	if (!wsi) {
		error_set(err, ERROR_SYSTEM, "cannot connect to %s: %s", url,
			conn->close_why ? conn->close_why : "no connection");
		conn_free(conn);
		return NULL;
	}
	return conn;
}

struct listener *conn_listen(struct loop *loop, const char *address, int *port, const struct crypto_identity *identity,
	unsigned heartbeat, const struct conn_ops *ops, void (*on_refused)(const char *peer, void *data), void *data,
	struct error *err)
{
	struct listener *l = mem_alloc(sizeof *l);
	*l = (struct listener){
		.loop = loop, .ops = ops, .on_refused = on_refused, .data = data, .heartbeat = heartbeat};
	l->protocols[0] =
		(struct lws_protocols){.name = protocol_name, .callback = on_event, .rx_buffer_size = PROTOCOL_RX};
	struct lws_context_creation_info info = {
		.port = *port,
		.iface = address,
		.protocols = l->protocols,
		.vhost_name = "listen",
		.user = l,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_IPV6 |
			   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND | LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.server_ssl_cert_mem = identity->cert,
		.server_ssl_cert_mem_len = (unsigned)identity->cert_len,
		.server_ssl_private_key_mem = identity->key,
		.server_ssl_private_key_mem_len = (unsigned)identity->key_len,
		.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2,
		.tls1_3_plus_cipher_list = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
		.alpn = "http/1.1",
		.retry_and_idle_policy = &never,
		.timeout_secs = 10,
		.max_http_header_pool = 64,
	};
	struct lws_vhost *vhost = lws_create_vhost(loop_context(loop), &info);
	if (!vhost) {
		free(l);
		error_set(err, ERROR_SYSTEM, "cannot listen on %s port %d", address ? address : "any address", *port);
		return NULL;
	}
	*port = lws_get_vhost_listen_port(vhost);
	return l;
}

void conn_listener_free(struct listener *listener)
{
	free(listener);
}

void conn_set(struct conn *conn, const struct conn_ops *ops, void *data)
{
	conn->ops = ops;
	conn->data = data;
}

void conn_expire(struct conn *conn, unsigned seconds)
{
	lws_set_timeout(conn->wsi, seconds ? PENDING_TIMEOUT_USER_OK : NO_PENDING_TIMEOUT, (int)seconds);
}

void conn_limit(struct conn *conn, size_t bytes)
{
	conn->limit = bytes;
}

size_t conn_queued(const struct conn *conn)
{
	return conn->queued;
}

void conn_wake(struct conn *conn)
{
	if (conn->open)
		lws_callback_on_writable(conn->wsi);
}

void conn_close(struct conn *conn, const char *why)
{
	if (conn->closing)
		return;
	conn->closing = true;
	if (!conn->close_why)
		conn->close_why = mem_strdup(why);
	if (conn->open) {
		conn_expire(conn, CLOSE_WITHIN); // a peer that does not read would keep it
		lws_callback_on_writable(conn->wsi);
	} else
		lws_set_timeout(conn->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
}

const char *conn_peer(const struct conn *conn)
{
	return conn->peer;
}

double conn_heard(const struct conn *conn)
{
	return conn->heard;
}
