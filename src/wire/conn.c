#include "wire/conn.h"

#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 12, TEXT_LIMIT = 64 * 1024, PROTOCOL_RX = 17 * 1024, CLOSE_WITHIN = 10, HEARTBEAT_MAX = 10000 };

static const char protocol_name[] = "muster-1";

// A frame that waits to be sent; LWS_PRE bytes of room stand before it.
struct frame {
	struct frame *next;
	size_t len;
	bool binary;
	unsigned char bytes[];
};

struct conn {
	struct lws *wsi;
	const struct conn_ops *ops;
	void *data;
	char *fingerprint; // of a dialled connection
	lws_retry_bo_t retry;
	char peer[80];
	struct frame *first, **last;
	size_t queued, limit;
	struct str text;               // a text message that is still coming in
	unsigned char header[HEADER];  // of the binary frame that is coming in
	size_t header_len;
	uint64_t offset;
	char *close_why;
	bool open, dialling, closing;
};

static struct conn gone; // stands for a connection that was told off already and that lws is about to forget

struct listener {
	const struct conn_ops *ops;
	void (*on_refused)(const char *peer, void *data);
	void *data;
	lws_retry_bo_t retry;
	struct lws_protocols protocols[2];
	char peer[80]; // of the connection that is being accepted: lws tells first the descriptor, then what it made of it
};

static void drop_frame(struct conn *conn)
{
	struct frame *f = conn->first;
	conn->first = f->next;
	if (!conn->first)
		conn->last = &conn->first;
	conn->queued -= f->len;
	free(f);
}

static void conn_free(struct conn *conn)
{
	while (conn->first)
		drop_frame(conn);
	str_fini(&conn->text);
	free(conn->fingerprint);
	free(conn->close_why);
	free(conn);
}

static struct conn *conn_new(const struct conn_ops *ops, void *data)
{
	struct conn *conn = mem_alloc(sizeof *conn);
	conn->ops = ops;
	conn->data = data;
	conn->last = &conn->first;
	conn->limit = TEXT_LIMIT;
	return conn;
}

