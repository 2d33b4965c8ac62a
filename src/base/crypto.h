// Cryptography: random bytes, SHA-256, tokens, and the one self-signed certificate a controller needs.
// It opens no connections. The TLS between controller and agents is spoken by libwebsockets, which is handed what is
// made here.
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CRYPTO_HEX 65 // room for a SHA-256 as lower-case hexadecimal with its NUL

// Unpredictable bytes; aborts when the operating system has none.
void crypto_random(void *bytes, size_t len);
char *crypto_random_hex(size_t bytes); // 2*bytes characters, owned by the caller

void crypto_wipe(char *secret); // overwrites a text and frees it; takes NULL

// SHA-256 step by step. crypto_hash_end writes the sum (hex may be NULL) and frees the hash.
struct crypto_hash;
struct crypto_hash *crypto_hash_new(void);
void crypto_hash_add(struct crypto_hash *hash, const void *bytes, size_t len);
void crypto_hash_end(struct crypto_hash *hash, char hex[CRYPTO_HEX]);

// SHA-256 of bytes in memory; of all that can be read from a file.
void crypto_sha256(const void *bytes, size_t len, char hex[CRYPTO_HEX]);
int crypto_sha256_file(const char *path, char hex[CRYPTO_HEX], struct error *err);

// HMAC-SHA256 of text with secret: crypto_token(secret, "node:3", hex) proves node 3 to whoever knows the secret.
void crypto_token(const char *secret, const char *text, char hex[CRYPTO_HEX]);

// Are two texts equal? The time it takes does not tell where they differ. NULL equals nothing.
bool crypto_equal(const char *a, const char *b);

// A new ECDSA P-256 key and its self-signed certificate (CN muster, valid from a day ago for a year), both as PEM in
// memory: lws takes them as server_ssl_cert_mem and server_ssl_private_key_mem. crypto_identity_fini wipes the key.
struct crypto_identity {
	char *cert, *key;         // NUL-ended
	size_t cert_len, key_len; // without the NUL
	char fingerprint[CRYPTO_HEX];
};
int crypto_identity_make(struct crypto_identity *id, struct error *err);
void crypto_identity_fini(struct crypto_identity *id);

// SHA-256 of a certificate's DER form; cert is PEM or DER.
int crypto_fingerprint(const void *cert, size_t len, char hex[CRYPTO_HEX], struct error *err);

// Is this the fingerprint of the certificate the peer of ssl (an SSL *) has shown?
bool crypto_peer_matches(void *ssl, const char *fingerprint);

// Does once, in memory, what every TLS handshake does: OpenSSL looks its algorithms up when they are first used, which
// takes some milliseconds. For a process that is about to fork many that will need them.
void crypto_warm(void);

// Connections of ctx (an SSL_CTX *) keep their 32 KiB of buffers only while there is something in them.
void crypto_spare(void *ctx);

// Base64 (RFC 4648, section 4), owned by the caller. Decoding passes over blanks and line ends; NULL when it is none;
// what it gives has a NUL behind its *len bytes.
char *crypto_base64(const void *bytes, size_t len);
char *crypto_base64_decode(const char *text, size_t *len);

// What a server must answer to this Sec-WebSocket-Key (RFC 6455, section 4.2.2). Owned by the caller.
char *crypto_websocket_accept(const char *key);

// A TLS client: whom it trusts and what it shows. Certificates and keys are PEM, in files or as texts in memory.
struct crypto_tls_options {
	const char *host;        // whose certificate the server must show: a name or an address
	const char *bundle;      // the file of certificates to trust
	const char *bundle_text; // or they themselves
	bool unverified;         // trust whoever answers: none of the above is looked at
	const char *cert, *key;  // files of a certificate (with its chain) to show, and its key; NULL: none
	const char *cert_text, *key_text;
	const char *protocol;       // to agree upon by ALPN, "http/1.1"; NULL: none
	struct crypto_tls *through; // speak through this connection instead of the socket: a proxy's. Not owned
};

// On a connected, blocking socket, which stays the caller's. NULL and err when what the options name is no use. The
// options must live until the handshake is done.
struct crypto_tls;
struct crypto_tls *crypto_tls_open(int fd, const struct crypto_tls_options *options, struct error *err);

// Shakes hands: 0 when that is done, 1 when a timeout of the socket came in between (call it again), -1 and err.
int crypto_tls_handshake(struct crypto_tls *tls, const struct crypto_tls_options *options, struct error *err);
bool crypto_tls_is_untrusted(const struct crypto_tls *tls); // the handshake failed for the server's certificate
bool crypto_tls_pending(const struct crypto_tls *tls);      // something was received that poll(2) does not know of
void crypto_tls_close(struct crypto_tls *tls);              // takes NULL

// As read(2) and write(2). 0 is an end the peer has announced; one that just comes is ECONNRESET. A receive timeout of
// the socket is EAGAIN.
ssize_t crypto_tls_read(struct crypto_tls *tls, void *bytes, size_t len);
ssize_t crypto_tls_write(struct crypto_tls *tls, const void *bytes, size_t len);

#endif
