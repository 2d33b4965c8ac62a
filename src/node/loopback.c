#include "node/loopback.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST 0x7f000002u // 127.0.0.2: 127.0.0.1 is everybody's
#define LAST 0x7ffffffeu

// Addresses that end in .0 or .255 are left out: some programs take them for networks.
static uint32_t after(uint32_t address)
{
	uint32_t next = address < FIRST ? FIRST : address + 1;
	while ((next & 0xff) == 0 || (next & 0xff) == 0xff)
		next++;
	return next;
}

int loopback_claim(uint32_t *last, char text[16], struct error *err)
{
	for (uint32_t address = after(*last); address <= LAST; address = after(address)) {
		autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return error_errno(err, "cannot make a socket to claim a loopback address");
		struct sockaddr_in name = {
			.sin_family = AF_INET, .sin_port = htons(LOOPBACK_PORT), .sin_addr.s_addr = htonl(address)};
		inet_ntop(AF_INET, &name.sin_addr, text, 16);
		if (!bind(fd, (struct sockaddr *)&name, sizeof name)) {
			*last = address;
			return steal_fd(&fd);
		}
		if (errno != EADDRINUSE)
			return error_errno(err, "cannot bind %s, port %d, expected 127.0.0.0/8 to be this machine",
				text, LOOPBACK_PORT);
	}
	return error_set(err, ERROR_SYSTEM, "no loopback address is free: port %d is taken on all of 127.0.0.0/8",
		LOOPBACK_PORT);
}