static int refuse(struct conn *conn, const char *why)
{
	if (!conn->close_why)
		conn->close_why = mem_strdup(why);
	return -1; // lws closes the connection
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
		return refuse(conn, "a message is no JSON object");
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

static struct frame *frame_new(size_t len, bool binary)
{
	struct frame *f = malloc(sizeof *f + LWS_PRE + len);
	if (!f)
		abort();
	f->next = NULL;
	f->len = len;
	f->binary = binary;
	return f;
}

static void enqueue(struct conn *conn, struct frame *f)
{
	*conn->last = f;
	conn->last = &f->next;
	conn->queued += f->len;
	if (conn->open)
		lws_callback_on_writable(conn->wsi);
}

static void put_header(unsigned char *at, uint32_t stream, uint64_t offset)
{
	stream = htonl(stream);
	offset = htobe64(offset);
	memcpy(at, &stream, sizeof stream);
	memcpy(at + sizeof stream, &offset, sizeof offset);
}

void conn_send(struct conn *conn, const json_t *msg)
{
	size_t len = json_dumpb(msg, NULL, 0, JSON_COMPACT);
	struct frame *f = frame_new(len, false);
	json_dumpb(msg, (char *)f->bytes + LWS_PRE, len, JSON_COMPACT);
	enqueue(conn, f);
}

void conn_send_text(struct conn *conn, const char *text, size_t len)
{
	struct frame *f = frame_new(len, false);
	memcpy(f->bytes + LWS_PRE, text, len);
	enqueue(conn, f);
}

void conn_send_bytes(struct conn *conn, uint32_t stream, uint64_t offset, const void *bytes, size_t len)
{
	struct frame *f = frame_new(HEADER + len, true);
	put_header(f->bytes + LWS_PRE, stream, offset);
	memcpy(f->bytes + LWS_PRE + HEADER, bytes, len);
	enqueue(conn, f);
}

// Puts the head of a client's frame before payload and returns where it begins. Clients must mask what they send with a key that proxies cannot
// guess; inside TLS no proxy reads along, and with the key 0 masking changes nothing. lws would go over every byte on both sides.
static unsigned char *put_client_head(unsigned char *payload, size_t len, bool binary)
{
	size_t width = len < 126 ? 0 : len < 65536 ? 2 : 8;
	unsigned char *at = payload - 2 - width - 4;
	uint64_t big = htobe64(len);
	at[0] = binary ? 0x82 : 0x81; // a whole message
	at[1] = (unsigned char)(0x80 | (width == 0 ? len : width == 2 ? 126 : 127));
	memcpy(at + 2, (char *)&big + sizeof big - width, width);
	memset(payload - 4, 0, 4);
	return at;
}

// LWS_PRE bytes before payload are free.
static int put_message(const struct conn *conn, unsigned char *payload, size_t len, bool binary)
{
	if (!conn->fingerprint)
		return lws_write(conn->wsi, payload, len, binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
	unsigned char *at = put_client_head(payload, len, binary);
	return lws_write(conn->wsi, at, (size_t)(payload - at) + len, LWS_WRITE_RAW);
}

static int send_frame(struct conn *conn)
{
	struct frame *f = conn->first;
	int n = put_message(conn, f->bytes + LWS_PRE, f->len, f->binary);
	drop_frame(conn);
	return n < 0 ? refuse(conn, "cannot write to the connection") : 0;
}

static int send_stream(struct conn *conn)
{
	static unsigned char buf[LWS_PRE + HEADER + CONN_CHUNK]; // one thread, one loop
	uint32_t stream;
	uint64_t offset;
	size_t len = conn->ops->fill ? conn->ops->fill(conn, &stream, &offset, buf + LWS_PRE + HEADER, CONN_CHUNK, conn->data) : 0;
	if (!len)
		return 0;
	put_header(buf + LWS_PRE, stream, offset);
	if (put_message(conn, buf + LWS_PRE, HEADER + len, true) < 0)
		return refuse(conn, "cannot write to the connection");
	lws_callback_on_writable(conn->wsi);
	return 0;
}

static int on_writable(struct conn *conn)
{
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
		return refuse(conn, "the controller's certificate is not the one that was announced");
	conn->open = true;
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
	struct conn *conn = conn_new(l->ops, l->data);
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
	struct conn *conn = lws_get_opaque_user_data(wsi);
	struct listener *l = lws_get_vhost_user(lws_get_vhost(wsi));
	if (!conn) {
		if (reason == LWS_CALLBACK_FILTER_NETWORK_CONNECTION)
			find_peer(l->peer, sizeof l->peer, (int)(intptr_t)in);
		else if (reason == LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED)
			on_accepted(wsi, l);
		else if (reason == LWS_CALLBACK_WSI_DESTROY && l && l->on_refused)
			l->on_refused(l->peer, l->data); // refused by TLS before lws had even said that there is a client
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
		return on_receive(conn, in, len);
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

static lws_retry_bo_t beat(unsigned heartbeat)
{
	if (heartbeat > HEARTBEAT_MAX)
		heartbeat = HEARTBEAT_MAX;
	return (lws_retry_bo_t){.secs_since_valid_ping = (uint16_t)heartbeat, .secs_since_valid_hangup = (uint16_t)(2 * heartbeat + (heartbeat + 1) / 2)};
}

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
		.client_tls_1_3_plus_cipher_list = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
		.connect_timeout_secs = 10,
		.timeout_secs = 10,
	};
	return lws_create_vhost(context, &info);
}

// "wss://HOST:PORT" into its parts.
static int parse_url(const char *url, char **host, int *port, struct error *err)
{
	const char *colon = strrchr(url, ':');
	char *end = NULL;
	long n = colon ? strtol(colon + 1, &end, 10) : 0;
	if (!str_starts(url, "wss://") || colon <= url + 6 || *end || n < 1 || n > 65535)
		return error_set(err, ERROR_USAGE, "'%s' is no address of a controller; expected wss://HOST:PORT", url);
	*host = mem_strndup(url + 6, (size_t)(colon - url - 6));
	*port = (int)n;
	return 0;
}

struct conn *conn_dial(struct loop *loop, const char *url, const char *fingerprint, unsigned heartbeat, const struct conn_ops *ops, void *data,
	struct error *err)
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
	struct conn *conn = conn_new(ops, data);
	conn->fingerprint = mem_strdup(fingerprint);
	conn->retry = beat(heartbeat);
	snprintf(conn->peer, sizeof conn->peer, "%s:%d", host, port);
	struct lws_client_connect_info info = {
		.context = context,
		.vhost = vhost,
		.address = host,
		.port = port,
		.host = host,
		.path = "/",
		.protocol = protocol_name,
		.local_protocol_name = protocol_name,
		.ssl_connection = LCCSCF_USE_SSL | LCCSCF_ALLOW_SELFSIGNED | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK | LCCSCF_ALLOW_INSECURE,
		.opaque_user_data = conn,
		.retry_and_idle_policy = &conn->retry,
		.alpn = "http/1.1",
		.pwsi = &conn->wsi,
	};
	conn->dialling = true;
	struct lws *wsi = lws_client_connect_via_info(&info);
	conn->dialling = false;
	if (!wsi) {
		error_set(err, ERROR_SYSTEM, "cannot dial %s: %s", url, conn->close_why ? conn->close_why : "no connection");
		conn_free(conn);
		return NULL;
	}
	return conn;
}

struct listener *conn_listen(struct loop *loop, const char *address, int *port, const struct crypto_identity *identity, unsigned heartbeat,
	const struct conn_ops *ops, void (*on_refused)(const char *peer, void *data), void *data, struct error *err)
{
	struct listener *l = mem_alloc(sizeof *l);
	*l = (struct listener){.ops = ops, .on_refused = on_refused, .data = data, .retry = beat(heartbeat)};
	l->protocols[0] = (struct lws_protocols){.name = protocol_name, .callback = on_event, .rx_buffer_size = PROTOCOL_RX};
	struct lws_context_creation_info info = {
		.port = *port,
		.iface = address,
		.protocols = l->protocols,
		.vhost_name = "listen",
		.user = l,
		.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_DISABLE_IPV6 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
			LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS,
		.server_ssl_cert_mem = identity->cert,
		.server_ssl_cert_mem_len = (unsigned)identity->cert_len,
		.server_ssl_private_key_mem = identity->key,
		.server_ssl_private_key_mem_len = (unsigned)identity->key_len,
		.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_TLSv1_2,
		.tls1_3_plus_cipher_list = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
		.alpn = "http/1.1",
		.retry_and_idle_policy = &l->retry,
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
