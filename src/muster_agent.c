// The agent's executable: static, so that it runs on any x86-64 Linux, in an empty root too. Without arguments it is an
// agent (agent/agent.h), with "bridge" the way to one (helper/bridge.h); "list ID", "reap ID" and "tidy ID" look after
// what a run left here (helper/leftovers.h); "digest" prints its SHA-256; "rsh" and "rank" are for Open MPI
// (helper/openmpi_shim.h); "install PATH" copies it there; "step FILE" does a setup step as root or has an image,
// "unmount DIR" and "unblock DIR" take care of its mounts (helper/setup_step.h); "container-init SOCKET" is a
// container's first process and "container-enter SOCKET" stands for a rank in it (helper/container_init.h,
// helper/container_enter.h); "send PATH" and "receive PATH" are `muster cp` (base/copy_stream.h).
#include "agent/agent.h"
#include "base/copy_stream.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "helper/bridge.h"
#include "helper/container_enter.h"
#include "helper/container_init.h"
#include "helper/leftovers.h"
#include "helper/openmpi_shim.h"
#include "helper/pause.h"
#include "helper/setup_step.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { EXECUTABLE_MAX = 256 << 20 };

// libwebsockets does not start without /dev/urandom, which an empty root does not have. The linker of the static agent
// (see meson.build) sends its two calls here, and the random bytes come from the system call instead.
struct lws_context;
int __real_lws_open(const char *path, int flags, ...);
int __wrap_lws_open(const char *path, int flags, ...);
size_t __wrap_lws_get_random(struct lws_context *context, void *bytes, size_t len);

int __wrap_lws_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list args;
		va_start(args, flags);
		mode = va_arg(args, mode_t);
		va_end(args);
	}
	if (strcmp(path, "/dev/urandom") == 0)
		return memfd_create("unread", MFD_CLOEXEC);
	return __real_lws_open(path, flags, mode);
}

size_t __wrap_lws_get_random(struct lws_context *context, void *bytes, size_t len)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = getrandom((char *)bytes + done, len - done, 0);
		if (n < 0 && errno != EINTR)
			abort();
		done += n > 0 ? (size_t)n : 0;
	}
	return done;
}

static int digest(void)
{
	char hex[CRYPTO_HEX];
	if (crypto_sha256_file("/proc/self/exe", hex, NULL) < 0)
		return 1;
	puts(hex);
	return 0;
}

// An init container brings the agent into a pod: its own executable, where another image's container starts it.
static int install(const char *path)
{
	struct error err = {0};
	size_t len;
	autofree char *bytes = fs_read("/proc/self/exe", EXECUTABLE_MAX, &len, &err);
	umask(022);
	if (bytes && fs_write(path, bytes, len, 0755, &err) == 0)
		return 0;
	fprintf(stderr, "muster-agent: %s\n", err.text);
	return err.code;
}

// `muster cp`: a file or directory to standard output, or from standard input.
static int copy(bool sends, const char *path)
{
	struct error err = {0};
	if ((sends ? copy_stream_send(path, 1, &err) : copy_stream_receive(0, path, &err)) == 0)
		return 0;
	fprintf(stderr, "muster-agent: %s\n", err.text);
	return err.code;
}

static int for_open_mpi(int argc, char **argv)
{
	struct error err = {0};
	int status = strcmp(argv[1], "rsh") == 0 ? openmpi_shim_rsh(argc - 2, argv + 2, &err) : openmpi_shim_rank(&err);
	if (status >= 0)
		return status;
	fprintf(stderr, "muster-agent: %s\n", err.text);
	return err.code;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("muster-agent " MUSTER_VERSION);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "bridge") == 0)
		return bridge_main();
	if (argc == 2 && strcmp(argv[1], "digest") == 0)
		return digest();
	if (argc == 3 && strcmp(argv[1], "install") == 0)
		return install(argv[2]);
	if (argc == 3 && strcmp(argv[1], "list") == 0)
		return leftovers_main(argv[2], LEFTOVERS_LIST);
	if (argc == 3 && strcmp(argv[1], "reap") == 0)
		return leftovers_main(argv[2], LEFTOVERS_REAP);
	if (argc == 3 && strcmp(argv[1], "tidy") == 0)
		return leftovers_main(argv[2], LEFTOVERS_TIDY);
	if (argc >= 2 && (strcmp(argv[1], "rsh") == 0 || strcmp(argv[1], "rank") == 0))
		return for_open_mpi(argc, argv);
	if (argc == 3 && strcmp(argv[1], "pause") == 0)
		return pause_main(atof(argv[2]));
	if (argc == 3 && strcmp(argv[1], "step") == 0)
		return setup_step_main(argv[2]);
	if (argc == 3 && strcmp(argv[1], "unmount") == 0)
		return setup_step_unmount(argv[2]);
	if (argc == 3 && strcmp(argv[1], "container-init") == 0)
		return container_init_main(argv[2]);
	if (argc == 3 && strcmp(argv[1], "container-enter") == 0)
		return container_enter_main(argv[2]);
	if (argc == 3 && strcmp(argv[1], "unblock") == 0)
		return setup_step_unblock(argv[2]);
	if (argc == 3 && (strcmp(argv[1], "send") == 0 || strcmp(argv[1], "receive") == 0))
		return copy(argv[1][0] == 's', argv[2]);
	return agent_main();
}
