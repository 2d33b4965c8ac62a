// The first program of a container that has nothing of ours but its agent in parts (kube/agent_parts.h):
//
//   muster-loader PARTS SHA256 TARGET [ARGUMENT...]
//   muster-loader wait TARGET [ARGUMENT...]
//
// puts the agent together from the files 0, 1, 2 ... of the directory PARTS, makes sure that it is the one with this
// SHA-256, writes it to TARGET and becomes it, with the arguments. It is static, small enough for a ConfigMap, and
// needs nothing of the image and of the user: no library, no shell, no /tmp, no name for its uid. Why it could not is
// said on standard error and in the container's termination message.
//
// TARGET is a file, and not only a descriptor in memory that would do without a place to write to: later execs in the
// container start the same file. They may come before it is there, and then wait for it.
#include "loader/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char message_path[] = "/dev/termination-log";
enum { TICK = 10 * 1000 * 1000, TICKS = 6000 }; // nanoseconds; how often an exec looks, which makes a minute

static int fail(const char *what, const char *name, const char *why)
{
	char text[1024];
	snprintf(text, sizeof text, "muster-loader: %s%s%s%s%s%s\n", what, name ? " '" : "", name ? name : "",
		name ? "'" : "", why ? ": " : "", why ? why : "");
	int fds[] = {2, open(message_path, O_WRONLY | O_TRUNC | O_CLOEXEC)};
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0 && write(fds[i], text, strlen(text)) < 0)
			continue; // there is nobody else to tell
	return 1;
}

static int write_agent(const char *parts, const char *sha256, const char *target)
{
	struct unpack_error err;
	char path[256];
	if (snprintf(path, sizeof path, "%s.new", target) >= (int)sizeof path)
		return fail("the path is too long", target, NULL);
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (fd < 0)
		return fail("cannot write", path, strerror(errno));
	int rc = unpack_parts(parts, sha256, fd, &err);
	int later = fchmod(fd, 0755) | close(fd) ? errno : 0;
	if (!rc && !later && rename(path, target) == 0)
		return 0;
	later = later ? later : errno;
	unlink(path);
	return rc ? fail(err.text, NULL, NULL) : fail("cannot write", target, strerror(later));
}

// A first process misses what it has no handler for, unless it is blocked: who ends the pod now would have to wait for
// the whole grace period. The agent finds it pending.
static void keep_requests_to_end(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int become(const char *target, char **argv)
{
	execv(target, argv);
	if (errno == EACCES)
		return fail("cannot run", target, "Permission denied (its file system may be mounted noexec)");
	return fail("cannot run", target, errno == ENOEXEC ? "it is for another processor" : strerror(errno));
}

static void wait_for(const char *target)
{
	for (int i = 0; i < TICKS && access(target, F_OK) != 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = TICK}, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "wait") == 0) {
		wait_for(argv[2]);
		return become(argv[2], argv + 2);
	}
	keep_requests_to_end();
	if (argc < 4)
		return fail("usage: muster-loader PARTS SHA256 TARGET [ARGUMENT...]", NULL, NULL);
	int status = write_agent(argv[1], argv[2], argv[3]);
	return status ? status : become(argv[3], argv + 3);
}
