#include "base/crypto.h"

#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY = 24 * 3600, VALID_DAYS = 365 };

static int openssl_error(struct error *err, const char *what)
{
	char text[256];
	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	ERR_clear_error();
	return error_set(err, ERROR_SYSTEM, "cannot %s: %s", what, text);
}

void crypto_random(void *bytes, size_t len)
{
	unsigned char *p = bytes;
	while (len > 0) {
		ssize_t got = getrandom(p, len, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			abort();
		p += got;
		len -= (size_t)got;
	}
}

char *crypto_random_hex(size_t bytes)
{
	autofree unsigned char *raw = mem_alloc(bytes);
	char *hex = mem_alloc(2 * bytes + 1);
	crypto_random(raw, bytes);
	str_hex(hex, raw, bytes);
	OPENSSL_cleanse(raw, bytes);
	return hex;
}

void crypto_wipe(char *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, strlen(secret));
	free(secret);
}

struct crypto_hash *crypto_hash_new(void)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		abort();
	return (struct crypto_hash *)ctx;
}

void crypto_hash_add(struct crypto_hash *hash, const void *bytes, size_t len)
{
	if (EVP_DigestUpdate((EVP_MD_CTX *)hash, bytes, len) != 1)
		abort();
}

void crypto_hash_end(struct crypto_hash *hash, char hex[CRYPTO_HEX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (hash && hex) {
		if (EVP_DigestFinal_ex((EVP_MD_CTX *)hash, sum, &len) != 1)
			abort();
		str_hex(hex, sum, len);
	}
	EVP_MD_CTX_free((EVP_MD_CTX *)hash);
}

void crypto_sha256(const void *bytes, size_t len, char hex[CRYPTO_HEX])
{
	struct crypto_hash *hash = crypto_hash_new();
	crypto_hash_add(hash, bytes, len);
	crypto_hash_end(hash, hex);
}

int crypto_sha256_file(const char *path, char hex[CRYPTO_HEX], struct error *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "cannot open '%s'", path);
	enum { CHUNK = 128 * 1024 };
	autofree char *chunk = mem_alloc(CHUNK);
	struct crypto_hash *hash = crypto_hash_new();
	ssize_t got;
	while ((got = read(fd, chunk, CHUNK)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			error_errno(err, "cannot read '%s'", path);
			crypto_hash_end(hash, NULL);
			return -1;
		}
		crypto_hash_add(hash, chunk, (size_t)got);
	}
	crypto_hash_end(hash, hex);
	return 0;
}

void crypto_token(const char *secret, const char *text, char hex[CRYPTO_HEX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text, strlen(text), sum, &len))
		abort();
	str_hex(hex, sum, len);
}

bool crypto_equal(const char *a, const char *b)
{
	if (!a || !b)
		return false;
	size_t len = strlen(a);
	return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

char *crypto_base64(const void *bytes, size_t len)
{
	char *text = mem_alloc(4 * (len / 3 + 1) + 1);
	EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
	return text;
}

char *crypto_base64_decode(const char *text, size_t *len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = strlen(text), have = 0;
	autofree char *packed = mem_alloc(size + 1);
	for (const char *at = text; *at; at++)
		if (!strchr(" \t\r\n", *at))
			packed[have++] = *at;
	size_t letters = strspn(packed, alphabet), padding = strspn(packed + letters, "=");
	if (have % 4 || letters + padding != have || padding > 2 || have > INT_MAX)
		return NULL;
	char *bytes = mem_alloc(have / 4 * 3 + 1);
	EVP_DecodeBlock((unsigned char *)bytes, (unsigned char *)packed, (int)have);
	*len = have / 4 * 3 - padding;
	bytes[*len] = '\0';
	OPENSSL_cleanse(packed, have);
	return bytes;
}

char *crypto_websocket_accept(const char *key)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	autofree char *text = mem_printf("%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	if (EVP_Digest(text, strlen(text), sum, &len, EVP_sha1(), NULL) != 1)
		abort();
	return crypto_base64(sum, len);
}

static X509 *self_signed(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	if (!cert)
		return NULL;
	uint64_t serial;
	crypto_random(&serial, sizeof serial);
	X509_NAME *name = X509_get_subject_name(cert);
	if (X509_set_version(cert, X509_VERSION_3) != 1 ||
		ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) != 1 ||
		!X509_gmtime_adj(X509_getm_notBefore(cert), -DAY) ||
		!X509_gmtime_adj(X509_getm_notAfter(cert), (long)VALID_DAYS * DAY) ||
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"muster", -1, -1, 0) != 1 ||
		X509_set_issuer_name(cert, name) != 1 || X509_set_pubkey(cert, key) != 1 ||
		X509_sign(cert, key, EVP_sha256()) == 0) {
		X509_free(cert);
		return NULL;
	}
	return cert;
}

