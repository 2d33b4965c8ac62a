#include "base/crypto.h"
#include "base/mem.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void sums_are_those_of_the_standard(void **state)
{
	char hex[CRYPTO_HEX];
	crypto_sha256("", 0, hex);
	assert_string_equal(hex, EMPTY);
	crypto_sha256("abc", 3, hex);
	assert_string_equal(hex, ABC);
	struct crypto_hash *hash = crypto_hash_new();
	crypto_hash_add(hash, "a", 1);
	crypto_hash_add(hash, "", 0);
	crypto_hash_add(hash, "bc", 2);
	crypto_hash_end(hash, hex);
	assert_string_equal(hex, ABC);
	crypto_hash_end(crypto_hash_new(), NULL);
}

static void a_file_has_the_sum_of_its_bytes(void **state)
{
	char path[] = "/tmp/crypto-test-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	char block[4096];
	memset(block, 'a', sizeof block);
	for (int i = 0; i < 100; i++)
		assert_int_equal(write(fd, block, sizeof block), sizeof block);
	close(fd);
	struct crypto_hash *hash = crypto_hash_new();
	for (int i = 0; i < 100; i++)
		crypto_hash_add(hash, block, sizeof block);
	char want[CRYPTO_HEX], got[CRYPTO_HEX];
	crypto_hash_end(hash, want);
	struct error err;
	assert_int_equal(crypto_sha256_file(path, got, &err), 0);
	assert_string_equal(got, want);
	unlink(path);
	assert_int_equal(crypto_sha256_file(path, got, &err), -1);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(crypto_sha256_file("/", got, &err), -1);
	assert_non_null(strstr(err.text, "cannot read '/'"));
}

static void a_token_is_an_hmac(void **state)
{
	char hex[CRYPTO_HEX], other[CRYPTO_HEX];
	crypto_token("Jefe", "what do ya want for nothing?", hex); // RFC 4231, case 2
	assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	crypto_token("secret", "node:3", hex);
	crypto_token("secret", "node:4", other);
	assert_string_not_equal(hex, other);
}

static void equal_compares_whole_texts(void **state)
{
	assert_true(crypto_equal("", ""));
	assert_true(crypto_equal("abc", "abc"));
	assert_false(crypto_equal("abc", "abd"));
	assert_false(crypto_equal("abc", "abcd"));
	assert_false(crypto_equal("abcd", "abc"));
	assert_false(crypto_equal(NULL, NULL));
	assert_false(crypto_equal("", NULL));
}

static void random_bytes_differ(void **state)
{
	autofree char *a = crypto_random_hex(32);
	autofree char *b = crypto_random_hex(32);
	assert_int_equal(strlen(a), 64);
	assert_int_equal(strspn(a, "0123456789abcdef"), 64);
	assert_string_not_equal(a, b);
}

static X509 *read_cert(const struct crypto_identity *id)
{
	BIO *bio = BIO_new_mem_buf(id->cert, (int)id->cert_len);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(cert);
	return cert;
}

static EVP_PKEY *read_key(const struct crypto_identity *id)
{
	BIO *bio = BIO_new_mem_buf(id->key, (int)id->key_len);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(key);
	return key;
}

static void an_identity_is_a_valid_certificate_with_its_key(void **state)
{
	struct error err;
	struct crypto_identity id, other;
	assert_int_equal(crypto_identity_make(&id, &err), 0);
	assert_int_equal(crypto_identity_make(&other, &err), 0);
	assert_string_not_equal(id.fingerprint, other.fingerprint);
	X509 *cert = read_cert(&id);
	EVP_PKEY *key = read_key(&id);
	assert_int_equal(X509_check_private_key(cert, key), 1);
	assert_int_equal(X509_verify(cert, key), 1);
	assert_true(X509_cmp_current_time(X509_get0_notBefore(cert)) < 0);
	time_t later = time(NULL) + 364 * 86400;
	assert_true(X509_cmp_time(X509_get0_notAfter(cert), &later) > 0);
	char name[64];
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name, sizeof name);
	assert_string_equal(name, "muster");
	char hex[CRYPTO_HEX];
	assert_int_equal(crypto_fingerprint(id.cert, id.cert_len, hex, &err), 0);
	assert_string_equal(hex, id.fingerprint);
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);
	crypto_sha256(der, (size_t)len, hex);
	assert_string_equal(hex, id.fingerprint);
	assert_int_equal(crypto_fingerprint(der, (size_t)len, hex, &err), 0);
	assert_string_equal(hex, id.fingerprint);
	assert_int_equal(crypto_fingerprint(der, (size_t)len - 1, hex, &err), -1);
	assert_int_equal(crypto_fingerprint("", 0, hex, &err), -1);
	OPENSSL_free(der);
	X509_free(cert);
	EVP_PKEY_free(key);
	crypto_identity_fini(&id);
	crypto_identity_fini(&other);
	assert_null(id.key);
}

