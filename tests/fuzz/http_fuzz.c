// What a server answers. The client's inside is not offered to anybody else, so its source is taken in.
#include "base/http.c"

#include <fcntl.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int pair[2];
	if (size > 65536 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return 0;
	autoclose int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	autofree struct http_stream *s = mem_alloc(sizeof *s);
	s->fd = pair[0];
	if (send(pair[1], data, size, 0) == (ssize_t)size) {
		shutdown(pair[1], SHUT_WR);
		static const struct http_options options;
		struct sink sink = {.put = put_file, .fd = null, .options = &options};
		autofree char *location = NULL;
		struct place from = {.host = (char *)"h", .port = 80, .path = (char *)"/x/y"}, to;
		if (read_answer(s, &sink, &location, NULL) == 0 && location) {
			autofree char *next = follow("http://h/x/y", &from, location, NULL);
			if (next) {
				parse_url(next, &to, NULL);
				place_fini(&to);
			}
		}
	}
	close(pair[0]);
	close(pair[1]);
	return 0;
}
