// spew SEED BYTES: prints lines of text as fast as they are taken, the same for the same seed. It waits for nothing and
// measures nothing.
//
// A block is made once and printed again and again with a running number in each line, so making it costs little next
// to moving it.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 128, LINES = 512 };

static char block[LINE * LINES];

static void put_all(const char *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(1, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			exit(1);
		bytes += n;
		len -= (size_t)n;
	}
}

static void number_line(char *line, uint64_t number)
{
	for (int i = 11; i >= 0; i--, number /= 10)
		line[i] = (char)('0' + number % 10);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: spew SEED BYTES\n", stderr);
		return 2;
	}
	uint64_t state = strtoull(argv[1], NULL, 10) * 2 + 1, left = strtoull(argv[2], NULL, 10), number = 0;
	for (size_t i = 0; i < sizeof block; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		block[i] = i % LINE == LINE - 1 ? '\n' : (char)(' ' + 1 + (state >> 33) % 94);
	}
	while (left > 0) {
		for (size_t i = 0; i < LINES; i++)
			number_line(block + i * LINE, number++);
		size_t len = left < sizeof block ? (size_t)left : sizeof block;
		put_all(block, len);
		left -= len;
	}
	return 0;
}
