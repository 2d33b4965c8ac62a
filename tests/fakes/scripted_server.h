// A server for tests of clients: on a port of the loopback interface, each request gets the next of the answers.
// It understands nothing of what it says, but for the key of a WebSocket: "@ACCEPT@" in an answer is what belongs
// there.
#ifndef FAKES_SCRIPTED_SERVER_H
#define FAKES_SCRIPTED_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct scripted_answer {
	const char *text; // NULL: the connection is closed instead
	bool hang_up;     // it is closed afterwards
};

enum scripted_kind {
	SCRIPTED_PLAIN,
	SCRIPTED_TLS,
	SCRIPTED_CONNECT,   // a proxy of HTTP; behind it TLS
	SCRIPTED_CONNECT_S, // the same proxy, spoken to by TLS
	SCRIPTED_SOCKS,     // a proxy of SOCKS 5; behind it TLS
};

struct scripted_server;

// The answers end with one that is all zero and says hang_up; what is asked after it is not answered either.
struct scripted_server *scripted_server_start(enum scripted_kind kind, const struct scripted_answer *answers);
void scripted_server_stop(struct scripted_server *server);

int scripted_server_port(const struct scripted_server *server);
const char *scripted_server_cert(const struct scripted_server *server); // PEM; of "muster.test" and "localhost"

// The i-th request, whole; NULL: there was none. Which connection it came on, from 0; what was shown there: the SHA-256
// of the client's certificate, or "".
const char *scripted_server_request(struct scripted_server *server, size_t i);
int scripted_server_connection(struct scripted_server *server, size_t i);
const char *scripted_server_client(struct scripted_server *server, size_t i);

// What was said to the proxy: "CONNECT x:443 ..." with its header, or "socks USER:PASSWORD HOST:PORT". NULL: nothing.
const char *scripted_server_proxied(struct scripted_server *server);

// Waits until all connections are closed, except kept ones.
void scripted_server_hang_up(struct scripted_server *server); // closes those that are open

#endif
