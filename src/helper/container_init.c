#include "helper/container_init.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/unix_socket.h"
#include "helper/container_enter.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// As long as agent/rank.c waits for what a rank that has ended left writing. The number of its group is in use as long
// as one of those lives.
static const double linger_seconds = 2;

// A rank, and the process that stands for it outside.
struct guest {
	int line;   // -1: it has been answered, or is gone
	pid_t pid;  // 0: not started yet
	double end; // when what it left running is killed; 0: it runs
};

struct container_init {
	struct guest *guests;
	size_t count;
	int agent, signals;
};

// The descriptors that came with one byte; how many, -1 at the end of the line.
static int receive(int line, int *fds, size_t room)
{
	char word;
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(CONTAINER_ENTER_FDS_MAX * sizeof(int))];
	} control;
	struct iovec bytes = {&word, 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t n = recvmsg(line, &message, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : -1;
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_type != SCM_RIGHTS)
		return 0;
	size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof *fds;
	for (size_t i = room; i < count; i++)
		close(((int *)(void *)CMSG_DATA(head))[i]);
	count = count < room ? count : room;
	memcpy(fds, CMSG_DATA(head), count * sizeof *fds);
	return (int)count;
}

// --- starting a rank --------------------------------------------------------------

static void free_list(char **list)
{
	for (char **at = list; *at; at++)
		free(*at);
	free(list);
}

static char **make_argv(const json_t *words)
{
	char **list = mem_alloc((json_array_size(words) + 1) * sizeof *list);
	size_t i;
	json_t *word;
	json_array_foreach (words, i, word)
		list[i] = mem_strdup(json_string_value(word));
	return list;
}

// What the image says, and over it what the rank gets.
static char **make_env(const json_t *own)
{
	size_t n = 0, room = json_object_size(own) + 1;
	for (char **e = environ; *e; e++)
		room++;
	char **list = mem_alloc(room * sizeof *list);
	for (char **e = environ; *e; e++)
		if (!json_object_getn(own, *e, strcspn(*e, "=")))
			list[n++] = mem_strdup(*e);
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)own, name, value)
		list[n++] = mem_printf("%s=%s", name, json_string_value(value));
	return list;
}

static pid_t spawn(const json_t *rank, const int *fds, int count, struct error *err)
{
	int keep[CONTAINER_ENTER_FDS_MAX] = {-1, -1, -1, -1};
	memcpy(keep, fds + CONTAINER_ENTER_FDS, ((size_t)count - CONTAINER_ENTER_FDS) * sizeof *keep);
	char **argv = make_argv(json_object_get(rank, "argv")), **env = make_env(json_object_get(rank, "env"));
	struct proc_options options = {.argv = argv,
		.env = env,
		.dir = json_string_value(json_object_get(rank, "dir")),
		.in = -1,
		.out = fds[1],
		.err = fds[1],
		.keep = keep,
		.group = true};
	pid_t pid = *argv ? proc_spawn(&options, NULL, err) : error_set(err, ERROR_USAGE, "there is nothing to run");
	if (pid < 0 && *argv && strcmp(*argv, "/bin/sh") == 0 && access(*argv, F_OK))
		error_set(err, ERROR_JOB,
			"the image has no '/bin/sh', which a 'command' given as a text needs: give it as a list");
	free_list(argv);
	free_list(env);
	return pid;
}

static void answer(struct guest *g, const struct container_enter_end *end)
{
	if (g->line >= 0)
		send(g->line, end, sizeof *end, MSG_NOSIGNAL);
	mem_cleanup_fd(&g->line);
	g->line = -1;
}

static void start(struct guest *g, const int *fds, int count)
{
	struct error err = {0};
	autojson json_t *rank = lseek(fds[0], 0, SEEK_SET) == 0 ? json_loadfd(fds[0], 0, NULL) : NULL;
	g->pid = rank ? spawn(rank, fds, count, &err)
		      : error_set(&err, ERROR_SYSTEM, "cannot read the rank's description");
	if (g->pid > 0)
		return;
	struct container_enter_end end = {0};
	snprintf(end.why, sizeof end.why, "%s", err.text);
	answer(g, &end);
	g->end = clock_mono();
}

