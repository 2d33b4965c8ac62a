#include "helper/container_enter.h"

#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// What the agent gives a rank beside its output comes from descriptor 3 on, and its environment names it.
static const char *const named[] = {"MUSTER_METRICS_FD", "PMI_FD"};

// The rank's file again, with these names added; *count is how many.
static int complete(int *count, struct error *err)
{
	autojson json_t *rank = json_loadfd(0, 0, NULL);
	json_t *env = json_object_get(rank, "env");
	if (!json_is_object(env))
		return error_set(err, ERROR_USAGE, "standard input has no rank's description");
	for (size_t i = 0; i < countof(named); i++)
		if (getenv(named[i])) {
			json_object_set_new(env, named[i], json_string(getenv(named[i])));
			++*count;
		}
	autofree char *text = json_dumps(rank, JSON_COMPACT);
	autoclose int fd = memfd_create("rank", MFD_CLOEXEC);
	if (fd < 0 || fs_write_fd(fd, text, strlen(text), err) < 0)
		return error_errno(err, "cannot write the rank's description");
	return steal_fd(&fd);
}

static int send_rank(int line, int rank, int extra, struct error *err)
{
	int fds[CONTAINER_ENTER_FDS_MAX] = {rank, 1, 3, 4};
	size_t size = (CONTAINER_ENTER_FDS + (size_t)extra) * sizeof *fds;
	char word = 'r';
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof fds)];
	} control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(size)}};
	memcpy(CMSG_DATA(&control.head), fds, size);
	struct iovec bytes = {&word, 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(size)};
	if (sendmsg(line, &message, MSG_NOSIGNAL) != 1)
		return error_errno(err, "cannot reach the container");
	for (int i = 0; i < extra; i++)
		close(3 + i); // who waits for their end waits for the rank's
	return 0;
}

// Hands signals on until the answer has come; false when the line ends before.
static bool wait_end(int line, int signals, struct container_enter_end *end)
{
	size_t got = 0;
	while (got < sizeof *end) {
		struct pollfd fds[] = {{.fd = line, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
		poll(fds, countof(fds), -1);
		struct signalfd_siginfo info;
		if (fds[1].revents && read(signals, &info, sizeof info) == sizeof info) {
			char sig = (char)info.ssi_signo;
			send(line, &sig, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		if (!fds[0].revents)
			continue;
		ssize_t n = read(line, (char *)end + got, sizeof *end - got);
		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
		got += n > 0 ? (size_t)n : 0;
	}
	return true;
}

// A core of this process would say nothing of the rank.
static _Noreturn void die_by(int sig)
{
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	signal(sig, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(sig);
	_exit(128 + sig);
}

static int run(const char *socket, int signals, struct error *err)
{
	int extra = 0;
	autoclose int rank = complete(&extra, err);
	autoclose int line = rank < 0 ? -1 : unix_socket_connect(socket, err);
	if (line < 0 || send_rank(line, rank, extra, err) < 0)
		return -1;
	struct container_enter_end end;
	if (!wait_end(line, signals, &end))
		die_by(SIGKILL);
	if (!end.started)
		return error_set(err, ERROR_JOB, "%.*s", (int)strnlen(end.why, sizeof end.why), end.why);
	if (WIFSIGNALED(end.status))
		die_by(WTERMSIG(end.status));
	return WEXITSTATUS(end.status);
}

int container_enter_main(const char *socket)
{
	struct error err = {0};
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	autoclose int signals = signalfd(-1, &all, SFD_CLOEXEC);
	int status = run(socket, signals, &err);
	if (status >= 0)
		return status;
	dprintf(2, "muster-agent: %s\n", err.text);
	return 127;
}
