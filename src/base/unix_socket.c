#include "base/unix_socket.h"

#include "base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// The address by way of the directory's descriptor, which is returned and must stay open until the address was used.
static int address_of(const char *path, struct sockaddr_un *address, struct error *err)
{
	const char *slash = strrchr(path, '/');
	autofree char *dir = slash ? mem_strndup(path, (size_t)(slash - path) + 1) : mem_strdup(".");
	const char *name = slash ? slash + 1 : path;
	int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "cannot open the directory '%s'", dir);
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int len = snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", fd, name);
	if (len < (int)sizeof address->sun_path)
		return fd;
	close(fd);
	return error_set(err, ERROR_USAGE, "the name '%s' is too long for a socket", name);
}

int unix_socket_listen(const char *path, struct error *err)
{
	struct sockaddr_un address;
	autoclose int dir = address_of(path, &address, err);
	if (dir < 0)
		return -1;
	unlink(path);
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0)
		return error_errno(err, "cannot listen on '%s'", path);
	return steal_fd(&fd);
}

int unix_socket_connect(const char *path, struct error *err)
{
	struct sockaddr_un address;
	autoclose int dir = address_of(path, &address, err);
	if (dir < 0)
		return -1;
	autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return error_errno(err, "cannot connect to '%s'", path);
	return steal_fd(&fd);
}