static char *bio_text(BIO *bio, size_t *len)
{
	char *bytes;
	long got = BIO_get_mem_data(bio, &bytes);
	*len = got > 0 ? (size_t)got : 0;
	return mem_strndup(bytes, *len);
}

static void fingerprint(const X509 *cert, char hex[CRYPTO_HEX])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	if (X509_digest(cert, EVP_sha256(), sum, &len) != 1)
		abort();
	str_hex(hex, sum, len);
}

int crypto_identity_make(struct crypto_identity *id, struct error *err)
{
	*id = (struct crypto_identity){0};
	int rc = -1;
	BIO *cert_bio = BIO_new(BIO_s_mem());
	BIO *key_bio = BIO_new(BIO_s_secmem());
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? self_signed(key) : NULL;
	if (!cert || !cert_bio || !key_bio || PEM_write_bio_X509(cert_bio, cert) != 1 ||
		PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
		openssl_error(err, "make a certificate");
		goto done;
	}
	id->cert = bio_text(cert_bio, &id->cert_len);
	id->key = bio_text(key_bio, &id->key_len);
	fingerprint(cert, id->fingerprint);
	rc = 0;
done:
	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	return rc;
}

void crypto_identity_fini(struct crypto_identity *id)
{
	if (id->key)
		OPENSSL_cleanse(id->key, id->key_len);
	free(id->cert);
	free(id->key);
	*id = (struct crypto_identity){0};
}

int crypto_fingerprint(const void *cert, size_t len, char hex[CRYPTO_HEX], struct error *err)
{
	X509 *x509 = NULL;
	BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(cert, (int)len) : NULL;
	if (bio)
		x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	const unsigned char *der = cert;
	if (!x509 && len <= LONG_MAX)
		x509 = d2i_X509(NULL, &der, (long)len);
	if (!x509)
		return openssl_error(err, "read a certificate");
	ERR_clear_error();
	fingerprint(x509, hex);
	X509_free(x509);
	return 0;
}

bool crypto_peer_matches(void *ssl, const char *expected)
{
	X509 *cert = SSL_get1_peer_certificate(ssl);
	if (!cert)
		return false;
	char hex[CRYPTO_HEX];
	fingerprint(cert, hex);
	X509_free(cert);
	return crypto_equal(hex, expected);
}

void crypto_spare(void *ctx)
{
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
}

// --- warming up ---------------------------------------------------------------

// The two talk until neither has anything to say.
static void talk(SSL *client, SSL *server)
{
	char byte = 'x';
	for (int turn = 0; turn < 8; turn++) {
		SSL_do_handshake(client);
		SSL_do_handshake(server);
	}
	SSL_write(server, &byte, 1);
	SSL_read(client, &byte, 1);
	SSL_write(client, &byte, 1);
	SSL_read(server, &byte, 1);
}

void crypto_warm(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? self_signed(key) : NULL;
	SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method()), *server_ctx = SSL_CTX_new(TLS_server_method());
	SSL *client = client_ctx ? SSL_new(client_ctx) : NULL, *server = NULL;
	BIO *one = NULL, *other = NULL;
	if (cert && server_ctx && SSL_CTX_use_certificate(server_ctx, cert) == 1 &&
		SSL_CTX_use_PrivateKey(server_ctx, key) == 1)
		server = SSL_new(server_ctx);
	if (client && server && BIO_new_bio_pair(&one, 0, &other, 0) == 1) {
		SSL_set_bio(client, one, one);
		SSL_set_bio(server, other, other);
		SSL_set_connect_state(client);
		SSL_set_accept_state(server);
		talk(client, server);
	}
	char hex[CRYPTO_HEX];
	crypto_token("", "", hex);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
}

// --- TLS --------------------------------------------------------------------

struct crypto_tls {
	SSL_CTX *ctx;
	SSL *ssl;
	struct crypto_tls *through; // NULL: the socket
};

void crypto_tls_close(struct crypto_tls *tls)
{
	if (!tls)
		return;
	SSL_free(tls->ssl);
	SSL_CTX_free(tls->ctx);
	free(tls);
}