// --- a rank's line ----------------------------------------------------------------

static void signal_guest(const struct guest *g, int sig)
{
	if (!g->end && kill(-g->pid, sig) < 0)
		kill(g->pid, sig); // it has left its own group
}

static void listen_to(struct guest *g)
{
	int fds[CONTAINER_ENTER_FDS_MAX];
	if (g->pid == 0) {
		int count = receive(g->line, fds, countof(fds));
		if (count >= CONTAINER_ENTER_FDS)
			start(g, fds, count);
		for (int i = 0; i < count; i++)
			close(fds[i]);
		if (count >= 0)
			return;
		g->end = clock_mono();
	}
	unsigned char sig;
	ssize_t n = g->end ? 0 : read(g->line, &sig, 1);
	if (n < 0 && errno == EINTR)
		return;
	signal_guest(g, n == 1 ? sig : SIGKILL);
	if (n != 1)
		close(steal_fd(&g->line));
}

// --- what ends --------------------------------------------------------------------

static void reap_children(struct container_init *in)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
		for (size_t i = 0; i < in->count; i++) {
			struct guest *g = &in->guests[i];
			if (g->pid != pid || g->end)
				continue;
			struct container_enter_end end = {.started = 1, .status = status};
			answer(g, &end);
			g->end = clock_mono() + linger_seconds;
		}
}

// Milliseconds until the next one is over, or -1.
static int drop_lingering(struct container_init *in)
{
	double now = clock_mono(), next = -1;
	for (size_t i = 0; i < in->count;) {
		struct guest *g = &in->guests[i];
		if (!g->end || g->end > now) {
			next = g->end && (next < 0 || g->end < next) ? g->end : next;
			i++;
			continue;
		}
		if (g->pid > 0)
			kill(-g->pid, SIGKILL);
		*g = in->guests[--in->count];
	}
	return next < 0 ? -1 : (int)((next - now) * 1000) + 1;
}

// --- the process ------------------------------------------------------------------

// False when the agent is gone.
static bool take_guest(struct container_init *in)
{
	int line, count = receive(in->agent, &line, 1);
	if (count < 1)
		return count == 0;
	in->guests = mem_resize(in->guests, (in->count + 1) * sizeof *in->guests);
	in->guests[in->count++] = (struct guest){.line = line};
	return true;
}

static bool turn(struct container_init *in)
{
	int wait = drop_lingering(in);
	autofree struct pollfd *fds = mem_alloc((in->count + 2) * sizeof *fds);
	size_t count = in->count;
	fds[0] = (struct pollfd){.fd = in->agent, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = in->signals, .events = POLLIN};
	for (size_t i = 0; i < count; i++)
		fds[2 + i] = (struct pollfd){.fd = in->guests[i].line, .events = POLLIN};
	poll(fds, count + 2, wait);
	for (size_t i = 0; i < count; i++)
		if (fds[2 + i].revents)
			listen_to(&in->guests[i]);
	struct signalfd_siginfo info;
	if (fds[1].revents && read(in->signals, &info, sizeof info) == sizeof info && info.ssi_signo != SIGCHLD)
		return false;
	reap_children(in);
	return !fds[0].revents || take_guest(in);
}

int container_init_main(const char *socket)
{
	struct error err = {0};
	struct container_init in = {.agent = unix_socket_connect(socket, &err)};
	if (in.agent < 0) {
		dprintf(2, "muster-agent: %s\n", err.text);
		return err.code;
	}
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	in.signals = signalfd(-1, &set, SFD_CLOEXEC);
	while (turn(&in))
		;
	return 0; // and with the first process all others end
}