// Shakes hands in memory and returns the client's end; the caller frees both ends with SSL_free and the context.
static void shake(const struct crypto_identity *id, SSL_CTX **ctx, SSL **client, SSL **server)
{
	*ctx = SSL_CTX_new(TLS_method());
	X509 *cert = read_cert(id);
	EVP_PKEY *key = read_key(id);
	assert_int_equal(SSL_CTX_use_certificate(*ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(*ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	*client = SSL_new(*ctx);
	*server = SSL_new(*ctx);
	BIO *a, *b;
	BIO_new_bio_pair(&a, 65536, &b, 65536);
	SSL_set_bio(*client, a, a);
	SSL_set_bio(*server, b, b);
	SSL_set_connect_state(*client);
	SSL_set_accept_state(*server);
	for (int i = 0; i < 10 && !(SSL_is_init_finished(*client) && SSL_is_init_finished(*server)); i++) {
		SSL_do_handshake(*client);
		SSL_do_handshake(*server);
	}
	assert_true(SSL_is_init_finished(*client));
}

static void a_peer_is_known_by_its_fingerprint(void **state)
{
	struct error err;
	struct crypto_identity id, other;
	assert_int_equal(crypto_identity_make(&id, &err), 0);
	assert_int_equal(crypto_identity_make(&other, &err), 0);
	SSL_CTX *ctx;
	SSL *client, *server;
	shake(&id, &ctx, &client, &server);
	assert_true(crypto_peer_matches(client, id.fingerprint));
	assert_false(crypto_peer_matches(client, other.fingerprint));
	assert_false(crypto_peer_matches(client, ""));
	assert_false(crypto_peer_matches(client, NULL));
	assert_false(crypto_peer_matches(server, id.fingerprint)); // the client has shown none
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
	crypto_identity_fini(&id);
	crypto_identity_fini(&other);
}

// A process that is warm keeps no error for the next one who asks, and may be warmed again.
static void warming_up_leaves_nothing_behind(void **state)
{
	crypto_warm();
	assert_int_equal(ERR_peek_error(), 0);
	crypto_warm();
	assert_int_equal(ERR_peek_error(), 0);
}

static void base64_goes_both_ways(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *text;
	} rows[] = {{"", 0, ""}, {"f", 1, "Zg=="}, {"fo", 2, "Zm8="}, {"foo", 3, "Zm9v"}, {"foobar", 6, "Zm9vYmFy"},
		{"\0\377\376", 3, "AP/+"}};
	size_t len;
	for (size_t i = 0; i < countof(rows); i++) {
		autofree char *text = crypto_base64(rows[i].bytes, rows[i].len);
		assert_string_equal(text, rows[i].text);
		autofree char *bytes = crypto_base64_decode(text, &len);
		assert_int_equal(len, rows[i].len);
		assert_memory_equal(bytes, rows[i].bytes, len);
		assert_int_equal(bytes[len], 0);
	}
	autofree char *folded = crypto_base64_decode(" Zm9v\r\n\tYmFy\n", &len);
	assert_string_equal(folded, "foobar");
	static const char *const bad[] = {
		"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zm9v=", "Zg==Zg==", "Zm9*", "Zm-_", "\303\274"};
	for (size_t i = 0; i < countof(bad); i++)
		assert_null(crypto_base64_decode(bad[i], &len));
}

// The example of RFC 6455, section 1.3.
static void a_websocket_is_accepted(void **state)
{
	autofree char *accept = crypto_websocket_accept("dGhlIHNhbXBsZSBub25jZQ==");
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_are_those_of_the_standard),
		cmocka_unit_test(a_file_has_the_sum_of_its_bytes),
		cmocka_unit_test(a_token_is_an_hmac),
		cmocka_unit_test(equal_compares_whole_texts),
		cmocka_unit_test(random_bytes_differ),
		cmocka_unit_test(an_identity_is_a_valid_certificate_with_its_key),
		cmocka_unit_test(a_peer_is_known_by_its_fingerprint),
		cmocka_unit_test(warming_up_leaves_nothing_behind),
		cmocka_unit_test(base64_goes_both_ways),
		cmocka_unit_test(a_websocket_is_accepted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