static int handshake_error(SSL *ssl, int rc, const char *host, struct error *err)
{
	long verdict = SSL_get_verify_result(ssl);
	int what = SSL_get_error(ssl, rc), saved = errno;
	if (verdict != X509_V_OK && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
		ERR_clear_error();
		return error_set(err, ERROR_SYSTEM, "the certificate of '%s' is not trusted: %s", host,
			X509_verify_cert_error_string(verdict));
	}
	if (what == SSL_ERROR_SYSCALL && saved) {
		errno = saved;
		return error_errno(err, "cannot establish TLS with '%s'", host);
	}
	return openssl_error(err, "speak TLS with it");
}

// Nobody is asked for the passphrase of a key: OpenSSL would ask on the terminal.
static int no_passphrase(char *out, int size, int writing, void *data)
{
	return 0;
}

static BIO *text_bio(const char *text)
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	if (!bio)
		abort();
	return bio;
}

// The certificate, and those of its issuers behind it.
static bool use_chain(SSL_CTX *ctx, const char *text)
{
	BIO *bio = text_bio(text);
	X509 *cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL), *issuer;
	bool good = cert && SSL_CTX_use_certificate(ctx, cert) == 1;
	X509_free(cert);
	while (good && (issuer = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)))
		if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
			X509_free(issuer);
			good = false;
		}
	BIO_free(bio);
	return good;
}

static bool use_key(SSL_CTX *ctx, const char *text)
{
	BIO *bio = text_bio(text);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	bool good = key && SSL_CTX_use_PrivateKey(ctx, key) == 1;
	EVP_PKEY_free(key);
	BIO_free(bio);
	return good;
}

static int use_certificate(SSL_CTX *ctx, const struct crypto_tls_options *o, struct error *err)
{
	if (!o->cert && !o->cert_text)
		return 0;
	bool good =
		(o->cert_text ? use_chain(ctx, o->cert_text) : SSL_CTX_use_certificate_chain_file(ctx, o->cert) == 1) &&
		(o->key_text ? use_key(ctx, o->key_text)
			     : o->key && SSL_CTX_use_PrivateKey_file(ctx, o->key, SSL_FILETYPE_PEM) == 1);
	ERR_clear_error();
	return good ? 0
		    : error_set(err, ERROR_SYSTEM,
			      "cannot use the certificate '%s' with the key '%s', expected a pair in PEM without a "
			      "passphrase",
			      o->cert_text ? "(in memory)" : o->cert,
			      o->key_text ? "(in memory)"
			      : o->key    ? o->key
					  : "(none)");
}

static bool trust_text(SSL_CTX *ctx, const char *text)
{
	BIO *bio = text_bio(text);
	int count = 0;
	for (X509 *cert; (cert = PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL)); X509_free(cert))
		count += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
	BIO_free(bio);
	return count > 0;
}

// Each certificate is trusted as it is, also one whose issuer is not there: an authority's below a root, or a server's.
static int use_trust(SSL_CTX *ctx, const struct crypto_tls_options *o, struct error *err)
{
	if (o->unverified)
		return 0;
	X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	if (o->bundle_text ? trust_text(ctx, o->bundle_text)
			   : o->bundle && SSL_CTX_load_verify_file(ctx, o->bundle) == 1) {
		ERR_clear_error();
		return 0;
	}
	error_set(err, ERROR_SYSTEM, "cannot read certificates to trust from '%s'",
		o->bundle_text ? "(in memory)"
		: o->bundle    ? o->bundle
			       : "");
	ERR_clear_error();
	return -1;
}

// An address is checked but not asked for: server names are names (RFC 6066, section 3).
static int use_host(SSL *ssl, const struct crypto_tls_options *o, struct error *err)
{
	SSL_set_verify(ssl, o->unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), o->host) == 1)
		return 0;
	ERR_clear_error();
	return SSL_set1_host(ssl, o->host) == 1 && SSL_set_tlsext_host_name(ssl, o->host) == 1
		       ? 0
		       : openssl_error(err, "ask for the host");
}

static int use_protocol(SSL *ssl, const char *protocol, struct error *err)
{
	unsigned char list[64];
	size_t len = protocol ? strlen(protocol) : 0;
	if (!len)
		return 0;
	assert(len < sizeof list);
	list[0] = (unsigned char)len;
	memcpy(list + 1, protocol, len);
	return SSL_set_alpn_protos(ssl, list, (unsigned)len + 1) == 0 ? 0 : openssl_error(err, "ask for a protocol");
}

