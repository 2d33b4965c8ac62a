#include "tui/nonblocking_writer.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

// Of a pipe that is shared and blocks, this much can be written without blocking once poll says so.
enum { PIECE = 4096 };

void nonblocking_writer_init(struct nonblocking_writer *o, int fd, int wake, bool (*on_wake)(void *data), void *data)
{
	*o = (struct nonblocking_writer){.fd = fd, .wake = wake, .on_wake = on_wake, .data = data};
	struct stat st;
	if (fstat(fd, &st) < 0) {
		o->closed = true;
		return;
	}
	bool tty = isatty(fd);
	o->waits = tty || (!S_ISREG(st.st_mode) && !S_ISCHR(st.st_mode));
	if (!tty && !S_ISFIFO(st.st_mode))
		return;
	autofree char *path = mem_printf("/proc/self/fd/%d", fd);
	int again = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again >= 0) {
		o->fd = again;
		o->own = true;
		o->waits = false; // write says so itself
	}
}

void nonblocking_writer_fini(struct nonblocking_writer *o)
{
	if (o->own)
		close(o->fd);
	o->own = false;
	o->closed = true;
}

// Waits until there is room. False: give up.
static bool wait_room(struct nonblocking_writer *o)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = o->fd, .events = POLLOUT}, {.fd = o->wake, .events = POLLIN}};
		if (poll(fds, countof(fds), -1) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		if (fds[1].revents && o->on_wake(o->data))
			return false;
		if (fds[0].revents)
			return true;
	}
}

void nonblocking_writer_write(struct nonblocking_writer *o, const void *bytes, size_t len)
{
	const char *at = bytes;
	while (len && !o->closed) {
		if (o->waits && !wait_room(o)) {
			o->closed = true;
			break;
		}
		ssize_t n = write(o->fd, at, o->waits && len > PIECE ? PIECE : len);
		if (n >= 0) {
			at += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			o->closed = !wait_room(o);
		} else if (errno != EINTR) {
			o->closed = true;
		}
	}
}
