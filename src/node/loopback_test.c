#include "base/mem.h"
#include "node/loopback.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

// A part of the range that other programs, which begin at its start, do not get to.
static uint32_t corner(void)
{
	return 0x7f800001 + ((uint32_t)getpid() << 8 & 0x7fff00);
}

static void nobody_gets_a_claimed_address(void **state)
{
	char first[16], second[16], again[16];
	uint32_t last = corner(), other = last;
	autoclose int a = loopback_claim(&last, first, NULL);
	autoclose int b = loopback_claim(&other, second, NULL);
	assert_true(a >= 0 && b >= 0);
	assert_string_not_equal(first, second);
	assert_string_not_equal(first, "127.0.0.1");
	assert_true(fcntl(a, F_GETFD) & FD_CLOEXEC);
	// As long as a copy is open anywhere, it stays claimed.
	int copy = dup(a);
	close(steal_fd(&a));
	other = corner();
	autoclose int c = loopback_claim(&other, again, NULL);
	assert_string_not_equal(again, first);
	close(copy);
	close(steal_fd(&c));
	other = last - 1;
	autoclose int d = loopback_claim(&other, again, NULL);
	assert_true(d >= 0);
	assert_string_equal(again, first);
}

static void a_claim_does_not_disturb_other_ports(void **state)
{
	char text[16];
	uint32_t last = 0;
	autoclose int claim = loopback_claim(&last, text, NULL);
	autoclose int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in name = {.sin_family = AF_INET};
	assert_int_equal(inet_pton(AF_INET, text, &name.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof name), 0);
	assert_int_equal(listen(fd, 1), 0);
}

static void addresses_that_look_like_networks_are_left_out(void **state)
{
	char text[16];
	uint32_t last = 0x7f0003fe; // 127.0.3.254
	autoclose int fd = loopback_claim(&last, text, NULL);
	assert_true(fd >= 0);
	assert_true((last & 0xff) != 0 && (last & 0xff) != 0xff);
	assert_true(last >= 0x7f000401);
}

static void the_end_of_the_range(void **state)
{
	char text[16];
	uint32_t last = 0x7ffffffe; // 127.255.255.254
	struct error err = {0};
	assert_int_equal(loopback_claim(&last, text, &err), -1);
	assert_non_null(strstr(err.text, "29399"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_gets_a_claimed_address),
		cmocka_unit_test(a_claim_does_not_disturb_other_ports),
		cmocka_unit_test(addresses_that_look_like_networks_are_left_out),
		cmocka_unit_test(the_end_of_the_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