// OpenSSL's own socket BIO writes with write(2), which is SIGPIPE where the peer has gone.
static int put_bytes(BIO *bio, const char *bytes, int len)
{
	ssize_t n = send((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)len, MSG_NOSIGNAL);
	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)n;
}

static int get_bytes(BIO *bio, char *bytes, int len)
{
	ssize_t n = recv((int)(intptr_t)BIO_get_data(bio), bytes, (size_t)len, 0);
	BIO_clear_retry_flags(bio);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)n;
}

static long control(BIO *bio, int command, long number, void *data)
{
	return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *quiet_socket;

static void make_quiet_socket(void)
{
	quiet_socket = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");
	if (!quiet_socket || BIO_meth_set_write(quiet_socket, put_bytes) != 1 ||
		BIO_meth_set_read(quiet_socket, get_bytes) != 1 || BIO_meth_set_ctrl(quiet_socket, control) != 1)
		abort();
}

static BIO *socket_bio(int fd)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, make_quiet_socket);
	BIO *bio = BIO_new(quiet_socket);
	if (!bio)
		abort();
	BIO_set_data(bio, (void *)(intptr_t)fd);
	BIO_set_init(bio, 1);
	return bio;
}

static BIO *tls_bio(SSL *through)
{
	BIO *bio = BIO_new(BIO_f_ssl());
	if (!bio)
		abort();
	BIO_set_ssl(bio, through, BIO_NOCLOSE);
	return bio;
}

struct crypto_tls *crypto_tls_open(int fd, const struct crypto_tls_options *o, struct error *err)
{
	struct crypto_tls *tls = mem_alloc(sizeof *tls);
	tls->through = o->through;
	tls->ctx = SSL_CTX_new(TLS_client_method());
	if (!tls->ctx)
		abort();
	SSL_CTX_set_default_passwd_cb(tls->ctx, no_passphrase);
	// A write that could not be finished goes on from wherever its bytes are then.
	SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (use_certificate(tls->ctx, o, err) == 0 && use_trust(tls->ctx, o, err) == 0) {
		tls->ssl = SSL_new(tls->ctx);
		if (!tls->ssl)
			abort();
		BIO *line = o->through ? tls_bio(o->through->ssl) : socket_bio(fd);
		SSL_set_bio(tls->ssl, line, line);
		if (use_host(tls->ssl, o, err) == 0 && use_protocol(tls->ssl, o->protocol, err) == 0)
			return tls;
	}
	crypto_tls_close(tls);
	return NULL;
}

int crypto_tls_handshake(struct crypto_tls *tls, const struct crypto_tls_options *o, struct error *err)
{
	ERR_clear_error();
	errno = 0;
	int rc = SSL_connect(tls->ssl);
	if (rc == 1)
		return 0;
	int what = SSL_get_error(tls->ssl, rc);
	if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE)
		return 1;
	return handshake_error(tls->ssl, rc, o->host, err);
}

bool crypto_tls_is_untrusted(const struct crypto_tls *tls)
{
	return SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE && SSL_get_verify_result(tls->ssl) != X509_V_OK;
}

static ssize_t tls_result(struct crypto_tls *tls, int rc)
{
	if (rc > 0)
		return rc;
	int saved = errno;
	switch (SSL_get_error(tls->ssl, rc)) {
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		errno = EAGAIN;
		break;
	case SSL_ERROR_SYSCALL:
		errno = saved ? saved : ECONNRESET;
		break;
	default:
		errno = ECONNRESET;
	}
	ERR_clear_error();
	return -1;
}

bool crypto_tls_pending(const struct crypto_tls *tls)
{
	return SSL_pending(tls->ssl) > 0 || (tls->through && crypto_tls_pending(tls->through));
}

ssize_t crypto_tls_read(struct crypto_tls *tls, void *bytes, size_t len)
{
	errno = 0;
	return tls_result(tls, SSL_read(tls->ssl, bytes, len < INT_MAX ? (int)len : INT_MAX));
}

ssize_t crypto_tls_write(struct crypto_tls *tls, const void *bytes, size_t len)
{
	errno = 0;
	return tls_result(tls, SSL_write(tls->ssl, bytes, len < INT_MAX ? (int)len : INT_MAX));
}
